"""Fashion-MNIST, from TensorFlow Datasets."""

from typing import Any

from train.data.image_set import ImageSet
from train.data.sets._tfds import in_memory, prepared_builder

SIZE = 32
URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/train-images-idx3-ubyte.gz"


def load(options: Any) -> ImageSet:
    """60,000 images of clothes to train on and 10,000 to test, in a black frame."""
    return in_memory(prepared_builder("fashion_mnist", options, URL), SIZE)
