"""Trains every combination of some flags' values: `python -m train.sweep --help`."""

import importlib.util
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from train import backend, data, errors, interruption, options
from train.errors import InUseError, UsageError
from train.run_directory import RunDirectory, State
from train.sweeps import comparison, engines, execution, grid, ranges
from train.sweeps.execution import Listed
from train.sweeps.grid import Run
from train.sweeps.ranges import Range

SEARCH, FINAL = "search", "final"


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
    given = ranges.parse(sweep.range)
    _check_optimization(sweep, common, arguments, given, runs)
    if final:
        # A mistake shows now, not after the search.
        settled = {name: one.text(one.values[0]) for name, one in given.items()}
        grid.runs(final, common, settled or comparison.settings(runs[0]))
    if sweep.search:
        failed, rows = _optimize(given, common, folder, sweep)
    else:
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


def _optimize(
    given: Mapping[str, Range], common: Any, folder: Path, sweep: Any
) -> tuple[bool, list[comparison.Row]]:
    """Trains the trials of a search; returns whether a run failed, and the table of all."""
    from train.sweeps.search import Search

    backend.check(common)
    data.check(common)
    with errors.file_errors(f"--sweep_dir={folder}"):
        search = Search(given, common, sweep.trials, sweep.workers or 1, folder)
    print(f"{sweep.trials} trials in {folder}")
    sys.stdout.flush()
    failures = execution.execute(search, folder, _engine(sweep))
    directories = {run: search.directory(run) for run in search.runs}
    table = comparison.compare(search.runs, directories, search.pruned)
    failed, rows = _told(table, failures, folder)
    if failed:
        print("The next trials wait until all of these runs are finished.")
    elif verdict := comparison.verdict(rows):
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


def _check_optimization(
    sweep: Any,
    common: Any,
    arguments: Sequence[str],
    given: Mapping[str, Range],
    runs: Sequence[Run],
) -> None:
    if sweep.search is None:
        for name in ("range", "trials"):
            if sweep[name].value:
                raise UsageError(f"--{name} goes with --search=optuna.")
        return
    if not given or not sweep.trials:
        raise UsageError(
            "--search=optuna needs what to choose from and how often: give "
            "--range=learning_rate=log:1e-3:1 and --trials=20, for example."
        )
    for name in ("grid", "search_epochs"):
        if sweep[name].value:
            raise UsageError(f"--{name} goes with a sweep of grids, not with --search=optuna.")
    if not runs[0].flags.validation_fraction:
        raise UsageError("--search chooses by held-out images: give --validation_fraction=0.1.")
    flags = {name for key in given for name in key.split(grid.TOGETHER)}
    if {"epochs", "validation_fraction"} & flags:
        raise UsageError("--search judges all trials by the same epochs and held-out images.")
    grid.check_not_given(arguments, given, "range")
    # What does not go together shows now, not at some trial.
    ends = {name: [one.text(value) for value in one.values] for name, one in given.items()}
    grid.runs(ends, common)
    if importlib.util.find_spec("optuna") is None:
        raise ModuleNotFoundError(name="optuna")


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
    waiting = {run: place for run, place in directories.items() if _is_to_run(run, place)}
    print(f"{len(runs)} runs in {folder}, {len(runs) - len(waiting)} of them finished before")
    sys.stdout.flush()
    failures = {}
    if waiting:
        failures = execution.execute(Listed(waiting), folder, _engine(sweep))
    return _told(comparison.compare(runs, directories), failures, folder)


def _told(
    table: list[comparison.Row], failures: Mapping[Run, str], folder: Path
) -> tuple[bool, list[comparison.Row]]:
    """Writes and prints a table; returns whether a run failed, and the table."""
    with errors.file_errors(f"--sweep_dir={folder}"):
        comparison.write(table, folder)
    print(f"\n{comparison.report(table)}")
    for run, reason in failures.items():
        print(f"{run.name} failed: {reason} (all it said: {execution.log_of(folder, run)})")
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
            # A search has to know on Ray, too, how many trials there are at a time.
            needed = name == "workers" and sweep.search
            if sweep[name].present and engine != sweep.engine and not needed:
                raise UsageError(f"--{name} goes with --engine={engine}.")


def _engine(sweep: Any) -> Any:
    """The engine that the flags name, as a context manager."""
    if sweep.engine == "local":
        return engines.local(sweep.workers or 1)
    return engines.ray(sweep.cpus_per_run or 1, sweep.gpus_per_run or 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
