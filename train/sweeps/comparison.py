"""The table of a sweep: what its runs came to, over seeds."""

import dataclasses
import io
import os
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from train import run_directory
from train.csv_text import csv_text
from train.run_directory import RunDirectory
from train.sweeps.grid import Run

TABLE = "table.csv"


@dataclasses.dataclass(frozen=True)
class Row:
    """Runs that differ in their seeds alone.

    Attributes:
        settings: What varies in the sweep but for the seed, as text.
        runs: How many there are.
        accuracies: Of those that are finished, by what they were measured on: `"validation"`
            where images are held out, and `"test"`.
        diverged: The epochs, from 1, at which the loss of others was no longer finite.
        cut_short: The epochs after which a search has cut others short.
    """

    settings: Mapping[str, str]
    runs: int
    accuracies: Mapping[str, Sequence[float]]
    diverged: Sequence[int] = ()
    cut_short: Sequence[int] = ()


def settings(run: Run) -> dict[str, str]:
    """What varies of a run but for its seed."""
    return {name: value for name, value in run.settings.items() if name != "seed"}


def compare(
    runs: Sequence[Run],
    directories: Mapping[Run, RunDirectory],
    cut_short: Mapping[Run, int] | None = None,
) -> list[Row]:
    """A row for each combination of what varies but for the seed.

    Args:
        runs: All of a sweep, at least one.
        directories: Theirs.
        cut_short: After which epochs some of them are, whatever they have come to since.

    Raises:
        UsageError: If what a run came to is damaged.
    """
    groups: dict[tuple, list[Run]] = {}
    for run in runs:
        groups.setdefault(tuple(settings(run).items()), []).append(run)
    held_out = any(run.flags.validation_fraction for run in runs)
    parts = ("validation", "test") if held_out else ("test",)
    rows = []
    for key, members in groups.items():
        whole = [run for run in members if run not in (cut_short or {})]
        summaries = [_summary(directories[run]) for run in whole]
        accuracies = {
            part: [s[part]["accuracy"] for s in summaries if s is not None and part in s]
            for part in parts
        }
        epochs = [directories[run].diverged_at() for run in whole]
        kept = [epoch for epoch in epochs if epoch is not None]
        cut = [(cut_short or {})[run] for run in members if run not in whole]
        rows.append(Row(dict(key), len(members), accuracies, kept, cut))
    return rows


def best(rows: Sequence[Row]) -> tuple[Row, str] | None:
    """The row of the highest mean accuracy, and on what; None where no run is finished.

    Of those of which no run has diverged: what is left of a row would be the seeds that were lucky.
    """
    finished, part = _by_accuracy(rows)
    return (finished[0], part) if finished else None


def best_quarter(rows: Sequence[Row]) -> list[Row]:
    """Of each value of the first setting a quarter of the rows, one at least: the best.

    Not of all rows, since after a few epochs a high learning rate is behind one that it will have
    overtaken in the end.
    """
    of_value: dict[str, list[Row]] = {}
    for row in rows:
        of_value.setdefault(next(iter(row.settings.values()), ""), []).append(row)
    kept = [_by_accuracy(group)[0][: max(1, len(group) // 4)] for group in of_value.values()]
    return [row for group in kept for row in group]


def _by_accuracy(rows: Sequence[Row]) -> tuple[list[Row], str]:
    """Rows that have finished runs and no diverged one, the best first, and what judges them."""
    part = "validation" if "validation" in rows[0].accuracies else "test"
    finished = [row for row in rows if row.accuracies[part] and not row.diverged]
    finished.sort(key=lambda row: statistics.fmean(row.accuracies[part]), reverse=True)
    return finished, part


def write(rows: Sequence[Row], folder: Path) -> None:
    """Writes `table.csv`: settings, runs, and of each accuracy mean and standard deviation."""
    parts = list(rows[0].accuracies)
    columns = [f"{part}_accuracy_{what}" for part in parts for what in ("mean", "std")]
    # Of a search alone.
    cut_short = ["cut_short"] if any(row.cut_short for row in rows) else []
    headings = [*rows[0].settings, "runs", "finished", "diverged", *cut_short, *columns]
    written = []
    for row in rows:
        figures = [figure for part in parts for figure in _mean_and_std(row.accuracies[part])]
        finished = len(row.accuracies["test"])
        counts = [row.runs, finished, len(row.diverged)]
        counts += [len(row.cut_short)] if cut_short else []
        written.append([*row.settings.values(), *counts, *figures])
    folder.mkdir(parents=True, exist_ok=True)
    # Two sweeps may write at a time.
    partial = folder / f"{run_directory.PARTIAL}{os.getpid()}-{TABLE}"
    partial.write_text(csv_text(headings, written))
    partial.rename(folder / TABLE)


def report(rows: Sequence[Row]) -> str:
    """The table for people."""
    # Here, since its import takes as long as all else that a mistake waits for.
    import rich.console
    import rich.table
    import rich.text

    parts = list(rows[0].accuracies)
    table = rich.table.Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for name in rows[0].settings:
        table.add_column(rich.text.Text(name))
    for name in ("runs", *(f"{part} accuracy, %" for part in parts)):
        table.add_column(name, justify="right")
    for row in rows:
        finished = len(row.accuracies["test"])
        runs = str(row.runs) if finished == row.runs else f"{finished} of {row.runs}"
        if row.diverged:
            at = ", ".join(map(str, sorted(row.diverged)))
            runs += f", {len(row.diverged)} diverged at epoch {at}"
        if row.cut_short:
            runs += f", cut short after epoch {', '.join(map(str, row.cut_short))}"
        cells = (*row.settings.values(), runs, *map(_shown, row.accuracies.values()))
        # As they are: a string would be taken for markup.
        table.add_row(*map(rich.text.Text, cells))
    # As wide as it is, wherever it goes to.
    console = rich.console.Console(
        file=io.StringIO(), width=10_000, force_terminal=False, color_system=None
    )
    console.print(table, markup=False, emoji=False, highlight=False)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())


def verdict(rows: Sequence[Row]) -> str:
    """Which row is best, in words, or which are alike; nothing where there is no choice."""
    finished, part = _by_accuracy(rows)
    if not finished or len(rows) == 1:
        return ""
    highest = statistics.fmean(finished[0].accuracies[part])
    alike = [row for row in finished if statistics.fmean(row.accuracies[part]) == highest]
    settings = "; ".join(
        ", ".join(f"{name}={value}" for name, value in row.settings.items()) for row in alike
    )
    return f"{'Alike in the highest' if len(alike) > 1 else 'Best by'} {part} accuracy: {settings}"


def _summary(directory: RunDirectory) -> Any:
    finished = (directory.path / run_directory.SUMMARY).is_file()
    return directory.summary() if finished else None


def _mean_and_std(accuracies: Sequence[float]) -> tuple[float | None, float | None]:
    """Mean, and sample standard deviation where there are two or more."""
    mean = statistics.fmean(accuracies) if accuracies else None
    return mean, statistics.stdev(accuracies) if len(accuracies) > 1 else None


def _shown(accuracies: Sequence[float]) -> str:
    mean, std = _mean_and_std(accuracies)
    if mean is None:
        return "-"
    text = f"{100.0 * mean:.2f}"
    return text if std is None else f"{text} ± {100.0 * std:.2f}"
