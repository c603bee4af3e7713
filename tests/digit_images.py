"""Handwritten digits as images, in memory and in a folder, and flags of a network for them."""

from pathlib import Path

from PIL import Image
from sklearn.datasets import load_digits

from train.data.images import ArraySource

# A network small enough for seconds.
SMALL = ["--model=vgg16_8", "--width=0.05", "--batch_size=32"]


def digits(count: int, size: int = 32) -> ArraySource:
    """The first of them as RGB images of so many pixels."""
    pixels, labels = load_digits(return_X_y=True)
    pixels = (pixels[:count] * 15.9375).astype("uint8").reshape(-1, 8, 8, 1)
    pixels = pixels.repeat(size // 8, 1).repeat(size // 8, 2).repeat(3, 3)
    return ArraySource(pixels, labels[:count])


def write_folder(root: Path) -> Path:
    """Writes PNG images of three digits; those to test on are larger."""
    for part, count, size in (("train", 120, 32), ("test", 50, 48)):
        source = digits(count, size)
        for number, (pixels, label) in enumerate(zip(source.images, source.labels, strict=True)):
            if label < 3:
                place = root / part / f"digit{label}"
                place.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(place / f"{number}.png")
    return root
