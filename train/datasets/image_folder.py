"""A user's own images: `train/<class>/*` and `test/<class>/*`, JPEG or PNG, of any size."""

import functools
from pathlib import Path
from typing import Any

from train.datasets import ImageSet
from train.errors import UsageError

SUFFIXES = (".jpg", ".jpeg", ".png")
DEFAULT_SIZE = 32
# Up to this side, images are kept in memory and cropped from a padded frame; above, they
# are read anew in every epoch and cropped at random scales.
SMALL_IMAGE = 64


def check(options: Any) -> None:
    """Refuses a folder that is not of the form, class by class."""
    if options.data_dir is None:
        raise UsageError(
            "--dataset=image_folder needs --data_dir, a folder that holds train/<class>/ and "
            "test/<class>/."
        )
    root = Path(options.data_dir)
    classes, _, _ = _listing(root / "train")
    test_classes, _, _ = _listing(root / "test")
    unknown = sorted(set(test_classes) - set(classes))
    if unknown:
        raise UsageError(
            f"{root / 'test' / unknown[0]} is a class that {root / 'train'} does not have: "
            "move it, or give it training images."
        )
    if len(classes) < 2:
        raise UsageError(f"{root / 'train'} holds one class, '{classes[0]}': give two or more.")


def load(options: Any) -> ImageSet:
    """All images below `--data_dir`; classes in alphabetical order."""
    size = options.image_size or DEFAULT_SIZE
    root = Path(options.data_dir)
    classes, _, _ = _listing(root / "train")
    sources = [_source(root / part, classes, size) for part in ("train", "test")]
    return ImageSet(train=sources[0], test=sources[1], classes=len(classes), size=size, flip=True)


@functools.lru_cache(maxsize=4)
def _listing(folder: Path) -> tuple[tuple[str, ...], tuple[Path, ...], tuple[str, ...]]:
    """Class names, files, and the class of each file."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is missing: it should hold a folder of images for each class.")
    classes = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    if not classes:
        raise UsageError(f"{folder} is empty: it should hold a folder of images for each class.")
    paths, names = [], []
    for name in classes:
        found = sorted(
            path for path in (folder / name).iterdir() if path.suffix.lower() in SUFFIXES
        )
        if not found:
            raise UsageError(
                f"{folder / name} holds no image: put files ending in {', '.join(SUFFIXES)} "
                "there, or remove it."
            )
        paths += found
        names += [name] * len(found)
    return tuple(classes), tuple(paths), tuple(names)


def _source(folder: Path, classes: tuple[str, ...], size: int) -> Any:
    import numpy as np

    from train.sources import EncodedSource

    _, paths, names = _listing(folder)
    number = {name: index for index, name in enumerate(classes)}
    labels = np.array([number[name] for name in names], "int32")
    files = EncodedSource(np.array([str(path) for path in paths]), labels, size, are_paths=True)
    return files if size > SMALL_IMAGE else files.decoded()
