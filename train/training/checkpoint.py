"""What an interrupted run goes on from: one file of all that changes in training."""

import dataclasses
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from train import run_directory
from train.errors import UsageError
from train.run_directory import RunDirectory
from train.training.progress import Progress

# A checkpoint waits until so many times what the last one took are over.
PATIENCE = 10.0


class Checkpoint:
    """Variables and progress, saved together at the end of an epoch.

    Together, because files written one after another disagree if the process dies between
    them. The one before is kept, for when the disk damages the last. Making one restores what the
    directory holds.

    Args:
        variables: Those of the model and of its optimizer, in an order that is always the same.
        directory: Where to keep the checkpoint.

    Attributes:
        progress: What the finished epochs came to.
    """

    def __init__(self, variables: Sequence[keras.Variable], directory: RunDirectory):
        self.progress = Progress()
        self._variables, self._directory = variables, directory
        self._due = 0.0
        self.restore()

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
                contents = _read(path)
                progress = Progress(**json.loads(str(contents["progress"])))
            except Exception as error:
                # Whatever a damaged file makes of itself.
                reason = " ".join(str(error).split()) or type(error).__name__
                problems[path] = f"{path} is damaged ({reason})"
                continue
            self._assign(path, contents)
            self.progress = progress
            for damaged, problem in problems.items():
                print(
                    f"{problem}: the run goes on from the one before it, after epoch "
                    f"{progress.epochs}.",
                    file=sys.stderr,
                )
                # Else the next one to be saved would put it in the place of this one.
                damaged.unlink()
            return
        if problems:
            raise UsageError(
                f"{' and '.join(problems.values())}: start anew with train.run's --overwrite."
            )

    def _assign(self, path: Path, contents: Mapping[str, Any]) -> None:
        if str(contents.get("variables", "")) != self._described():
            raise UsageError(
                f"{path} is of other variables, by another version of Keras perhaps: "
                "go on with that, or start anew with train.run's --overwrite."
            )
        for number, variable in enumerate(self._variables):
            variable.assign(contents[str(number)])

    def _paths(self) -> list[Path]:
        """Of the last checkpoint and of the one before."""
        names = (run_directory.CHECKPOINT, run_directory.PREVIOUS_CHECKPOINT)
        return [self._directory.path / name for name in names]

    def _described(self) -> str:
        return json.dumps([[v.name, [*v.shape], str(v.dtype)] for v in self._variables])

    def save(self) -> None:
        """Writes the checkpoint, unless that would cost more than a tenth of the time."""
        began = time.perf_counter()
        if began < self._due:
            return
        values = {
            str(number): keras.ops.convert_to_numpy(variable.value)
            for number, variable in enumerate(self._variables)
        }
        progress = json.dumps(dataclasses.asdict(self.progress))
        with self._directory.writing(run_directory.CHECKPOINT) as path, path.open("wb") as file:
            np.savez(file, progress=progress, variables=self._described(), **values)
            last, previous = self._paths()
            if last.is_file():
                last.replace(previous)
        ended = time.perf_counter()
        self._due = ended + PATIENCE * (ended - began)

    def delete(self) -> None:
        """Of a run that is finished."""
        for path in self._paths():
            path.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any]:
    """All of a checkpoint; the format's checksums tell what is damaged."""
    with path.open("rb") as file, np.load(file) as saved:
        return {name: saved[name] for name in saved.files}
