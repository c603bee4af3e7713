"""A run directory: the seam between training and whatever reads its results.

A reader never sees half a file: everything is written beside its place and then renamed, once it is
on the disk, so that a machine that loses its power leaves whole files too.
"""

import contextlib
import csv
import enum
import fcntl
import io
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from train import flag_text
from train.errors import InUseError, UsageError, file_errors, tensorflow_lines

FLAGS = "flags.txt"
ENVIRONMENT = "environment.json"
DATA = "data.json"
HISTORY = "history.csv"
STATISTICS = "statistics.csv"
GRADIENTS = "gradients.csv"
CHANNELS = "channels.npz"
SUMMARY = "summary.json"
MODEL = "model.keras"
# By format.
EXPORTS = {
    "saved_model": "saved_model",
    "tflite": "model.tflite",
    "tflite_dynamic": "model_dynamic.tflite",
    "tflite_integer": "model_integer.tflite",
    "onnx": "model.onnx",
}
REPORT = "report.html"
TENSORBOARD = "tensorboard"
CHECKPOINT = "checkpoint.npz"
PREVIOUS_CHECKPOINT = "checkpoint-previous.npz"
DIVERGED = "diverged.json"
NAMES = (
    FLAGS,
    ENVIRONMENT,
    DATA,
    HISTORY,
    STATISTICS,
    GRADIENTS,
    CHANNELS,
    SUMMARY,
    MODEL,
    *EXPORTS.values(),
    REPORT,
    TENSORBOARD,
    CHECKPOINT,
    PREVIOUS_CHECKPOINT,
    DIVERGED,
)

# Flags that differ between a run and the same run extended.
SCHEDULE = ("epochs", "learning_rate_drops")

# TensorFlow's, of what the system refuses.
FILE_ERRORS = (
    "AlreadyExistsError",
    "DataLossError",
    "FailedPreconditionError",
    "NotFoundError",
    "OutOfRangeError",
    "PermissionDeniedError",
    "ResourceExhaustedError",
    "UnavailableError",
    "UnknownError",
)

ANEW = "start anew with train.run's --overwrite."
PARTIAL = ".partial-"
DELETED_FLAGS = f"{PARTIAL}deleted-{FLAGS}"
LOCK = ".lock"
OURS = (PARTIAL, LOCK)


class State(enum.Enum):
    """What a run directory holds."""

    NEW = enum.auto()
    INTERRUPTED = enum.auto()
    DIVERGED = enum.auto()
    FINISHED = enum.auto()

    @property
    def is_over(self) -> bool:
        """Whether no epoch is to come."""
        return self in (State.DIVERGED, State.FINISHED)


