"""Street View House Numbers, a digit an image, from TensorFlow Datasets."""

from typing import Any

from train.data.image_set import ImageSet
from train.data.sets._tfds import in_memory, prepared_builder

SIZE = 32
URL = "http://ufldl.stanford.edu/housenumbers/train_32x32.mat"


def load(options: Any) -> ImageSet:
    """73,257 images to train on and 26,032 to test; none is mirrored."""
    return in_memory(prepared_builder("svhn_cropped", options, URL), SIZE, flip=False)
