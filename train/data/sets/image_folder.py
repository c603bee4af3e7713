"""A user's own images: `train/<class>/*` and `test/<class>/*`, JPEG or PNG, of any size."""

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from train import backend
from train.errors import UsageError

if TYPE_CHECKING:
    from train.data.image_set import ImageSet, ImageSource

SUFFIXES = (".jpg", ".jpeg", ".png")
# How a JPEG and a PNG file begin.
FORMATS = (b"\xff\xd8\xff", b"\x89PNG")
DEFAULT_SIZE = 32
# Up to this side, images are kept in memory and cropped from a padded frame; above, they
# are read anew in every epoch and cropped at random scales.
SMALL_IMAGE = 64


def check(options: Any) -> None:
    """Refuses a folder that is not of the form, class by class and file by file."""
    if options.data_dir is None:
        raise UsageError(
            "--dataset=image_folder needs --data_dir, a folder that holds train/<class>/ and "
            "test/<class>/."
        )
    size = options.image_size or DEFAULT_SIZE
    if size > SMALL_IMAGE:
        backend.check_streaming(f"--image_size={size}")
    root = Path(options.data_dir)
    classes, test_classes = class_files(root / "train"), class_files(root / "test")
    unknown = sorted(test_classes.keys() - classes.keys())
    if unknown:
        raise UsageError(
            f"{root / 'test' / unknown[0]} is a class that {root / 'train'} does not have: "
            "move it, or give it training images."
        )
    if len(classes) < 2:
        raise UsageError(f"{root / 'train'} holds one class, {[*classes]}: give two or more.")


def load(options: Any) -> "ImageSet":
    """The images below `--data_dir` that the flags ask for; classes in alphabetical order."""
    from train.data.image_set import ImageSet

    size = options.image_size or DEFAULT_SIZE
    root = Path(options.data_dir)
    classes = list(class_files(root / "train"))
    train, test = (
        _source(root, class_files(root / part), classes, size, count)
        for part, count in (("train", options.train_examples), ("test", options.test_examples))
    )
    return ImageSet(train=train, test=test, classes=len(classes), size=size, flip=True)


@functools.lru_cache(maxsize=4)
def class_files(folder: Path) -> dict[str, list[Path]]:
    """The image files of each class, in alphabetical order.

    Raises:
        UsageError: For a folder that is not of the form.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is missing: it should hold a folder of images for each class.")
    classes = sorted(entry for entry in folder.iterdir() if entry.is_dir())
    if not classes:
        raise UsageError(f"{folder} is empty: it should hold a folder of images for each class.")
    return {entry.name: _images(entry) for entry in classes}


def _images(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not found:
        raise UsageError(
            f"{folder} holds no image: put files ending in {', '.join(SUFFIXES)} there, or "
            "remove it."
        )
    for path in found:
        if not path.is_file() or not _begin(path).startswith(FORMATS):
            raise UsageError(f"{path} is no JPEG or PNG image: repair or remove it.")
    return found


def _begin(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4)


def _source(
    root: Path, files: dict[str, list[Path]], classes: list[str], size: int, count: int | None
) -> "ImageSource":
    import numpy as np

    from train.data import images, subsets

    paths = [path for name in files for path in files[name]]
    labels = np.array([classes.index(name) for name in files for _ in files[name]], "int32")
    if count is not None and count < len(paths):
        # Before they are decoded: a short run on part of a large folder would mostly read.
        kept = subsets.balanced_indices(labels, count)
        paths, labels = [paths[index] for index in kept], labels[kept]
    if size <= SMALL_IMAGE:
        return images.read(paths, labels, size)

    from train.data.streamed import EncodedSource

    items = np.array([os.fsencode(path.relative_to(root)) for path in paths], object)
    return EncodedSource(items, labels, size, root).checked()
