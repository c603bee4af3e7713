"""Tiny ImageNet: 200 classes of 64x64 images, as a TensorFlow Datasets builder of ours."""

from pathlib import Path
from typing import Any

from train.datasets import ImageSet

SIZE = 64
FOLDER = "tiny-imagenet-200"
ARCHIVE = f"{FOLDER}.zip"
URL = f"http://cs231n.stanford.edu/{ARCHIVE}"


def load(options: Any) -> ImageSet:
    """The training images, and the official validation images to test on."""
    from train.datasets._tfds import in_memory, manual_folder, prepared_builder
    from train.datasets._tiny_imagenet_builder import TinyImagenet

    # What is at hand, in --data_dir or in TensorFlow Datasets' manual folder, needs no network.
    folders = [] if options.data_dir is None else [Path(options.data_dir)]
    folders.append(manual_folder(options.data_dir))
    manual_dir = next((str(folder) for folder in folders if _holds_it(folder)), None)
    url = URL if manual_dir is None else None
    builder = prepared_builder(TinyImagenet.name, options, url, manual_dir)
    return in_memory(builder, SIZE, test="validation")


def _holds_it(folder: Path) -> bool:
    return (folder / FOLDER).is_dir() or (folder / ARCHIVE).is_file()
