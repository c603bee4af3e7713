"""Inputs and gradients of every weight layer: figure 15."""

import numpy as np
import pandas as pd

from analysis import commands, style
from analysis.experiments import Experiment, Runs
from analysis.figures import Drawing, Figure, with_runs

PANELS = {
    "input": "Input of the weight layer",
    "weight_gradient": "Gradient of its weights",
    "activation_gradient": "Gradient of the activation's input",
}


def _draw(runs: Runs) -> Drawing:
    found, missing = with_runs(runs, (Experiment("convention"), Experiment("swap")))
    drawn, axes = style.new(11, 3.6, ncols=len(PANELS))
    numbers = []
    for axis, (statistic, title) in zip(axes, PANELS.items(), strict=True):
        for experiment, setting in found.items():
            values, looks = setting.over_layers(statistic), style.by_order(experiment)
            mean, std = style.seeds(axis, looks, experiment.label, values)
            named = {"model": experiment.label, "layer": mean.index, "statistic": statistic}
            numbers.append(pd.DataFrame(named | {"mean": mean, "std": std}))
        axis.set_xticks(np.arange(1, len(mean) + 1), mean.index, rotation=90, fontsize=8)
        axis.set(xlabel="Layer", ylabel="Mean absolute value")
        axis.set_title(title, fontsize=10)
        axis.set_yscale("linear" if statistic == "input" else "log")
    style.from_zero(axes[0])
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
