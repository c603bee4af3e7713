"""Images in memory, as NumPy arrays: cropped from a frame and mirrored to train on."""

import functools
import importlib
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from train.data.image_set import TEST_BATCH_SIZE, ImageSource, Moments, moments
from train.errors import UsageError

# Width of the black frame that images are cropped from, over their side.
CROP_PADDING = 1 / 8
# Images that are looked at together.
CHUNK = 256
# Bytes, of which TensorFlow wants an address to be a multiple.
ALIGNMENT = 64


class ArraySource(ImageSource):
    """Labelled images, whose batches Keras' backend draws: `train.data.tensorflow` or `.jax`.

    All parts of an array of images share it: a part is the places of its images there.

    Args:
        pixels: uint8 array of shape (number, size, size, 3); `empty` makes one that TensorFlow
            shares, too.
        labels: Integers from 0, of the images of this part.
        places: Sorted indices of the part's images in `pixels`; all by default.
    """

    def __init__(self, pixels: np.ndarray, labels: np.ndarray, places: np.ndarray | None = None):
        self.pixels, self._labels = pixels, np.asarray(labels, "int32")
        self.places = np.arange(len(pixels)) if places is None else places
        self.size = pixels.shape[1]

    @property
    def images(self) -> np.ndarray:
        """All images; of a part, a copy."""
        return self.pixels if len(self) == len(self.pixels) else self.at(slice(None))

    def at(self, indices: np.ndarray | slice) -> np.ndarray:
        """A copy of the images at these indices of the part."""
        return self.pixels[self.places[indices]]

    @property
    def labels(self) -> np.ndarray:
        return self._labels

    @property
    def padding(self) -> int:
        """Width of the frame in pixels."""
        return int(CROP_PADDING * self.size)

    def take(self, indices: np.ndarray) -> "ArraySource":
        return ArraySource(self.pixels, self.labels[indices], self.places[indices])

    def training_batches(
        self, batch_size: int, epochs: range, seed: int, flip: bool
    ) -> Iterable[tuple[Any, Any]]:
        return _drawing().training_batches(self, batch_size, epochs, seed, flip)

    def test_batches(self, batch_size: int = TEST_BATCH_SIZE) -> Iterable[tuple[Any, Any]]:
        return _drawing().test_batches(self, batch_size)

    def channel_moments(self) -> Moments:
        return moments(self._chunks())

    @functools.cached_property
    def checksum(self) -> int:
        """Of the labels and the pixels."""
        value = zlib.crc32(self.labels)
        for images in self._chunks():
            value = zlib.crc32(images, value)
        return value

    def _chunks(self) -> Iterator[np.ndarray]:
        return (self.at(slice(i, i + CHUNK)) for i in range(0, len(self), CHUNK))


def empty(number: int, size: int) -> np.ndarray:
    """Room for so many images, at an address from which TensorFlow takes them as they are."""
    length = number * size * size * 3
    memory = np.empty(length + ALIGNMENT, "uint8")
    begin = -memory.ctypes.data % ALIGNMENT
    return memory[begin : begin + length].reshape(number, size, size, 3)


def read(paths: Sequence[Path], labels: np.ndarray, size: int) -> ArraySource:
    """JPEG or PNG files: the shorter side resized, and the middle cut out.

    Raises:
        UsageError: Naming the first file that is no image.
    """
    images = empty(len(paths), size)
    # Threads would contend for the interpreter where images are small.
    for number, path in enumerate(paths):
        images[number] = _decoded(path, size)
    return ArraySource(images, labels)


def _decoded(path: Path, size: int) -> np.ndarray:
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            # A JPEG that is much larger is decoded to about what is needed.
            image.draft(None, (2 * size, 2 * size))
            if image.mode.startswith("I"):
                # 16 bits a pixel, which Pillow would clip to 8.
                rgb = image.convert("I").point(lambda value: value * (1 / 256)).convert("RGB")
            else:
                rgb = image.convert("RGB")
    except (OSError, Image.DecompressionBombError):
        raise UsageError(f"{path} is no JPEG or PNG image: repair or remove it.") from None
    if rgb.size != (size, size):
        rgb = ImageOps.fit(rgb, (size, size), Image.Resampling.BILINEAR)
    return np.asarray(rgb)


def _drawing() -> Any:
    return importlib.import_module(f"train.data.{keras.backend.backend()}")