class RunDirectory:
    """The folder of one run.

    Args:
        path: The folder; it need not exist.
        flags_text: The run's flags, a line each, as `train.options.as_text` writes them.
        extend: Whether a run of fewer epochs, with the same learning rates up to its last, is
            this run.
    """

    def __init__(self, path: Path, flags_text: str, extend: bool = False):
        self.path, self.flags_text, self.extend = path, flags_text, extend
        self._lock: int | None = None

    def state(self, overwrite: bool) -> State:
        """What is there; changes nothing.

        Raises:
            UsageError: If the folder cannot be written to, holds a run with other flags, or
                holds files that a new run would have to be mixed with.
            InUseError: If another process works on the run.
        """
        with self.files():
            return self._state(overwrite)

    def _state(self, overwrite: bool) -> State:
        existing = self.path
        while not os.path.lexists(existing):
            existing = existing.parent
        if not existing.is_dir() or not os.access(existing, os.W_OK):
            raise UsageError(
                f"--run_dir={self.path}: {existing} is no folder that can be written to; "
                "name another place."
            )
        odd = set("*?[]\\") & set(str(self.path.resolve()))
        if odd:
            raise UsageError(
                f"--run_dir={self.path} has {' '.join(sorted(odd))} in its path, by which "
                "TensorFlow cannot find a SavedModel again: name another folder."
            )
        if existing != self.path:
            return State.NEW
        if (self.path / FLAGS).is_file() and not overwrite:
            extended = self._refuse_other_flags()
            if self._lock is None and self._locked():
                raise self._in_use()
            if (self.path / DIVERGED).is_file():
                return State.DIVERGED
            finished = (self.path / SUMMARY).is_file()
            if extended and finished:
                self._refuse_without_checkpoint()
            return State.FINISHED if finished and not extended else State.INTERRUPTED
        held_a_run = (self.path / FLAGS).is_file() or (self.path / DELETED_FLAGS).is_file()
        for entry in self.path.iterdir():
            if not entry.name.startswith(OURS) and not (held_a_run and entry.name in NAMES):
                raise UsageError(
                    f"--run_dir={self.path} holds {entry.name}, which is no part of a run: "
                    "name a new or an empty folder."
                )
        return State.NEW

    def create(self, overwrite: bool) -> None:
        """Takes the folder for this process; deletes an old run in it, or keeps its own.

        Raises:
            UsageError: As `state`, of which it makes sure again; if it cannot be written.
            InUseError: If another process has the folder or has finished the run meanwhile.
        """
        with self.files():
            self._take()
            self._clear(overwrite)

    def _take(self) -> None:
        """Locks the folder, which is made if need be, for this process."""
        self.path.mkdir(parents=True, exist_ok=True)
        if self._lock is None:
            # The system gives it back when this process ends, however.
            self._lock = os.open(self.path / LOCK, os.O_CREAT | os.O_WRONLY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise self._in_use() from None

    def release(self) -> None:
        """Lets other processes have the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def check_backend(self, name: str) -> None:
        """Refuses what was begun with another backend of Keras than this one.

        Raises:
            UsageError: Naming it.
        """
        with self.files():
            if not (self.path / ENVIRONMENT).is_file():
                return
        with self.whole(ENVIRONMENT):
            begun = self.read_json(ENVIRONMENT).get("backend", name)
        if begun != name:
            raise UsageError(
                f"--run_dir={self.path} holds a run that was begun with KERAS_BACKEND={begun}, and "
                f"here it is {name}: set it to that, or name another folder."
            )

    def _clear(self, overwrite: bool) -> None:
        """Deletes an old run, and what a killed process has left half-written."""
        state = self.state(overwrite)
        if state.is_over:
            raise InUseError(f"--run_dir={self.path} was finished by another process meanwhile.")
        if state is State.NEW and (self.path / FLAGS).is_file():
            # So that what is left is known for a run's if the deletion is cut short.
            (self.path / FLAGS).rename(self.path / DELETED_FLAGS)
        for entry in self.path.iterdir():
            old = state is State.NEW and entry.name in NAMES
            if old or (entry.name.startswith(PARTIAL) and entry.name != DELETED_FLAGS):
                _delete(entry)
        (self.path / DELETED_FLAGS).unlink(missing_ok=True)
        if self.extend:
            # First, or a run that is cut short here would be a finished one of more epochs.
            (self.path / SUMMARY).unlink(missing_ok=True)
        if state is State.NEW or self.extend:
            self.write_text(FLAGS, self.flags_text)

    @contextlib.contextmanager
    def files(self) -> Iterator[None]:
        """Makes a mistake of what cannot be read or written here, by TensorFlow as well.

        Raises:
            UsageError: Naming the folder.
        """
        subject = f"--run_dir={self.path}"
        with file_errors(subject):
            try:
                yield
            except Exception as error:
                lines = tensorflow_lines(error)
                if type(error).__name__ not in FILE_ERRORS or not lines:
                    raise
                raise UsageError(f"{subject}: {lines[0]}.") from error

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """A path to write a file or a folder to; it takes its name at the end of the block."""
        partial, final = self.path / f"{PARTIAL}{name}", self.path / name
        with self.files():
            yield partial
            _to_disk(partial)
            if final.is_dir():
                # A folder cannot be renamed over another.
                old = self.path / f"{PARTIAL}old-{name}"
                final.rename(old)
                partial.rename(final)
                _delete(old)
            else:
                partial.rename(final)
            _sync(self.path)

    def delete(self, name: str) -> None:
        """Deletes a file, if it is there."""
        with self.files():
            (self.path / name).unlink(missing_ok=True)

    def write_text(self, name: str, text: str) -> None:
        with self.writing(name) as path:
            path.write_text(text)

    def write_csv(self, name: str, rows: list[dict[str, Any]]) -> None:
        """Writes rows of the same columns, at least one."""
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        self.write_text(name, text.getvalue())

    def read_csv(self, name: str) -> list[dict[str, str]]:
        """Reads rows.

        Raises:
            ValueError, csv.Error: If one is not whole.
        """
        text = (self.path / name).read_text()
        rows = list(csv.DictReader(io.StringIO(text), strict=True))
        if not text.endswith("\n") or any(None in (*row, *row.values()) for row in rows):
            raise ValueError("a line is not whole")
        return rows

    def epochs(self) -> list[dict[str, str]]:
        """The rows of `history.csv`, one for each epoch that is finished.

        None where it is damaged, since the run writes it anew.
        """
        try:
            return self.read_csv(HISTORY)
        except (OSError, ValueError, csv.Error):
            return []

    def write_json(self, name: str, content: Any) -> None:
        """Writes JSON; a number that is not finite becomes null."""
        self.write_text(name, json.dumps(_finite(content), indent=2, allow_nan=False) + "\n")

    @contextlib.contextmanager
    def whole(self, name: str, advice: str = ANEW) -> Iterator[None]:
        """Makes a mistake of whatever a damaged file makes of itself in the block.

        Raises:
            UsageError: Naming the file and what to do, the advice.
        """
        with self.files():
            try:
                yield
            except (UsageError, OSError):
                raise
            except Exception as error:
                reason = " ".join(str(error).split())
                if not isinstance(error, ValueError):
                    # Which alone says what is wrong; a KeyError is the name of what is not there.
                    reason = f"{type(error).__name__}: {reason}"
                raise UsageError(f"{self.path / name} is damaged ({reason}): {advice}") from None

    def read_json(self, name: str, advice: str = ANEW) -> Any:
        """Reads JSON.

        Args:
            name: The file's.
            advice: What to do about a damaged one.

        Raises:
            UsageError: If the file cannot be read, or is damaged.
        """
        with self.whole(name, advice):
            return json.loads((self.path / name).read_bytes())

    def summary(self) -> dict[str, Any]:
        """What a finished run came to.

        Raises:
            UsageError: If it cannot be read, or has no accuracy.
        """
        with self.whole(SUMMARY):
            summary = self.read_json(SUMMARY)
            check_accuracies(summary)
            return summary

    def diverged(self) -> dict[str, Any] | None:
        """Where the run's loss was no longer finite, and what is said of it; None where it is.

        Raises:
            UsageError: If that cannot be read.
        """
        if not (self.path / DIVERGED).is_file():
            return None
        with self.whole(DIVERGED):
            found = self.read_json(DIVERGED)
            if type(found["epoch"]) is not int or not isinstance(found["reason"], str):
                raise ValueError("it does not say at which epoch and why")
            return found

    def diverged_at(self) -> int | None:
        """The epoch, from 1, at which the run's loss was no longer finite; None where it is."""
        found = self.diverged()
        return None if found is None else found["epoch"]

    def _locked(self) -> bool:
        try:
            with open(self.path / LOCK) as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def _in_use(self) -> InUseError:
        return InUseError(
            f"--run_dir={self.path} is in use by another process: name another folder, or wait "
            "for it."
        )

    def _refuse_other_flags(self) -> bool:
        """Refuses another run's flags; returns whether these are of the run, extended."""
        with self.whole(FLAGS):
            text = (self.path / FLAGS).read_bytes().decode()
            if text != self.flags_text and not text.endswith("\n"):
                raise ValueError("its last line is not whole")
        old = flag_text.of_run(text)
        new = flag_text.of_run(self.flags_text)
        extended = self.extend and _refuse_other_schedule(self.path, old, new)
        names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
        if new.get("dataset") != "image_folder":
            # Where the images are kept on this machine; a folder of images is the data set itself.
            names = [name for name in names if name != "data_dir"]
        if extended:
            names = [name for name in names if name not in SCHEDULE]
        if names:
            differences = ", ".join(
                f"--{name} ({old.get(name, 'not set')} there, {new.get(name, 'not set')} here)"
                for name in names
            )
            longer = ", train it on with --extend," if {*names} <= {*SCHEDULE} else ""
            raise UsageError(
                f"--run_dir={self.path} holds a run with other flags, {differences}: name another "
                f"folder{longer} or start anew there with train.run's --overwrite."
            )
        return extended

    def _refuse_without_checkpoint(self) -> None:
        if not (self.path / CHECKPOINT).is_file():
            raise UsageError(
                f"--extend: {self.path} has no {CHECKPOINT} to go on from, which "
                "--nokeep_checkpoint deletes; train the run anew, in another folder."
            )


def check_accuracies(summary: Mapping[str, Any]) -> None:
    """Refuses what is no accuracy, as of a damaged `summary.json`.

    Raises:
        ValueError: Where there is none on the test images, or one is none.
        KeyError, TypeError, AttributeError: Where the summary is of another shape.
    """
    for part in ("test", *({"validation"} & summary.keys())):
        accuracy = summary[part]["accuracy"]
        if type(accuracy) not in (int, float) or not 0.0 <= accuracy <= 1.0:
            raise ValueError(f"{accuracy!r} is no {part} accuracy")


def _refuse_other_schedule(path: Path, old: dict[str, str], new: dict[str, str]) -> bool:
    """Refuses what `--extend` cannot go on to; returns whether there are epochs to go on for."""
    if not all(flags.get("epochs", "").isdecimal() for flags in (old, new)):
        return False
    before, epochs = int(old["epochs"]), int(new["epochs"])
    if epochs < before:
        raise UsageError(
            f"--extend: {path} holds a run of {before} epochs, and --epochs={epochs} is fewer: "
            "give more."
        )
    if epochs > before and old.get("learning_rate_schedule") == "cosine":
        raise UsageError(
            f"--extend: the learning rate of {path} has come down to 0 over its {before} epochs, "
            "from which there is no going on: train a run of more epochs, in another folder."
        )
    of_old, of_new = (flags.get("learning_rate_drops", "") for flags in (old, new))
    kept = [drop for drop in of_new.split(",") if drop and int(drop) < before]
    if epochs > before and kept != [drop for drop in of_old.split(",") if drop]:
        raise UsageError(
            f"--extend: the learning rates up to epoch {before} are those of "
            f"--learning_rate_drops={of_old}, not {of_new}: give the same, and others from "
            f"{before} on."
        )
    return epochs > before


def _to_disk(entry: Path) -> None:
    """Has a file, or all of a folder, written to the disk."""
    for folder, _, names in os.walk(entry):
        for name in names:
            _sync(Path(folder, name))
    _sync(entry)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _delete(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink()


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content
