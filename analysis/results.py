"""Run directories as `train.run` writes them, read as far as tables and figures need it."""

import csv
import dataclasses
import functools
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_bnact import records
from keras_bnact.statistics import FIGURES

FILES = (
    "flags.txt",
    "history.csv",
    "statistics.csv",
    "gradients.csv",
    "channels.npz",
    "summary.json",
)
# Flags that make no other run: where and how it is made, and what is written of it.
ASIDE = ("seed", "strategy", "replicas", "deterministic", "export", "statistics_every")
NEEDED = ("dataset", "model", "activation", "order", "seed")


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """One finished run.

    Attributes:
        path: Its directory.
        flags: Text by name, as in `flags.txt`.
        history: A record of each epoch.
        statistics, gradients: Records of the layers after the last epoch.
        summary: Final figures.
    """

    path: Path
    flags: Mapping[str, str]
    history: Sequence[Mapping[str, Any]]
    statistics: Sequence[Mapping[str, Any]]
    gradients: Sequence[Mapping[str, Any]]
    summary: Mapping[str, Any]

    @property
    def accuracy(self) -> float:
        """On the test images, in percent."""
        return 100.0 * self.summary["test"]["accuracy"]

    @property
    def held_out(self) -> bool:
        """Whether part of the training images was held out."""
        return "validation" in self.summary

    @functools.cached_property
    def settings(self) -> tuple[tuple[str, str], ...]:
        """The flags that make the run what it is, but for its seed."""
        # A folder of images is the data set itself, elsewhere it is where that is kept.
        own = self.flags["dataset"] == "image_folder"
        aside = ASIDE if own else (*ASIDE, "data_dir")
        return tuple(sorted((k, v) for k, v in self.flags.items() if k not in aside))

    @functools.cached_property
    def channels(self) -> Mapping[str, np.ndarray]:
        """What `channels.npz` holds."""
        with np.load(self.path / "channels.npz") as file:
            return dict(file)


def read(folder: Path) -> tuple[list[Result], list[str]]:
    """All finished runs below a folder, and a sentence for each that cannot be used."""
    results, problems = [], []
    paths = {file.parent for name in ("flags.txt", "summary.json") for file in folder.rglob(name)}
    for path in sorted(paths):
        try:
            results.append(_result(path))
        except FileNotFoundError as error:
            name = Path(error.filename).name
            finished = (path / "summary.json").is_file()
            reason = f"has no {name}: of an older format" if finished else "is not finished"
            problems.append(f"{path} {reason}")
        except Exception as error:
            # Whatever a damaged file makes of itself.
            problems.append(f"{path} is damaged: {type(error).__name__}: {error}")
    return results, problems


def _result(path: Path) -> Result:
    for name in FILES:
        if not (path / name).is_file():
            raise FileNotFoundError(2, "missing", str(path / name))
    summary = json.loads((path / "summary.json").read_text())
    statistics = _last_epoch(_table(path / "statistics.csv"))
    gradients = _last_epoch(_table(path / "gradients.csv"))
    result = Result(
        path,
        _flags((path / "flags.txt").read_text()),
        _table(path / "history.csv"),
        statistics,
        gradients,
        summary,
    )
    missing = [name for name in NEEDED if name not in result.flags]
    if missing:
        raise ValueError(f"flags.txt lacks {', '.join(missing)}")
    needed = {"layer", *FIGURES}
    if not all(needed <= record.keys() for record in statistics) or not result.history:
        raise ValueError("statistics.csv or history.csv lacks columns")
    if not all(np.isfinite(record[figure]) for record in statistics for figure in FIGURES):
        raise ValueError("the figures of its layers are not finite")
    with zipfile.ZipFile(path / "channels.npz") as file:
        if file.testzip() or len([n for n in file.namelist() if n.endswith("/std.npy")]) != len(
            statistics
        ):
            raise ValueError("channels.npz and statistics.csv do not hold the same layers")
    if not np.isfinite(result.accuracy):
        raise ValueError("its accuracy is not finite")
    return result


def _table(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="") as file:
        return records.parsed(list(csv.DictReader(file)))


def _last_epoch(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [row for row in rows if row["epoch"] == rows[-1]["epoch"]]


def _flags(text: str) -> dict[str, str]:
    flags = {}
    for line in text.splitlines():
        name, equals, value = line.removeprefix("--").partition("=")
        if equals:
            flags[name] = value
        elif name.startswith("no"):
            flags[name.removeprefix("no")] = "false"
        else:
            flags[name] = "true"
    return flags
