"""What figures draw of settings: their layers, their epochs, their histograms."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis import style
from analysis.settings import Setting
from analysis.uncertainty import mean_and_std
from keras_bnact.statistics import STATISTICS

# Names on an axis that can be told apart.
NAMES = 16
# Lines that leave their legend room among them.
FEW = 3
# Marks on a line.
MARKS = 10


@dataclasses.dataclass(frozen=True)
class Axis:
    """How a quantity of the layers is drawn.

    Attributes:
        label: With what it is called.
        highest: Where its axis ends; by default above all that is drawn.
        scale: Matplotlib's name.
    """

    label: str
    highest: float | None = None
    scale: str = "linear"


QUANTITIES = {
    **{name: Axis(name.capitalize()) for name in STATISTICS},
    "saturation": Axis("Saturation", 1.0),
    "sparsity": Axis("Sparsity", 1.0),
    "input": Axis("Input of the weight layer"),
    "weight_gradient": Axis("Gradient of its weights", scale="log"),
    "activation_gradient": Axis("Gradient of the activation's input", scale="log"),
}


@dataclasses.dataclass(frozen=True)
class Drawing:
    """What is drawn.

    Attributes:
        figure: A Matplotlib figure.
        numbers: What it shows.
        settings: The runs behind it.
        missing: What could be shown and has no runs, in words.
    """

    figure: Any
    numbers: pd.DataFrame
    settings: Sequence[Any] = ()
    missing: Sequence[str] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Shown:
    """A setting in a figure.

    Attributes:
        label: Its name there.
        looks: Keyword arguments of `Axes.plot`.
        setting: Its runs.
    """

    label: str
    looks: Mapping[str, Any]
    setting: Setting


def over_layers(axes: Any, shown: Sequence[Shown], quantity: str) -> pd.DataFrame:
    """Draws a line for each setting, with a band of one standard deviation over its seeds.

    Layers have their names where all settings have the same, else numbers.

    Returns:
        The numbers, a row for each point.
    """
    numbers, layers = [], []
    for one in shown:
        values = one.setting.over_layers(quantity)
        mean, std = mean_and_std(values)
        x = np.arange(1, len(mean) + 1)
        axes.plot(x, mean, label=one.label, **one.looks)
        if len(values) > 1:
            axes.fill_between(x, mean - std, mean + std, **style.band(one.looks["color"]))
        layers.append([*mean.index])
        named = {"model": one.label, "dataset": one.setting.images[0], "layer": mean.index}
        points = {"x": x, "y": mean, "std": std}
        numbers.append(pd.DataFrame(named | {"statistic": quantity} | points))
    longest = max(layers, key=len)
    if all(one == longest for one in layers):
        name_layers(axes.xaxis, longest, rotation=90)
    else:
        name_layers(axes.xaxis, [str(number) for number in range(1, len(longest) + 1)])
    axes.set(xlabel="Layer", yscale=QUANTITIES[quantity].scale)
    if QUANTITIES[quantity].scale == "linear":
        style.from_zero(axes, QUANTITIES[quantity].highest)
    return pd.concat(numbers)


def legend(axes: Any, number: int) -> None:
    """Of so many lines: among them, or above the axes where there are many."""
    if number > FEW:
        axes.legend(ncols=2, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    else:
        axes.legend()


def name_layers(axis: Any, layers: Sequence[str], **keywords: Any) -> None:
    """Names the layers, which stand at 1, 2, ... on an axis, or some of many."""
    every = step(len(layers))
    axis.set_ticks(range(1, len(layers) + 1, every), layers[::every], fontsize=8, **keywords)


def step(number: int) -> int:
    """From one layer that is named to the next, of so many layers."""
    return 1 + number // NAMES


def over_epochs(axes: Any, shown: Sequence[Shown], metric: str) -> pd.DataFrame:
    """Draws the mean over the seeds of a column of `history.csv`, in a band from least to largest.

    Returns:
        The numbers, a row for each point.
    """
    numbers = []
    for one in shown:
        curves = one.setting.over_epochs(metric)
        mean, _ = mean_and_std(curves)
        lowest, highest = curves.min(skipna=False), curves.max(skipna=False)
        looks = {**one.looks, "markevery": max(1, len(mean) // MARKS)}
        axes.plot(mean.index, mean, label=one.label, **looks)
        axes.fill_between(mean.index, lowest, highest, **style.band(looks["color"]))
        named = {"model": one.label, "epoch": mean.index}
        numbers.append(pd.DataFrame(named | {metric: mean, "lowest": lowest, "highest": highest}))
    axes.set_xlabel("Epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    return pd.concat(numbers)


def bars(
    axes: Any, histogram: Mapping[str, np.ndarray], row: int, colour: str, density: bool = False
) -> pd.DataFrame:
    """Draws a histogram.

    Args:
        histogram: Its `edges` and `counts`, each of shape `(rows, bins)`, the edges one more.
        row: Which of them.
        density: Of shares per unit of the axis, since bins differ in width; by default of shares.

    Returns:
        The bins and their shares.
    """
    edges, counts = histogram["edges"][row], histogram["counts"][row]
    share = counts / max(counts.sum(), 1)
    axes.grid(False)
    if not edges[0] < edges[-1]:
        # Batch normalization with a gamma of zero.
        axes.text(0.5, 0.5, f"all at {edges[0]:g}", ha="center", transform=axes.transAxes)
    else:
        axes.stairs(share / np.diff(edges) if density else share, edges, fill=True, color=colour)
    return pd.DataFrame({"from": edges[:-1], "to": edges[1:], "share": share})
