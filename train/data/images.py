"""Images in memory, as NumPy arrays: cropped from a frame and mirrored to train on."""

import functools
import importlib
import struct
import warnings
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
        self, batch_size: int, epochs: range, seed: int, flip: bool, skipped: int = 0
    ) -> Iterable[tuple[Any, Any]]:
        return _drawing().training_batches(self, batch_size, epochs, seed, flip, skipped)

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


def read(
    paths: Sequence[Path], labels: np.ndarray, size: int, skipped: list[Path] | None = None
) -> ArraySource:
    """JPEG or PNG files: the shorter side resized, and the middle cut out.

    Args:
        paths, labels: Of the images.
        size: Side in pixels that they are brought to.
        skipped: Takes the files that are no images, which are left out.

    Raises:
        UsageError: Naming the first file that is no image, where none is to be skipped.
    """
    images = empty(len(paths), size)
    kept = []
    # Threads would contend for the interpreter where images are small.
    for number, path in enumerate(paths):
        try:
            images[len(kept)] = decoded(path, size)
        except UsageError:
            if skipped is None:
                raise
            skipped.append(path)
        else:
            kept.append(number)
    return ArraySource(images[: len(kept)], labels[np.array(kept, int)])


def decoded(path: Path, size: int) -> np.ndarray:
    """A JPEG or PNG file as uint8 RGB of so many pixels a side.

    Raises:
        UsageError: If it is none, is cut short, or has more pixels than 2**29 bytes have room for.
    """
    from PIL import Image, ImageOps

    try:
        # Of large images, say, or of Exif that is none: they are read all the same.
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(path, formats=("JPEG", "PNG")) as image,
        ):
            # A JPEG that is much larger is decoded to about what is needed.
            image.draft(None, (2 * size, 2 * size))
            if image.mode.startswith("I"):
                # 16 bits a pixel, which Pillow would clip to 8.
                rgb = image.convert("I").point(lambda value: value * (1 / 256)).convert("RGB")
            else:
                rgb = image.convert("RGB")
    except Image.DecompressionBombError:
        raise UsageError(
            f"{path} has more pixels than are read, {2 * Image.MAX_IMAGE_PIXELS:,}: make it "
            "smaller, or remove it."
        ) from None
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error) as error:
        if getattr(error, "errno", None):
            # The system's, of a file that may be an image.
            raise
        raise UsageError(damaged(path)) from None
    if rgb.size != (size, size):
        rgb = ImageOps.fit(rgb, (size, size), Image.Resampling.BILINEAR)
    return np.asarray(rgb)


def damaged(path: Path) -> str:
    """What is said of a file that is no image."""
    return (
        f"{path} is no JPEG or PNG image that can be read: repair or remove it, or give "
        "--skip_corrupt to leave such images out."
    )


def _drawing() -> Any:
    return importlib.import_module(f"train.data.{keras.backend.backend()}")
