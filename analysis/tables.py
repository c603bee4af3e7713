"""The paper's tables, its values and ours side by side."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from analysis import commands, published
from analysis.cells import ACTIVATIONS, MODELS, ORDERS, Cell, Group, Results
from analysis.spread import gap, mean_and_std

TITLES = {
    "1": "Test accuracy (%) of VGG16 and MobileNet, and by how much Swap exceeds Convention",
    "2": "VGG16_11 with bounded activation functions: test accuracy (%), and by how much Swap "
    "exceeds Convention in it and in skewness",
    "3": "Hyper-parameters of VGG16 Tanh",
    "4": "Hyper-parameters of VGG16 ReLU",
    "5": "Hyper-parameters of MobileNet Tanh",
    "6": "Hyper-parameters of MobileNet ReLU",
    "7": "Test accuracy (%) of shortened Swap VGG16",
    "text": "Numbers in the paper's text (sections 2, 3.2, 4.2 and 5.2, appendix A.2)",
}
SEARCHED = ("3", "4", "5", "6")
DIFFERENCE = "swap - convention"
COLUMNS = ("model", "activation", "order", "data set", "figure")


@dataclasses.dataclass(frozen=True)
class Entry:
    """One number of a table.

    Attributes:
        names: What it is of, a text for each of `COLUMNS`.
        paper: The published value, as text.
        ours: The mean over the seeds, or a hyper-parameter's text; None if not run.
        std: The sample's standard deviation, of a gap between two models as `spread.gap` has it;
            None for fewer than two seeds.
        interval: Welch's 95 % interval of a gap; None of all else, and where the test images have
            chosen the settings, since an interval knows nothing of the choice.
        seeds: How many runs.
        groups: The runs.
        command: What makes them; empty where other entries' runs are enough.
    """

    names: Sequence[str]
    paper: str
    ours: float | str | None = None
    std: float | None = None
    interval: tuple[float, float] | None = None
    seeds: int = 0
    groups: Sequence[Group] = ()
    command: str = ""

    @property
    def difference(self) -> float | None:
        """Ours less the paper's."""
        return self.ours - float(self.paper) if isinstance(self.ours, float) else None

    def cells(self) -> list[str]:
        """All of it as text, for people."""
        digits = 2 if self.names[-1] == "accuracy" else 3
        if self.ours is None:
            ours = "not run"
        else:
            ours = self.ours if isinstance(self.ours, str) else f"{self.ours:.{digits}f}"
        interval = self.interval and " to ".join(f"{end:+.{digits}f}" for end in self.interval)
        difference = None if self.difference is None else f"{self.difference:+.{digits}f}"
        std = None if self.std is None else f"{self.std:.{digits}f}"
        seeds = str(self.seeds or "")
        return [
            *self.names,
            self.paper,
            ours,
            *(text or "" for text in (std, interval)),
            seeds,
            difference or "",
        ]


_FIRST = (*COLUMNS, "paper", "ours", "standard deviation")
HEADINGS = (*_FIRST, "95 % interval", "seeds", "ours - paper")
# Of `with_all_digits`.
CSV_HEADINGS = (*_FIRST, "95 % from", "95 % to", "seeds", "ours - paper")


def tables(results: Results) -> dict[str, list[Entry]]:
    """The entries of every table, by its number; `"text"` for numbers that stand in none."""
    found: dict[str, list[Entry]] = {name: [] for name in TITLES}
    for row in published.numbers():
        found[row["table"]].append(_entry(row, results))
    return found


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def with_all_digits(entries: Sequence[Entry]) -> list[list[Any]]:
    """The rows of a table for a CSV file; what is not run is None."""
    return [
        [
            *(*entry.names, entry.paper, entry.ours, entry.std),
            *(entry.interval or (None, None)),
            *(entry.seeds, entry.difference),
        ]
        for entry in entries
    ]


def _entry(row: Mapping[str, str], results: Results) -> Entry:
    # The paper's hyper-parameters are what its search has chosen.
    searched = row["table"] in SEARCHED
    command = commands.search if searched else commands.cell
    made_by = command(row["flagfile"]) if row["flagfile"] else ""
    find = results.search if searched else results.group
    return dataclasses.replace(_filled(row, results, find), command=made_by)


def _filled(
    row: Mapping[str, str], results: Results, find: Callable[[Cell], Group | None]
) -> Entry:
    order, figure = row["order"], row["figure"]
    orders = ("swap", "convention") if order == DIFFERENCE else (order,)
    cells = [Cell(order, row["model"], row["activation"], row["dataset"]) for order in orders]
    names = (
        MODELS.get(row["model"], row["model"].upper()),
        ACTIVATIONS[row["activation"]],
        ORDERS.get(order, "Swap - Convention"),
        results.dataset_name(row["dataset"]),
        figure.replace("_", " "),
    )
    groups = [group for group in map(find, cells) if group is not None]
    if len(groups) < len(cells):
        return Entry(names, row["value"])
    if figure in groups[0].flags:
        ours = _plain(groups[0].flags[figure].replace(",", " "))
        if figure not in groups[0].searched:
            ours += " (not searched)"
        return Entry(names, row["value"], ours, seeds=len(groups[0].results), groups=groups)
    values = [_values(group, figure) for group in groups]
    seeds = min(map(len, values))
    if order != DIFFERENCE:
        return Entry(names, row["value"], *mean_and_std(*values), None, seeds, groups)
    difference, std, interval = gap(*values)
    if any(group.by_test for group in groups):
        interval = None
    return Entry(names, row["value"], difference, std, interval, seeds, groups)


def _values(group: Group, figure: str) -> list[float]:
    """Of each seed."""
    if figure == "accuracy":
        return [run.accuracy for run in group.results]
    if figure == "highest saturation":
        return [max(row["saturation"] for row in run.statistics) for run in group.sound]
    return [run.mean_of_layers(figure) for run in group.sound]


def _plain(text: str) -> str:
    """`1e-05` as the paper writes it."""
    try:
        return f"{float(text):.10f}".rstrip("0").rstrip(".")
    except ValueError:
        return text
