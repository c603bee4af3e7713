"""Inputs and gradients of every weight layer: figure 15."""

import numpy as np

from analysis import commands, style
from analysis.cells import Cell, Results
from analysis.figures import Drawing, Figure, groups

PANELS = {
    "input": "Input of the weight layer",
    "weight_gradient": "Gradient of its weights",
    "activation_gradient": "Gradient of the activation's input",
}


def _draw(results: Results) -> Drawing:
    found, missing = groups(results, (Cell("convention"), Cell("swap")))
    drawn, axes = style.new(11, 3.6, ncols=len(PANELS))
    rows = []
    for axis, (figure, title) in zip(axes, PANELS.items(), strict=True):
        for cell, group in found.items():
            names, values = group.over_layers("gradients", figure)
            x = np.arange(1, len(names) + 1)
            mean, std = style.seeds(axis, style.by_order(cell), cell.label, x, values)
            rows += [
                {
                    "model": cell.label,
                    "layer": name,
                    "figure": figure,
                    "mean": float(mean[i]),
                    "std": float(std[i]),
                }
                for i, name in enumerate(names)
            ]
        axis.set_xticks(x, names, rotation=90, fontsize=8)
        axis.set(xlabel="Layer", ylabel="Mean absolute value")
        axis.set_title(title, fontsize=10)
        axis.set_yscale("linear" if figure == "input" else "log")
    style.from_zero(axes[0])
    axes[0].legend()
    return Drawing(drawn, rows, list(found.values()), missing)


FIGURES = (
    Figure(
        15,
        "Inputs of the weight layers, and gradients of weights and activations",
        commands.cells(f"table2/tanh_{order}" for order in ("convention", "swap")),
        _draw,
    ),
)
