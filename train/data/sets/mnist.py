"""MNIST's handwritten digits, from TensorFlow Datasets."""

from typing import Any

from train.data.image_set import ImageSet
from train.data.sets._tfds import in_memory, prepared_builder

SIZE = 32
URL = "https://storage.googleapis.com/cvdf-datasets/mnist/train-images-idx3-ubyte.gz"


def load(options: Any) -> ImageSet:
    """60,000 images to train on and 10,000 to test, in a black frame; none is mirrored."""
    return in_memory(prepared_builder("mnist", options, URL), SIZE, flip=False)
