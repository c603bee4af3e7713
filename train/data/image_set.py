"""Images to train on, to judge by and to test on, wherever they come from."""

import abc
import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np

# Images of a test batch.
TEST_BATCH_SIZE = 256


class ImageSource(abc.ABC):
    """Labelled RGB images of `size` pixels a side.

    Every source yields batches `(images, labels)` of uint8 images in 0 to 255. Training batches
    depend on the seed, the epoch and the step alone, not on what was drawn before, so that a run
    goes on in the middle as if it had never stopped.
    """

    size: int

    @property
    @abc.abstractmethod
    def labels(self) -> np.ndarray:
        """int32 labels in the order of the source."""

    @abc.abstractmethod
    def take(self, indices: np.ndarray) -> "ImageSource":
        """The images at these sorted indices."""

    @abc.abstractmethod
    def training_batches(
        self, batch_size: int, epochs: range, seed: int, flip: bool
    ) -> Iterable[tuple[Any, Any]]:
        """Whole batches, shuffled and augmented, of these epochs one after another."""

    @abc.abstractmethod
    def test_batches(self, batch_size: int = TEST_BATCH_SIZE) -> Iterable[tuple[Any, Any]]:
        """All images once, in order, not augmented; as often as one likes."""

    @abc.abstractmethod
    def channel_moments(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and variance of each channel, in units of 0 to 255."""

    def __len__(self) -> int:
        return len(self.labels)


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """Images to train and to test on, all `size` pixels a side when they are read.

    Attributes:
        train, test: Where the images come from.
        classes: Number of classes; labels are 0 to `classes - 1`.
        size: Side of the images in pixels.
        flip: Whether a mirror image has the same label.
        validation: Images held out of the training set, or None.
        mean, variance: Of each channel, in units of 0 to 255; measured on the training
            images where None is given.
    """

    train: ImageSource
    test: ImageSource
    classes: int
    size: int
    flip: bool
    validation: ImageSource | None = None
    mean: tuple[float, ...] | None = None
    variance: tuple[float, ...] | None = None


def moments(batches: Iterable[np.ndarray]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and variance of each channel of batches of images."""
    count, total, squares = 0, np.zeros(3), np.zeros(3)
    for batch in batches:
        pixels = batch.reshape(-1, 3).astype("float64")
        count += len(pixels)
        total += pixels.sum(axis=0)
        squares += np.square(pixels).sum(axis=0)
    mean = total / count
    variance = np.maximum(squares / count - np.square(mean), 0.0)
    return tuple(mean.tolist()), tuple(variance.tolist())
