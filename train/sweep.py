"""Trains every combination of some flags' values: `python -m train.sweep --help`."""

import concurrent.futures
import csv
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from train import backend, data, errors, interruption, options, run_directory
from train.errors import DIVERGED, IN_USE, InUseError, UsageError
from train.run_directory import RunDirectory, State
from train.sweeps import comparison, engines, grid
from train.sweeps.grid import Run

LOGS, SEARCH, FINAL = "logs", "search", "final"
# Seconds between two looks at how far the runs are.
INTERVAL = 1.0


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns its exit status.

    That is 0, 1 if a run has failed, 2 for a mistake of the user's, 130 if interrupted, or 143 if
    terminated.
    """
    interruption.raise_when_terminated()
    goes_on = "the same command goes on."
    return errors.run_command("train.sweep", lambda: _sweep(arguments), goes_on)


def _sweep(arguments: Sequence[str]) -> int:
    sweep, common = options.parse_sweep(arguments)
    if common.help:
        print(options.usage(options.define_sweep(), options.SWEEP_USAGE))
        return 0
    if sweep.sweep_dir is None:
        raise UsageError("--sweep_dir is missing: name the folder to write the runs to.")
    for name in options.PLACE_FLAGS:
        if common[name].present:
            raise UsageError(f"--{name} goes with train.run; a sweep has --sweep_dir.")
    _check_engine(sweep)
    # Absolute, since the runs are other processes.
    folder = Path(sweep.sweep_dir).absolute()
    if common.data_dir is not None:
        common.data_dir = str(Path(common.data_dir).absolute())
    grids, final = grid.parse(sweep.grid), grid.parse(sweep.final, "--final")
    grid.check_not_given(arguments, [*grids, *final])
    runs = grid.runs(grids, common)
    _check_search(sweep, common, runs, [*grids, *final])
    if final:
        # A mistake shows now, not after the search.
        grid.runs(final, common, comparison.settings(runs[0]))
    failed, rows = _search(grids, common, folder, sweep)
    if failed or not final:
        if failed and final:
            print("--final waits until all of these runs are finished.")
        return int(failed)
    print("\nThe best settings, on all training images")
    chosen, _ = _best(rows)
    failed, _ = _train(grid.runs(final, common, chosen.settings), folder / FINAL, sweep)
    return int(failed)


def _search(
    grids: Mapping[str, Sequence[str]], common: Any, folder: Path, sweep: Any
) -> tuple[bool, list[comparison.Row]]:
    """Trains all settings, or fewer and fewer of them in rounds; returns the last round's rows."""
    rows = None
    rounds = sweep.search_epochs or [None]
    for epochs in rounds:
        runs = grid.runs(grids, common, epochs=epochs)
        place = folder
        if rows is not None:
            _best(rows)
            kept = [row.settings for row in comparison.best_quarter(rows)]
            runs = [run for run in runs if comparison.settings(run) in kept]
        if epochs is not None:
            print(f"\nRound of {epochs} epoch{'s' * (epochs > 1)}")
            place = folder / SEARCH / f"epochs={epochs}"
        failed, rows = _train(runs, place, sweep)
        if failed and epochs != rounds[-1]:
            print("The next round waits until all of these runs are finished.")
            return failed, rows
    if verdict := comparison.verdict(rows):
        print(verdict)
    return failed, rows


def _best(rows: Sequence[comparison.Row]) -> tuple[comparison.Row, str]:
    chosen = comparison.best(rows)
    if chosen is None:
        raise UsageError(
            "no setting is left to choose from, since runs of each diverged: give smaller learning "
            "rates."
        )
    return chosen


def _check_search(sweep: Any, common: Any, runs: Sequence[Run], grids: Sequence[str]) -> None:
    if sweep.final and "validation_fraction" in grids:
        raise UsageError(
            "validation_fraction varies in a grid, and --final trains on all images: take it out."
        )
    for name in ("final", "search_epochs"):
        if sweep[name].value and not all(run.flags.validation_fraction for run in runs):
            raise UsageError(
                f"--{name} chooses by held-out images: give --validation_fraction=0.1."
            )
    if sweep.search_epochs:
        rounds = sweep["search_epochs"].serialize()
        if "epochs" in [name for key in grids for name in key.split(grid.TOGETHER)]:
            raise UsageError(f"{rounds} sets the epochs: take them out of the grid.")
        if sweep.search_epochs[-1] > common.epochs:
            raise UsageError(
                f"{rounds} goes beyond --epochs={common.epochs}: give up to {common.epochs} epochs."
            )
        settings = [
            comparison.settings(run) for run in runs if run.flags.seed == runs[0].flags.seed
        ]
        first = [next(iter(of_run.values()), "") for of_run in settings]
        if len(set(first)) == len(first):
            raise UsageError(
                f"{rounds} leaves out settings of each value of the first grid, which has one of "
                "each: give a second grid, or no rounds."
            )


