"""Inputs and gradients of every weight layer: figure 15."""

import pandas as pd

from analysis import drawing, style
from analysis.drawing import QUANTITIES, Drawing
from analysis.paper import commands
from analysis.paper.experiments import Experiment, Runs
from analysis.paper.figures import Figure, by_order, with_runs
from analysis.runs import GRADIENTS


def _draw(runs: Runs) -> Drawing:
    found, missing = with_runs(runs, (Experiment("convention"), Experiment("swap")))
    drawn, axes = style.new(11, 3.6, ncols=len(GRADIENTS))
    numbers = []
    for axis, quantity in zip(axes, GRADIENTS, strict=True):
        numbers.append(drawing.over_layers(axis, by_order(found), quantity))
        axis.set_title(QUANTITIES[quantity].label, fontsize=10)
        axis.set_ylabel("Mean absolute value")
    axes[0].legend()
    return Drawing(drawn, pd.concat(numbers), list(found.values()), missing)


FIGURES = (
    Figure(
        15,
        "Inputs of the weight layers, and gradients of weights and activations",
        commands.experiments(f"table2/tanh_{order}" for order in ("convention", "swap")),
        _draw,
    ),
)
