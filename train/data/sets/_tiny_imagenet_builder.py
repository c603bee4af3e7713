"""The builder of `tiny_imagenet`; importing it registers it with TensorFlow Datasets."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

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
        root = _root(dl_manager)
        names = (root / "wnids.txt").read_text().split()
        self.info.features["label"].names = names
        return {
            "train": self._generate_examples(_training_files(root, names)),
            "validation": self._generate_examples(_validation_files(root)),
        }

    def _generate_examples(self, files: list[tuple[Path, str]]) -> Iterator:
        for path, name in files:
            yield path.name, {"image": path, "label": name}


def _root(dl_manager: Any) -> Path:
    try:
        manual = Path(dl_manager.manual_dir)
    except AssertionError:
        return Path(dl_manager.download_and_extract(URL)) / FOLDER
    if (manual / FOLDER).is_dir():
        return manual / FOLDER
    if (manual / ARCHIVE).is_file():
        return Path(dl_manager.extract(manual / ARCHIVE)) / FOLDER
    return Path(dl_manager.download_and_extract(URL)) / FOLDER


def _training_files(root: Path, names: list[str]) -> list[tuple[Path, str]]:
    pairs = []
    for name in names:
        paths = sorted((root / "train" / name / "images").glob("*.JPEG"))
        if not paths:
            raise ValueError(f"{root / 'train' / name / 'images'} holds no JPEG file")
        pairs += [(path, name) for path in paths]
    return pairs


def _validation_files(root: Path) -> list[tuple[Path, str]]:
    lines = (root / "val" / "val_annotations.txt").read_text().splitlines()
    rows = [line.split("\t") for line in lines]
    return [(root / "val" / "images" / row[0], row[1]) for row in rows]
