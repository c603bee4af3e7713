"""CIFAR-10 and CIFAR-100, from TensorFlow Datasets."""

from typing import Any

from train.datasets import ImageSet
from train.datasets.tfds import as_arrays, prepared_builder

SIZE = 32


def check(options: Any) -> None:
    """Whether it can be had shows only when TensorFlow Datasets is asked."""


def load(options: Any) -> ImageSet:
    """50,000 images to train on and 10,000 to test."""
    builder = prepared_builder(options.dataset, options)
    return ImageSet(
        train=as_arrays(builder, "train", SIZE),
        test=as_arrays(builder, "test", SIZE),
        classes=builder.info.features["label"].num_classes,
        size=SIZE,
        flip=True,
    )
