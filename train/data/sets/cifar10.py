"""CIFAR-10, from TensorFlow Datasets."""

from typing import Any

from train.data.image_set import ImageSet
from train.data.sets._tfds import in_memory, prepared_builder

SIZE = 32
URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"


def load(options: Any) -> ImageSet:
    """50,000 images to train on and 10,000 to test."""
    return in_memory(prepared_builder("cifar10", options, URL), SIZE)
