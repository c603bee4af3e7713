"""What an interrupted run goes on from: one file of all that changes in training.

It is of the end of an epoch or of a step within one.
"""

import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from train import run_directory
from train.errors import UsageError
from train.run_directory import RunDirectory
from train.training.progress import NO_STEP, PartOfEpoch, Progress

# A checkpoint waits until so many times what the last one took are over.
PATIENCE = 10.0
# Begins the names of what metrics are kept in.
METRIC = "metric"


class Checkpoint:
    """Variables and progress, saved together.

    Together, because files written one after another disagree if the process dies between
    them. The one before is kept, for when the disk damages the last. Making one restores what the
    directory holds.

    Args:
        variables: Those of the model and of its optimizer, in an order that is always the same.
        directory: Where to keep the checkpoint.

    Attributes:
        progress: What the finished epochs came to.
        part: What was done of the epoch after them.
    """

    def __init__(self, variables: Sequence[keras.Variable], directory: RunDirectory):
        self.progress = Progress()
        self._variables, self._directory = variables, directory
        self._due = 0.0
        self._saved: tuple[str, PartOfEpoch] | None = None
        self.reach()
        self.restore()

    @property
    def part(self) -> PartOfEpoch:
        return self._reached[1]

    def reach(self, part: PartOfEpoch = NO_STEP) -> None:
        """Tells where the variables are now: after so many steps, or at the end of an epoch."""
        # All at once, since a signal may end the run between two lines. What an epoch adds to the
        # progress before its end is not saved.
        progress = self._reached[0] if part.steps else json.dumps(dataclasses.asdict(self.progress))
        self._reached = progress, part

    def restore(self) -> None:
        """Gives the variables, and `progress`, the values of the last checkpoint, if there is one.

        Of the one before, and says so, if the last is damaged.

        Raises:
            UsageError: If there is none that is whole, or it is of other variables.
        """
        problems: dict[Path, str] = {}
        for path in self._paths():
            if not path.is_file():
                continue
            try:
                saved = _read(path)
            except Exception as error:
                # Whatever a damaged file makes of itself.
                reason = " ".join(str(error).split()) or type(error).__name__
                problems[path] = f"{path} is damaged ({reason})"
                continue
            self._assign(path, saved)
            self.progress = saved.progress
            self.reach()
            self.reach(saved.part)
            self._saved = self._reached
            for damaged, problem in problems.items():
                print(
                    f"{problem}: the run goes on from the one before it, after {self.place}.",
                    file=sys.stderr,
                )
                # Else the next one to be saved would put it in the place of this one.
                damaged.unlink()
            return
        if problems:
            raise UsageError(
                f"{' and '.join(problems.values())}: start anew with train.run's --overwrite."
            )

    def _assign(self, path: Path, saved: "_Saved") -> None:
        if saved.described != self._described():
            raise UsageError(
                f"{path} is of other variables, by another version of Keras perhaps: "
                "go on with that, or start anew with train.run's --overwrite."
            )
        for variable, value in zip(self._variables, saved.values, strict=True):
            variable.assign(value)

    def _paths(self) -> list[Path]:
        """Of the last checkpoint and of the one before."""
        names = (run_directory.CHECKPOINT, run_directory.PREVIOUS_CHECKPOINT)
        return [self._directory.path / name for name in names]

    def _described(self) -> str:
        return json.dumps([[v.name, [*v.shape], str(v.dtype)] for v in self._variables])

    @property
    def place(self) -> str:
        """Where the variables are, in words."""
        finished = f"epoch {self.progress.epochs}"
        if not self.part.steps:
            return finished
        return f"step {self.part.steps} of epoch {self.progress.epochs + 1}"

    def save(self, metrics: Sequence[keras.Variable] = (), patient: bool = False) -> None:
        """Writes the checkpoint, if there is none of the same place.

        Args:
            metrics: What the figures of an epoch that is not over are kept in.
            patient: Whether to leave it, where that would cost more than a tenth of the time.
        """
        began = time.perf_counter()
        if (patient and began < self._due) or self._saved is self._reached:
            return
        progress, part = reached = self._reached
        contents = {
            "progress": progress,
            "part": json.dumps([part.steps, part.seconds, part.figures]),
            "variables": self._described(),
            **_values("", self._variables),
            **(_values(METRIC, metrics) if part.steps else {}),
        }
        with self._directory.writing(run_directory.CHECKPOINT) as path, path.open("wb") as file:
            np.savez(file, **contents)
            last, previous = self._paths()
            if last.is_file():
                last.replace(previous)
        self._saved = reached
        ended = time.perf_counter()
        self._due = ended + PATIENCE * (ended - began)

    def delete_previous(self) -> None:
        """Leaves the last one alone."""
        self._directory.delete(run_directory.PREVIOUS_CHECKPOINT)

    def delete(self) -> None:
        """Leaves none."""
        self._directory.delete(run_directory.CHECKPOINT)


def _values(prefix: str, variables: Sequence[keras.Variable]) -> dict[str, Any]:
    return {
        f"{prefix}{number}": keras.ops.convert_to_numpy(variable.value)
        for number, variable in enumerate(variables)
    }


class _Saved(NamedTuple):
    """What a file holds."""

    progress: Progress
    part: PartOfEpoch
    described: str
    values: list[Any]


def _read(path: Path) -> _Saved:
    """All of a checkpoint; the format's checksums tell what is damaged."""
    with path.open("rb") as file, np.load(file) as arrays:
        contents = {name: arrays[name] for name in arrays.files}
    progress = Progress(**json.loads(str(contents["progress"])))
    steps, seconds, figures = json.loads(str(contents["part"]))
    number = sum(name.startswith(METRIC) for name in contents)
    metrics = tuple(contents[f"{METRIC}{i}"] for i in range(number))
    described = str(contents["variables"])
    values = [contents[str(i)] for i in range(len(json.loads(described)))]
    return _Saved(progress, PartOfEpoch(steps, seconds, figures, metrics), described, values)
