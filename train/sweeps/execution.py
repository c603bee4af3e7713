"""The runs of a sweep, carried out: some at a time, with a bar of their epochs."""

import concurrent.futures
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Protocol

from train import errors, options
from train.errors import DIVERGED, IN_USE, InUseError, UsageError
from train.run_directory import RunDirectory
from train.sweeps import comparison, engines
from train.sweeps.grid import Run

LOGS = "logs"
# Seconds between two looks at how far the runs are.
INTERVAL = 1.0


class Work(Protocol):
    """Which runs there are to carry out.

    Attributes:
        epochs: Of all of them together.
    """

    epochs: int

    def directory(self, run: Run) -> RunDirectory:
        """Where a run is written."""

    def ready(self) -> list[Run]:
        """The runs that can begin now, each once."""

    def cut_short(self, run: Run) -> int | None:
        """The epoch, from 1, after which a run that goes on is to end; None where it is not."""

    def end(self, run: Run, failed: bool) -> None:
        """Takes notice that a run has ended."""


class Listed:
    """Runs that are all known before.

    Args:
        directories: Theirs.
    """

    def __init__(self, directories: Mapping[Run, RunDirectory]):
        self._directories = directories
        self._waiting = _in_order([*directories])
        self.epochs = sum(run.flags.epochs for run in directories)

    def directory(self, run: Run) -> RunDirectory:
        return self._directories[run]

    def ready(self) -> list[Run]:
        ready, self._waiting = self._waiting, []
        return ready

    def cut_short(self, run: Run) -> int | None:
        return None

    def end(self, run: Run, failed: bool) -> None:
        pass


def execute(work: Work, folder: Path, engine: Any) -> dict[Run, str]:
    """Carries out runs that are not over; returns why some failed.

    Args:
        work: The runs.
        folder: Of the sweep.
        engine: As `train.sweeps.engines` has them.
    """
    with errors.file_errors(f"--sweep_dir={folder}"):
        (folder / LOGS).mkdir(parents=True, exist_ok=True)
    failures: dict[Run, str] = {}
    # Epochs finished of each run that has begun.
    done: dict[Run, int] = {}
    # Those that another sweep works on take no worker's place meanwhile.
    elsewhere, told, futures, over = [], set(), {}, 0
    with engine as submit, _progress() as progress:
        task = progress.add_task("", total=work.epochs)
        while True:
            elsewhere += work.ready()
            if not elsewhere and not futures:
                break
            for run in list(elsewhere):
                if not _in_use(work.directory(run)):
                    elsewhere.remove(run)
                    futures[submit(_arguments(run, folder), log_of(folder, run))] = run
                elif run not in told:
                    told.add(run)
                    _say(progress, f"{run.name} is in use by another process: waiting for it")
            for future in _finished(futures):
                run = futures.pop(future)
                engines.no_end(log_of(folder, run))
                if not future.exception() and future.result() == IN_USE:
                    elsewhere.append(run)
                    continue
                over += 1
                # Stopped early, failed or whole: no epoch of it is to come.
                done[run] = run.flags.epochs
                reason = _failure(future, log_of(folder, run))
                if reason is not None:
                    failures[run] = reason
                _say(progress, f"{run.name} {_outcome(work, run, reason)}")
                work.end(run, reason is not None)
            for run in futures.values():
                if work.cut_short(run) is not None:
                    engines.end(log_of(folder, run))
            for run in (*futures.values(), *elsewhere):
                done[run] = len(work.directory(run).epochs())
            failed = f", {len(failures)} failed" if failures else ""
            told_of = f"{over}/{over + len(futures) + len(elsewhere)} runs{failed}"
            progress.update(
                task, total=work.epochs, completed=sum(done.values()), description=told_of
            )
    return failures


def log_of(folder: Path, run: Run) -> str:
    """The file that a run's output goes to."""
    return str(folder / LOGS / f"{run.name}.txt")


def _outcome(work: Work, run: Run, reason: str | None) -> str:
    diverged = work.directory(run).diverged_at()
    if diverged is not None:
        return f"diverged at epoch {diverged}"
    if reason is not None:
        return f"failed: {reason}"
    cut_short = work.cut_short(run)
    return "finished" if cut_short is None else f"cut short after epoch {cut_short}"


def _progress() -> Any:
    """A bar of epochs, on a terminal alone."""
    # Here, since its import takes as long as all else that a mistake waits for.
    from rich import console, progress

    terminal = console.Console(stderr=True)
    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("epochs"),
        progress.TimeElapsedColumn(),
        progress.TimeRemainingColumn(),
        console=terminal,
        disable=not terminal.is_terminal,
    )


def _say(progress: Any, text: str) -> None:
    # As it is, on one line however long, and above the bar.
    progress.console.print(text, markup=False, emoji=False, highlight=False, soft_wrap=True)


def _in_order(runs: Sequence[Run]) -> list[Run]:
    """A network's seeds next to one another, which take the same compiled programs on JAX."""
    settings = [comparison.settings(run) for run in runs]
    return sorted(runs, key=lambda run: settings.index(comparison.settings(run)))


def _in_use(directory: RunDirectory) -> bool:
    try:
        directory.state(overwrite=False)
    except InUseError:
        return True
    except UsageError:
        # Of that run, which says so itself.
        return False
    return False


def _arguments(run: Run, folder: Path) -> list[str]:
    # Given in the same words as its flags.txt, so that it is known for the same run.
    flags = options.as_text(run.flags) + options.checkpoint_text(run.flags)
    return [*flags.splitlines(), f"--run_dir={folder / run.name}"]


def _finished(futures: Iterable[Future]) -> set[Future]:
    """Those that are done, as soon as one is or some time has passed."""
    if not futures:
        time.sleep(INTERVAL)
    return concurrent.futures.wait(futures, INTERVAL, concurrent.futures.FIRST_COMPLETED).done


def _failure(future: Future, log: str) -> str | None:
    """Why a run failed, None where it did not."""
    if future.exception():
        return " ".join(str(future.exception()).split())
    status = future.result()
    # Of a run that was cut short there is none.
    if status in (None, 0, DIVERGED):
        return None
    return f"killed by signal {-status}" if status < 0 else _last_line(log)


def _last_line(log: str) -> str:
    with open(log, "rb") as file:
        file.seek(max(0, os.path.getsize(log) - 2000))
        lines = file.read().decode(errors="replace").split("\n")
    said = [line.strip().removeprefix("train.run: ") for line in lines if line.strip()]
    return said[-1] if said else "it said nothing"