def _train(runs: Sequence[Run], folder: Path, sweep: Any) -> tuple[bool, list[comparison.Row]]:
    """Trains what is not finished; returns whether a run failed, and the table of all."""
    directories = {run: RunDirectory(folder / run.name, options.as_text(run.flags)) for run in runs}
    waiting = [run for run in runs if _is_to_run(run, directories[run])]
    print(f"{len(runs)} runs in {folder}, {len(runs) - len(waiting)} of them finished before")
    sys.stdout.flush()
    failures = _execute(waiting, directories, folder, _engine(sweep)) if waiting else {}
    table = comparison.compare(runs, directories)
    with errors.file_errors(f"--sweep_dir={folder}"):
        comparison.write(table, folder)
    print(f"\n{comparison.report(table)}")
    for run, reason in failures.items():
        print(f"{run.name} failed: {reason} (all it said: {_log(folder, run)})")
    return bool(failures), table


def _is_to_run(run: Run, directory: RunDirectory) -> bool:
    backend.check(run.flags)
    data.check(run.flags)
    try:
        state = directory.state(overwrite=False)
    except InUseError:
        return True
    if state is not State.NEW:
        directory.check_backend(backend.name())
    # What is damaged shows now, not after the other runs.
    if state is State.FINISHED:
        directory.summary()
    if state is State.DIVERGED:
        directory.diverged()
    return not state.is_over


def _check_engine(sweep: Any) -> None:
    flags = {"local": ("workers",), "ray": ("cpus_per_run", "gpus_per_run")}
    for engine, names in flags.items():
        for name in names:
            if sweep[name].present and engine != sweep.engine:
                raise UsageError(f"--{name} goes with --engine={engine}.")


def _engine(sweep: Any) -> Any:
    """The engine that the flags name, as a context manager."""
    if sweep.engine == "local":
        return engines.local(sweep.workers or 1)
    return engines.ray(sweep.cpus_per_run or 1, sweep.gpus_per_run or 0)


def _execute(
    runs: Sequence[Run], directories: dict[Run, RunDirectory], folder: Path, engine: Any
) -> dict[Run, str]:
    """Trains the runs; returns why some failed."""
    with errors.file_errors(f"--sweep_dir={folder}"):
        (folder / LOGS).mkdir(parents=True, exist_ok=True)
    failures: dict[Run, str] = {}
    epochs = {run: run.flags.epochs for run in runs}
    done = {run: _epochs(directories[run]) for run in runs}
    # Those that another sweep works on take no worker's place meanwhile.
    elsewhere, told, futures = _in_order(runs), set(), {}
    with engine as submit, _progress() as progress:
        task = progress.add_task("", total=sum(epochs.values()), completed=sum(done.values()))
        while futures or elsewhere:
            for run in list(elsewhere):
                if not _in_use(directories[run]):
                    elsewhere.remove(run)
                    futures[submit(_arguments(run, folder), _log(folder, run))] = run
                elif run not in told:
                    told.add(run)
                    _say(progress, f"{run.name} is in use by another process: waiting for it")
            for future in _finished(futures):
                run = futures.pop(future)
                if not future.exception() and future.result() == IN_USE:
                    elsewhere.append(run)
                    continue
                reason = _failure(future, _log(folder, run))
                # Stopped early, failed or whole: no epoch of it is to come.
                done[run] = epochs[run]
                diverged = directories[run].diverged_at()
                if diverged is not None:
                    _say(progress, f"{run.name} diverged at epoch {diverged}")
                elif reason is not None:
                    failures[run] = reason
                    _say(progress, f"{run.name} failed: {reason}")
                else:
                    _say(progress, f"{run.name} finished")
            for run in (*futures.values(), *elsewhere):
                done[run] = _epochs(directories[run])
            over = len(runs) - len(futures) - len(elsewhere)
            failed = f", {len(failures)} failed" if failures else ""
            told_of = f"{over}/{len(runs)} runs{failed}"
            progress.update(task, completed=sum(done.values()), description=told_of)
    return failures


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
    if future.result() < 0:
        return f"killed by signal {-future.result()}"
    return None if future.result() in (0, DIVERGED) else _last_line(log)


def _last_line(log: str) -> str:
    with open(log, "rb") as file:
        file.seek(max(0, os.path.getsize(log) - 2000))
        lines = file.read().decode(errors="replace").split("\n")
    said = [line.strip().removeprefix("train.run: ") for line in lines if line.strip()]
    return said[-1] if said else "it said nothing"


def _epochs(directory: RunDirectory) -> int:
    """Epochs that the run has finished."""
    try:
        return len(directory.read_csv(run_directory.HISTORY))
    except (OSError, ValueError, csv.Error):
        # The run writes a damaged one anew.
        return 0


def _log(folder: Path, run: Run) -> str:
    return str(folder / LOGS / f"{run.name}.txt")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
