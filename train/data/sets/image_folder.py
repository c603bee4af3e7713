"""A user's own images: `train/<class>/*` and `test/<class>/*`, JPEG or PNG, of any size."""

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from train import backend
from train.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from train.data.image_set import ImageSet, ImageSource

SUFFIXES = (".jpg", ".jpeg", ".png")
# Of images that are not read: one among the others is a mistake, and no note of the user's.
OTHER_SUFFIXES = (".gif", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".avif")
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
    if not options.skip_corrupt:
        for files in (classes, test_classes):
            for path in (path for name in files for path in files[name]):
                if not _is_image(path):
                    raise UsageError(
                        f"{path} is no JPEG or PNG image: convert, repair or remove it, or give "
                        "--skip_corrupt to leave such images out."
                    )


def load(options: Any) -> "ImageSet":
    """The images below `--data_dir` that the flags ask for; classes in alphabetical order."""
    from train.data.image_set import ImageSet

    classes = list(class_files(Path(options.data_dir) / "train"))
    skipped: list[Path] | None = [] if options.skip_corrupt else None
    train, test = (_source(options, part, classes, skipped) for part in ("train", "test"))
    return ImageSet(
        train=train,
        test=test,
        classes=len(classes),
        size=train.size,
        flip=True,
        # A name may be of bytes that are no text, which cannot be printed.
        skipped=tuple(os.fsencode(path).decode(errors="replace") for path in skipped or ()),
    )


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
    suffixes = SUFFIXES + OTHER_SUFFIXES
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes)
    if not found:
        raise UsageError(
            f"{folder} holds no image: put files ending in {', '.join(SUFFIXES)} there, or "
            "remove it."
        )
    return found


def _is_image(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4).startswith(FORMATS)


def _source(
    options: Any, part: str, classes: list[str], skipped: list[Path] | None
) -> "ImageSource":
    """The images of `train` or `test`; those that cannot be read go to `skipped`, if it is one."""
    import numpy as np

    from train.data import subsets

    root = Path(options.data_dir)
    files = class_files(root / part)
    paths = [path for name in files for path in files[name]]
    labels = np.array([classes.index(name) for name in files for _ in files[name]], "int32")
    count = {"train": options.train_examples, "test": options.test_examples}[part]
    if skipped is None and count is not None and count < len(paths):
        # Before they are decoded: a short run on part of a large folder would mostly read.
        kept = subsets.balanced_indices(labels, count)
        paths, labels = [paths[index] for index in kept], labels[kept]
    source = _read(root, paths, labels, options.image_size or DEFAULT_SIZE, skipped)
    lost = sorted({*labels.tolist()} - {*source.labels.tolist()})
    if lost:
        raise UsageError(
            f"no image of {root / part / classes[lost[0]]} can be read: repair them, or remove "
            "the folder."
        )
    return source


def _read(
    root: Path, paths: list[Path], labels: "np.ndarray", size: int, skipped: list[Path] | None
) -> "ImageSource":
    import numpy as np

    from train.data import images

    if skipped is not None:
        are_images = [_is_image(path) for path in paths]
        skipped += [path for path, is_one in zip(paths, are_images, strict=True) if not is_one]
        paths = [path for path, is_one in zip(paths, are_images, strict=True) if is_one]
        labels = labels[np.array(are_images)]
    if size <= SMALL_IMAGE:
        return images.read(paths, labels, size, skipped)

    from train.data.streamed import EncodedSource

    items = np.array([os.fsencode(path.relative_to(root)) for path in paths], object)
    return EncodedSource(items, labels, size, root).checked(skipped)
