"""Images in memory, read from a folder by Pillow."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from examples.full_scale import augmentation
from train import datasets
from train.datasets import ImageSet, image_folder
from train.errors import UsageError
from train.moments import channel_moments

TEST_BATCH_SIZE = 500


class Images:
    """Labelled images of one size: what `train.sources.ArraySource` is with TensorFlow.

    Args:
        images: uint8 array of shape (number, size, size, 3).
        labels: Integers from 0.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray):
        self.images, self.labels = images, np.asarray(labels, "int32")
        self.size = images.shape[1]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> "Images":
        """The images at these indices."""
        return Images(self.images[indices], self.labels[indices])

    def training_batches(
        self, batch_size: int, epochs: range, seed: int, flip: bool
    ) -> Iterator[tuple[Any, Any]]:
        """Whole batches as the compiled epoch draws them, one after another."""
        for epoch in epochs:
            key = epoch_key(jax.random.key(seed), epoch)
            order, keys = epoch_order(key, len(self), batch_size)
            for indices, key in zip(np.asarray(order), keys, strict=True):
                images = augmentation.pad_crop_flip(self.images[indices], key, flip)
                yield np.asarray(images), self.labels[indices]

    def test_batches(self, batch_size: int = TEST_BATCH_SIZE) -> "Batches":
        """All images once, in order, not augmented; as often as one likes."""
        return Batches(self.images, self.labels, batch_size)

    def channel_moments(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and variance of each channel, in units of 0 to 255."""
        return channel_moments(images for images, _ in self.test_batches())


class Batches:
    """Batches of arrays, in order."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, batch_size: int):
        self.images, self.labels, self.batch_size = images, labels, batch_size

    def __len__(self) -> int:
        return -(-len(self.labels) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for begin in range(0, len(self.labels), self.batch_size):
            part = slice(begin, begin + self.batch_size)
            yield self.images[part], self.labels[part]


def epoch_key(seed: Any, epoch: int) -> Any:
    """What all randomness of an epoch, counted from 0, comes from; `seed` is a run's key."""
    return jax.random.fold_in(seed, epoch)


def epoch_order(key: Any, count: int, batch_size: int) -> tuple[Any, Any]:
    """The indices of an epoch's whole batches, `(steps, batch_size)`, and a key for each."""
    steps = count // batch_size
    order_key, crops_key = jax.random.split(key)
    order = jax.random.permutation(order_key, count)[: steps * batch_size]
    return order.reshape(steps, batch_size), jax.random.split(crops_key, steps)


def load(flags: Any) -> ImageSet:
    """The images of `--data_dir`, as `train.datasets.load` gives them.

    Raises:
        UsageError: For a file that is no image, or fewer images than asked for.
    """
    root, size = Path(flags.data_dir), flags.image_size or image_folder.DEFAULT_SIZE
    classes = image_folder.class_files(root / "train")
    parts = [
        _read(image_folder.class_files(root / part), [*classes], size) for part in ("train", "test")
    ]
    train, test = parts
    images = ImageSet(train=train, test=test, classes=len(classes), size=size, flip=True)
    return datasets.selected(images, flags)


def _read(files: dict[str, Sequence[Path]], classes: list[str], size: int) -> Images:
    paths = [path for name in files for path in files[name]]
    labels = [classes.index(name) for name in files for _ in files[name]]
    images = np.empty((len(paths), size, size, 3), "uint8")
    # Threads would contend for the interpreter: images are small.
    for number, path in enumerate(paths):
        images[number] = _decoded(path, size)
    return Images(images, np.array(labels))


def _decoded(path: Path, size: int) -> np.ndarray:
    """Its shorter side resized, and the middle cut out."""
    try:
        with Image.open(path) as image:
            rgb = image.convert("RGB")
    except (UnidentifiedImageError, OSError):
        raise UsageError(f"{path} is no JPEG or PNG image: repair or remove it.") from None
    if rgb.size != (size, size):
        rgb = ImageOps.fit(rgb, (size, size), Image.Resampling.BILINEAR)
    return np.asarray(rgb)
