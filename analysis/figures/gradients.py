"""Inputs and gradients of every weight layer: figure 15."""

import numpy as np

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
    rows = []
    for axis, (statistic, title) in zip(axes, PANELS.items(), strict=True):
        for experiment, setting in found.items():
            names, values = setting.over_layers("gradients", statistic)
            x = np.arange(1, len(names) + 1)
            mean, std = style.seeds(axis, style.by_order(experiment), experiment.label, x, values)
            rows += [
                {
                    "model": experiment.label,
                    "layer": name,
                    "figure": statistic,
                    "mean": float(mean[i]),
                    "std": float(std[i]),
                }
                for i, name in enumerate(names)
            ]
        axis.set_xticks(x, names, rotation=90, fontsize=8)
        axis.set(xlabel="Layer", ylabel="Mean absolute value")
        axis.set_title(title, fontsize=10)
        axis.set_yscale("linear" if statistic == "input" else "log")
    style.from_zero(axes[0])
    axes[0].legend()
    return Drawing(drawn, rows, list(found.values()), missing)


FIGURES = (
    Figure(
        15,
        "Inputs of the weight layers, and gradients of weights and activations",
        commands.experiments(f"table2/tanh_{order}" for order in ("convention", "swap")),
        _draw,
    ),
)
