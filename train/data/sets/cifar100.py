"""CIFAR-100, from TensorFlow Datasets."""

from typing import Any

from train.data.image_set import ImageSet
from train.data.sets._tfds import in_memory, prepared_builder

SIZE = 32
URL = "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz"


def load(options: Any) -> ImageSet:
    """50,000 images to train on and 10,000 to test; the 100 fine labels."""
    return in_memory(prepared_builder("cifar100", options, URL), SIZE)
