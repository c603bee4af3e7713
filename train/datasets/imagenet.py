"""ImageNet (ILSVRC 2012), from TensorFlow Datasets, read from its files while training."""

from typing import Any

from train.datasets import ImageSet
from train.datasets.tfds import prepared_builder

SIZE = 224

# The constants that go with ImageNet everywhere, in units of 0 to 255.
MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)
VARIANCE = ((0.229 * 255) ** 2, (0.224 * 255) ** 2, (0.225 * 255) ** 2)


def check(options: Any) -> None:
    """Whether it can be had shows only when TensorFlow Datasets is asked."""


def load(options: Any) -> ImageSet:
    """The training images, and the official validation images to test on."""
    from train.sources import RecordSource

    builder = prepared_builder("imagenet2012", options)
    return ImageSet(
        train=RecordSource.from_builder(builder, "train", SIZE),
        test=RecordSource.from_builder(builder, "validation", SIZE),
        classes=builder.info.features["label"].num_classes,
        size=SIZE,
        flip=True,
        mean=MEAN,
        variance=VARIANCE,
    )
