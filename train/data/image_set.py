"""Images to train on, to judge by and to test on, wherever they come from."""

import abc
import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

# Images of a test batch.
TEST_BATCH_SIZE = 256
# Mean and variance of each channel, in units of 0 to 255.
Moments = tuple[tuple[float, ...], tuple[float, ...]]


class ImageSource(abc.ABC):
    """Labelled RGB images of `size` pixels a side.

    Every source yields batches `(images, labels)` of uint8 images in 0 to 255. Training batches
    depend on the seed, the epoch and the step alone, not on what was drawn before, so that a run
    goes on in the middle as if it had never stopped.
    """

    size: int
    # That of files that are read while training.
    folder: Path | None = None

    @property
    @abc.abstractmethod
    def labels(self) -> np.ndarray:
        """int32 labels in the order of the source."""

    @abc.abstractmethod
    def take(self, indices: np.ndarray) -> "ImageSource":
        """The images at these sorted indices."""

    @abc.abstractmethod
    def training_batches(
        self, batch_size: int, epochs: range, seed: int, flip: bool, skipped: int = 0
    ) -> Iterable[tuple[Any, Any]]:
        """Whole batches, shuffled and augmented, of these epochs one after another.

        But for so many `skipped` ones at the beginning.
        """

    @abc.abstractmethod
    def test_batches(self, batch_size: int = TEST_BATCH_SIZE) -> Iterable[tuple[Any, Any]]:
        """All images once, in order, not augmented; as often as one likes."""

    @abc.abstractmethod
    def channel_moments(self) -> Moments:
        """Mean and variance of each channel, in units of 0 to 255."""

    @property
    @abc.abstractmethod
    def checksum(self) -> int:
        """Of 32 bits; another one for other images, other labels or another order."""

    def unreadable(self) -> str:
        """Which of its files is no image, in words; nothing where all are, or it has none."""
        return ""

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
        skipped: Names of files that cannot be read as images, and are left out.
        mean, variance: Of each channel, in units of 0 to 255; measured on the training
            images where None is given.
    """

    train: ImageSource
    test: ImageSource
    classes: int
    size: int
    flip: bool
    validation: ImageSource | None = None
    skipped: tuple[str, ...] = ()
    mean: tuple[float, ...] | None = None
    variance: tuple[float, ...] | None = None

    def parts(self) -> dict[str, ImageSource]:
        """Those that there are of `train`, `validation` and `test`, by name."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: source for name, source in parts.items() if source is not None}


def moments(batches: Iterable[np.ndarray]) -> Moments:
    """Mean and variance of each channel of uint8 images: of integers, so that nothing is rounded
    before the last division.

    Args:
        batches: Of up to 66,000 images, whose squares uint32 has room for.
    """
    count, totals, squares = 0, np.zeros(3, "int64"), np.zeros(3, "int64")
    for batch in batches:
        count += batch.size // 3
        rows = batch.reshape(len(batch), -1).astype("uint16")
        totals += _channel_sums(rows)
        squares += _channel_sums(rows * rows)
    # Python's integers, whose products are as long as need be.
    pairs = list(zip(totals.tolist(), squares.tolist(), strict=True))
    mean = tuple(total / count for total, _ in pairs)
    variance = tuple((count * square - total**2) / count**2 for total, square in pairs)
    return mean, variance


def _channel_sums(rows: np.ndarray) -> np.ndarray:
    # Down the rows first, which is several times as fast as channel by channel.
    return rows.sum(axis=0, dtype="uint32").reshape(-1, 3).sum(axis=0, dtype="int64")
