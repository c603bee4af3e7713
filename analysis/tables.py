"""The paper's tables, its values and ours side by side."""

import csv
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis import commands
from analysis.cells import ACTIVATIONS, DATASETS, MODELS, ORDERS, Cell, Group, Results

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
PUBLISHED = Path(__file__).with_name("published.csv")


@dataclasses.dataclass(frozen=True)
class Entry:
    """One number of a table.

    Attributes:
        names: What it is of, a text for each of `COLUMNS`.
        paper: The published value, as text.
        ours: The mean over the seeds, or a hyper-parameter's text; None if not run.
        std: The sample's standard deviation, None for fewer than two seeds.
        seeds: How many runs.
        groups: The runs.
        command: What makes them; empty where other entries' runs are enough.
    """

    names: Sequence[str]
    paper: str
    ours: float | str | None = None
    std: float | None = None
    seeds: int = 0
    groups: Sequence[Group] = ()
    command: str = ""

    @property
    def difference(self) -> float | None:
        """Ours less the paper's."""
        return self.ours - float(self.paper) if isinstance(self.ours, float) else None

    def cells(self) -> list[str]:
        """All of it as text, for people."""
        if self.ours is None:
            return [*self.names, self.paper, "not run", "", "", ""]
        if isinstance(self.ours, str):
            return [*self.names, self.paper, self.ours, "", str(self.seeds), ""]
        digits = 2 if self.names[-1] == "accuracy" else 3
        std = "" if self.std is None else f"{self.std:.{digits}f}"
        difference = f"{self.difference:+.{digits}f}"
        return [
            *self.names,
            self.paper,
            f"{self.ours:.{digits}f}",
            std,
            str(self.seeds),
            difference,
        ]


HEADINGS = (*COLUMNS, "paper", "ours", "standard deviation", "seeds", "difference")


def tables(results: Results) -> dict[str, list[Entry]]:
    """The entries of every table, by its number; `"text"` for numbers that stand in none."""
    found: dict[str, list[Entry]] = {name: [] for name in TITLES}
    with PUBLISHED.open(newline="") as file:
        for row in csv.DictReader(file):
            found[row["table"]].append(_entry(row, results))
    return found


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def with_all_digits(entries: Sequence[Entry]) -> list[list[Any]]:
    """The rows of a table for a CSV file; what is not run is None."""
    return [[*e.names, e.paper, e.ours, e.std, e.seeds, e.difference] for e in entries]


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
    dataset = results.dataset(row["dataset"])
    names = (
        MODELS.get(row["model"], row["model"].upper()),
        ACTIVATIONS[row["activation"]],
        ORDERS.get(order, "Swap - Convention"),
        DATASETS.get(dataset, dataset),
        figure.replace("_", " "),
    )
    groups = [group for group in map(find, cells) if group is not None]
    if len(groups) < len(cells):
        return Entry(names, row["value"])
    seeds = min(len(group.results) for group in groups)
    if figure in groups[0].flags:
        ours = _plain(groups[0].flags[figure].replace(",", " "))
        if figure not in groups[0].searched:
            ours += " (not searched)"
        return Entry(names, row["value"], ours, None, seeds, groups)
    mean, std = _mean_and_std(groups[0], figure)
    if order == DIFFERENCE:
        # Of two independent means there is no one sample's deviation.
        mean, std = mean - _mean_and_std(groups[1], figure)[0], None
    return Entry(names, row["value"], mean, std, seeds, groups)


def _mean_and_std(group: Group, figure: str) -> tuple[float, float | None]:
    if figure == "accuracy":
        return group.accuracy()
    if figure == "highest saturation":
        return group.statistic(lambda run: max(row["saturation"] for row in run.statistics))
    return group.statistic(lambda run: run.mean_of_layers(figure))


def _plain(text: str) -> str:
    """`1e-05` as the paper writes it."""
    try:
        return f"{float(text):.10f}".rstrip("0").rstrip(".")
    except ValueError:
        return text
