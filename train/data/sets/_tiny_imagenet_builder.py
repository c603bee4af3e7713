"""The builder of `tiny_imagenet`; importing it registers it with TensorFlow Datasets."""

import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import tensorflow_datasets as tfds

from train.errors import UsageError

SIZE = 64
FOLDER = "tiny-imagenet-200"
ARCHIVE = f"{FOLDER}.zip"
URL = f"http://cs231n.stanford.edu/{ARCHIVE}"


class TinyImagenet(tfds.core.GeneratorBasedBuilder):
    """Classes in the order of `wnids.txt`; greyscale files are read as RGB."""

    VERSION = tfds.core.Version("1.0.0")
    # Without it TensorFlow Datasets does not tell a builder its manual folder.
    MANUAL_DOWNLOAD_INSTRUCTIONS = f"{ARCHIVE}, or the folder {FOLDER} it unpacks to."

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Tiny ImageNet of Stanford's course CS231n.",
            homepage="http://cs231n.stanford.edu",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(SIZE, SIZE, 3), encoding_format="jpeg"),
                    "label": tfds.features.ClassLabel(),
                }
            ),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        root, given = _root(dl_manager)
        names = (root / "wnids.txt").read_text().split()
        train = _training_files(root, names, given)
        validation = _validation_files(root, names, given)
        self.info.features["label"].names = names
        return {
            "train": self._generate_examples(train),
            "validation": self._generate_examples(validation),
        }

    def _generate_examples(self, files: list[tuple[Path, str]]) -> Iterator:
        for path, name in files:
            yield path.name, {"image": path, "label": name}


def _root(dl_manager: Any) -> tuple[Path, str]:
    """The folder, and what it is told as: what was given may be an archive."""
    try:
        manual = Path(dl_manager.manual_dir)
    except AssertionError:
        return Path(dl_manager.download_and_extract(URL)) / FOLDER, URL
    if (manual / FOLDER).is_dir():
        return manual / FOLDER, str(manual / FOLDER)
    archive = manual / ARCHIVE
    if archive.is_file():
        check_archive(archive)
        return Path(dl_manager.extract(archive)) / FOLDER, str(archive)
    return Path(dl_manager.download_and_extract(URL)) / FOLDER, URL


def check_archive(path: Path) -> None:
    """Refuses a ZIP archive that is damaged, or that would be written elsewhere than it should.

    Raises:
        UsageError: Naming the archive, and a member where it is one's fault.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            damaged = archive.testzip()
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise UsageError(f"{path} is damaged ({error}): download it again.") from None
    if damaged is not None:
        raise UsageError(f"{path} is damaged, at {damaged}: download it again.")
    for member in members:
        name = PurePosixPath(member.filename)
        if name.is_absolute() or ".." in name.parts or stat.S_ISLNK(member.external_attr >> 16):
            raise UsageError(
                f"{path} holds {member.filename}, which leads out of the archive: download it "
                f"from {URL}."
            )


def _training_files(root: Path, names: list[str], given: str) -> list[tuple[Path, str]]:
    """Pairs of file and class; all classes that there are."""
    unnamed = {entry.name for entry in (root / "train").iterdir() if entry.is_dir()} - {*names}
    if unnamed:
        raise UsageError(
            f"{given}: wnids.txt lacks {min(unnamed)}, a class that train/ has: add it there, or "
            "move its folder away."
        )
    pairs = []
    for name in names:
        paths = sorted((root / "train" / name / "images").glob("*.JPEG"))
        if not paths:
            raise UsageError(
                f"{given}: train/{name}/images holds no JPEG file, and wnids.txt names that class: "
                "put its images there, or take it out of wnids.txt."
            )
        pairs += [(path, name) for path in paths]
    return pairs


def _validation_files(root: Path, names: list[str], given: str) -> list[tuple[Path, str]]:
    """Pairs of file and class."""
    pairs = []
    for line in (root / "val" / "val_annotations.txt").read_text().splitlines():
        file, name, *_ = [*line.split("\t"), ""]
        if name not in names:
            raise UsageError(
                f"{given}: val/val_annotations.txt gives {file} the class {name or 'of no name'}, "
                "which wnids.txt lacks: correct that line."
            )
        if not (root / "val" / "images" / file).is_file():
            raise UsageError(
                f"{given}: val/val_annotations.txt names {file}, which val/images lacks: put it "
                "there, or take that line out."
            )
        pairs.append((root / "val" / "images" / file, name))
    return pairs
