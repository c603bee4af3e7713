"""What an interrupted run goes on from: one file of all that changes in training."""

import dataclasses
import json
import time
import zipfile
from collections.abc import Sequence

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
    them. Making one restores what the directory holds.

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
        if (directory.path / run_directory.CHECKPOINT).is_file():
            self._restore()

    def _restore(self) -> None:
        path = self._directory.path / run_directory.CHECKPOINT
        try:
            with path.open("rb") as file, np.load(file) as saved:
                contents = {name: saved[name] for name in saved.files}
        except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
            raise UsageError(
                f"{path} is damaged ({error}): start anew with train.run's --overwrite."
            ) from None
        if str(contents.pop("variables", "")) != self._described():
            raise UsageError(
                f"{path} is of other variables, by another version of Keras perhaps: "
                "go on with that, or start anew with train.run's --overwrite."
            )
        self.progress = Progress(**json.loads(str(contents["progress"])))
        for number, variable in enumerate(self._variables):
            variable.assign(contents[str(number)])

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
        ended = time.perf_counter()
        self._due = ended + PATIENCE * (ended - began)

    def delete(self) -> None:
        """Of a run that is finished."""
        (self._directory.path / run_directory.CHECKPOINT).unlink(missing_ok=True)
