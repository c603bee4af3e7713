"""What settings come to, and the gaps between them, with how far either is known."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import pandas as pd

from analysis import uncertainty
from analysis.comparison.labels import given, value
from analysis.drawing import Shown
from analysis.settings import Setting
from analysis.uncertainty import Estimate
from keras_bnact.statistics import STATISTICS

# Digits, for people.
QUANTITIES = {"accuracy": 2, **dict.fromkeys(STATISTICS, 3)}
INTERVAL = "95 % interval"
# Of CSV files.
KNOWN = ("standard deviation", "95 % from", "95 % to")


@dataclasses.dataclass(frozen=True)
class Gap:
    """By how much a quantity of one setting exceeds that of another.

    Attributes:
        name: Of the two, and in brackets what they have in common: `swap - convention (tanh)`.
        quantity: Of `QUANTITIES`.
        estimate: How much.
    """

    name: str
    quantity: str
    estimate: Estimate


def means(shown: Sequence[Shown], others: Sequence[str]) -> pd.DataFrame:
    """A table of texts, a row for each setting: seeds, means ± standard deviations, intervals.

    Args:
        shown: The settings.
        others: Flags in which they differ, beside those of their labels.
    """
    rows = []
    for one in shown:
        row = [*(given(one.setting, name) for name in others), str(len(one.setting.runs))]
        for quantity, digits in QUANTITIES.items():
            found = uncertainty.mean(one.setting.values(quantity))
            deviation, interval, _ = uncertainty.cells(found, digits)
            mean = f"{found.value:.{digits}f}"
            row += [f"{mean} ± {deviation}" if deviation else mean, interval]
        rows.append(row)
    columns = [*(name.replace("_", " ") for name in others), "seeds"]
    for quantity in QUANTITIES:
        columns += [heading(quantity), INTERVAL]
    settings = pd.Index([one.label for one in shown], name="setting")
    return pd.DataFrame(rows, columns=columns, index=settings)


def means_with_all_digits(shown: Sequence[Shown]) -> tuple[list[str], list[list[Any]]]:
    """Headings and rows for a CSV file: a row for each setting and quantity."""
    rows = []
    for one, quantity in itertools.product(shown, QUANTITIES):
        found = uncertainty.mean(one.setting.values(quantity))
        ends = found.interval or (None, None)
        rows.append([one.label, quantity, found.seeds, found.value, found.std, *ends])
    return ["setting", "quantity", "seeds", "mean", *KNOWN], rows


def gaps(shown: Sequence[Shown], names: Sequence[str]) -> list[Gap]:
    """Between settings that differ in one of some flags; where none do, between all.

    Of settings on other images there is none.

    Args:
        shown: The settings.
        names: The flags that tell them apart.
    """
    settings = [one.setting for one in shown]
    pairs = [
        (one, other, [name for name in names if value(one, name) != value(other, name)])
        for one, other in itertools.combinations(settings, 2)
        if one.images == other.images
    ]
    close = [pair for pair in pairs if len(pair[-1]) == 1]
    return [
        Gap(_name(one, other, apart, names), quantity, _difference(one, other, quantity))
        for one, other, apart in close or pairs
        for quantity in QUANTITIES
    ]


def gaps_shown(found: Sequence[Gap]) -> pd.DataFrame:
    """A table of texts, a row for each gap."""
    rows = []
    for gap in found:
        digits = QUANTITIES[gap.quantity]
        deviation, interval, p = uncertainty.cells(gap.estimate, digits)
        rows.append(
            {
                "gap": gap.name,
                "quantity": heading(gap.quantity),
                "difference": f"{gap.estimate.value:+.{digits}f}",
                "standard deviation": deviation,
                INTERVAL: interval,
                "p": p,
                "seeds": str(gap.estimate.seeds),
            }
        )
    return pd.DataFrame(rows).set_index(["gap", "quantity"])


def gaps_with_all_digits(found: Sequence[Gap]) -> tuple[list[str], list[list[Any]]]:
    """Headings and rows for a CSV file."""
    rows = []
    for gap in found:
        of = gap.estimate
        ends = of.interval or (None, None)
        rows.append([gap.name, gap.quantity, of.value, of.std, *ends, of.p, of.test, of.seeds])
    return ["gap", "quantity", "difference", *KNOWN, "p", "test", "seeds"], rows


def heading(quantity: str) -> str:
    """What a quantity is called in tables."""
    return "test accuracy (%)" if quantity == "accuracy" else quantity


def _difference(one: Setting, other: Setting, quantity: str) -> Estimate:
    return uncertainty.difference(other.values(quantity), one.values(quantity))


def _name(one: Setting, other: Setting, apart: Sequence[str], names: Sequence[str]) -> str:
    ends = [", ".join(value(setting, name) for name in apart) for setting in (other, one)]
    common = ", ".join(value(one, name) for name in names if name not in apart)
    return " - ".join(ends) + (f" ({common})" if common else "")
