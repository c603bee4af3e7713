"""The paper's tables, its values and ours side by side."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from analysis import uncertainty
from analysis.paper import commands, published
from analysis.paper.experiments import ACTIVATIONS, DATASETS, ORDERS, Chosen, Experiment, Runs
from analysis.uncertainty import Estimate

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
DIFFERENCE, DIFFERENCE_SHOWN = "swap - convention", "Swap - Convention"
COLUMNS = ("model", "activation", "order", "data set", "quantity")


@dataclasses.dataclass(frozen=True)
class Entry:
    """One number of a table.

    Attributes:
        names: What it is of, a text for each of `COLUMNS`.
        paper: The published value, as text.
        ours: The mean over the seeds or the difference of two, or a hyper-parameter's text; None if
            not run. Where the test images have chosen the settings it has neither an interval nor
            a test, which know nothing of the choice.
        seeds: How many runs.
        settings: The runs.
        command: What makes them; empty where other entries' runs are enough.
    """

    names: Sequence[str]
    paper: str
    ours: Estimate | str | None = None
    seeds: int = 0
    settings: Sequence[Chosen] = ()
    command: str = ""

    @property
    def is_difference(self) -> bool:
        """Whether it is of two models."""
        return self.names[COLUMNS.index("order")] == DIFFERENCE_SHOWN

    @property
    def digits(self) -> int:
        """Of its numbers, for people."""
        return 2 if self.names[-1] == "accuracy" else 3

    @property
    def difference(self) -> float | None:
        """Ours less the paper's."""
        ours = self.ours
        return ours.value - float(self.paper) if isinstance(ours, Estimate) else None

    def cells(self) -> list[str]:
        """All of it as text, for people."""
        ours, difference, digits = self.ours, self.difference, self.digits
        if isinstance(ours, Estimate):
            figures = [f"{ours.value:.{digits}f}", *uncertainty.cells(ours, digits)]
        else:
            figures = [ours or "not run", "", "", ""]
        less = "" if difference is None else f"{difference:+.{digits}f}"
        return [*self.names, self.paper, *figures, str(self.seeds or ""), less]


_FIRST = (*COLUMNS, "paper", "ours", "standard deviation")
HEADINGS = (*_FIRST, "95 % interval", "p", "seeds", "ours - paper")
# Of `with_all_digits`.
CSV_HEADINGS = (*_FIRST, "95 % from", "95 % to", "p", "test", "seeds", "ours - paper")


def tables(runs: Runs) -> dict[str, list[Entry]]:
    """The entries of every table, by its number; `"text"` for numbers that stand in none."""
    found: dict[str, list[Entry]] = {name: [] for name in TITLES}
    for row in published.numbers():
        found[row["table"]].append(_entry(row, runs))
    return found


def notes(name: str) -> list[str]:
    """Sentences to stand below a table: what the paper's numbers of it leave open."""
    found = [
        f"{given} is {' and '.join(f'{text} in {_place(table)}' for table, text in values)}."
        for given, values in _given_twice().items()
        if name in dict(values)
    ]
    rows = [row for row in published.numbers() if row["table"] == name]
    if name not in SEARCHED and any(row["dataset"] == "imagenet2012" for row in rows):
        found.append(
            "The paper stopped its runs on ImageNet early (A.1) and does not say by what; the "
            "flagfiles train all epochs."
        )
    return found


@functools.cache
def _given_twice() -> dict[str, list[tuple[str, str]]]:
    """By what it is of, a quantity for which the paper has two numbers: each table's."""
    found: dict[str, list[tuple[str, str]]] = {}
    for row in published.numbers():
        experiment = Experiment(row["order"], row["model"], row["activation"], row["dataset"])
        if experiment.order in ORDERS and row["table"] not in SEARCHED:
            of = f"The {row['quantity'].replace('_', ' ')} of {experiment.name}"
            where = f"{of} on {DATASETS[experiment.dataset]}"
            found.setdefault(where, []).append((row["table"], row["value"]))
    return {
        given: values for given, values in found.items() if len({float(v) for _, v in values}) > 1
    }


def _place(table: str) -> str:
    return "the text" if table == "text" else f"table {table}"


def with_all_digits(entries: Sequence[Entry]) -> list[list[Any]]:
    """The rows of a table for a CSV file; what is not run is None."""
    return [
        [*entry.names, entry.paper, *_figures(entry.ours), entry.seeds, entry.difference]
        for entry in entries
    ]


def _figures(ours: Estimate | str | None) -> list[Any]:
    if isinstance(ours, Estimate):
        ends = ours.interval or (None, None)
        return [ours.value, ours.std, *ends, ours.p, ours.test or None]
    return [ours, None, None, None, None, None]


def _entry(row: Mapping[str, str], runs: Runs) -> Entry:
    # The paper's hyper-parameters are what its search has chosen.
    searched = row["table"] in SEARCHED
    command = commands.search if searched else commands.experiment
    made_by = command(row["flagfile"]) if row["flagfile"] else ""
    find = runs.search if searched else runs.setting
    return dataclasses.replace(_filled(row, runs, find), command=made_by)


def _filled(
    row: Mapping[str, str], runs: Runs, find: Callable[[Experiment], Chosen | None]
) -> Entry:
    order, quantity = row["order"], row["quantity"]
    orders = ("swap", "convention") if order == DIFFERENCE else (order,)
    of = row["model"], row["activation"], row["dataset"]
    experiments = [Experiment(order, *of) for order in orders]
    names = (
        experiments[0].network,
        ACTIVATIONS[row["activation"]],
        ORDERS.get(order, DIFFERENCE_SHOWN),
        runs.dataset_name(row["dataset"]),
        quantity.replace("_", " "),
    )
    settings = [setting for setting in map(find, experiments) if setting is not None]
    if len(settings) < len(experiments):
        return Entry(names, row["value"])
    if quantity in settings[0].flags:
        text = _plain(settings[0].flags[quantity].replace(",", " "))
        if quantity not in settings[0].searched:
            text += " (not searched)"
        return Entry(names, row["value"], text, seeds=len(settings[0].runs), settings=settings)
    estimate = uncertainty.difference if order == DIFFERENCE else uncertainty.mean
    ours = estimate(*(_values(setting, quantity) for setting in settings))
    if any(setting.by_test for setting in settings):
        ours = dataclasses.replace(ours, interval=None, p=None, test="")
    return Entry(names, row["value"], ours, ours.seeds, settings)


def _values(setting: Chosen, quantity: str) -> pd.Series:
    """Of each seed."""
    if quantity == "highest saturation":
        return setting.over_layers("saturation").max(axis="columns")
    return setting.values(quantity)


def _plain(text: str) -> str:
    """`1e-05` as the paper writes it."""
    try:
        return f"{float(text):.10f}".rstrip("0").rstrip(".")
    except ValueError:
        return text
