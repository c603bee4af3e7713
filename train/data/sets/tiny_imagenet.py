"""Tiny ImageNet: 200 classes of 64x64 images, as a TensorFlow Datasets builder of ours."""

from pathlib import Path
from typing import Any

from train.data.image_set import ImageSet


def load(options: Any) -> ImageSet:
    """The training images, and the official validation images to test on."""
    from train.data.sets._tfds import in_memory, manual_folder, prepared_builder
    from train.data.sets._tiny_imagenet_builder import ARCHIVE, FOLDER, SIZE, URL, TinyImagenet

    # What is at hand, in --data_dir or in TensorFlow Datasets' manual folder, needs no network.
    folders = [] if options.data_dir is None else [Path(options.data_dir)]
    folders.append(manual_folder(options.data_dir))
    holding = [str(f) for f in folders if (f / FOLDER).is_dir() or (f / ARCHIVE).is_file()]
    manual_dir = holding[0] if holding else None
    url = URL if manual_dir is None else None
    builder = prepared_builder(TinyImagenet.name, options, url, manual_dir)
    return in_memory(builder, SIZE, test="validation")
