"""CIFAR-10 and CIFAR-100, from TensorFlow Datasets."""

from typing import Any

from train.datasets import ImageSet
from train.datasets.tfds import as_arrays, prepared_builder

SIZE = 32
URLS = {
    "cifar10": "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    "cifar100": "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
}


def load(options: Any) -> ImageSet:
    """50,000 images to train on and 10,000 to test."""
    builder = prepared_builder(options.dataset, options, URLS[options.dataset])
    return ImageSet(
        train=as_arrays(builder, "train", SIZE),
        test=as_arrays(builder, "test", SIZE),
        classes=builder.info.features["label"].num_classes,
        size=SIZE,
        flip=True,
    )
