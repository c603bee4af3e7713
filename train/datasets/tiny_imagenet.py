"""Tiny ImageNet: 200 classes of 64x64 images, as a TensorFlow Datasets builder of ours."""

from pathlib import Path
from typing import Any

from train.datasets import ImageSet

SIZE = 64
FOLDER = "tiny-imagenet-200"
ARCHIVE = f"{FOLDER}.zip"


def check(options: Any) -> None:
    """Whether it can be had shows only when TensorFlow Datasets is asked."""


def load(options: Any) -> ImageSet:
    """The training images, and the official validation images to test on."""
    from train.datasets import tiny_imagenet_builder  # noqa: F401 registers the builder
    from train.datasets.tfds import as_arrays, prepared_builder

    holds_it = options.data_dir is not None and any(
        (Path(options.data_dir) / name).exists() for name in (FOLDER, ARCHIVE)
    )
    builder = prepared_builder(
        "tiny_imagenet", options, manual_dir=options.data_dir if holds_it else None
    )
    return ImageSet(
        train=as_arrays(builder, "train", SIZE),
        test=as_arrays(builder, "validation", SIZE),
        classes=builder.info.features["label"].num_classes,
        size=SIZE,
        flip=True,
    )
