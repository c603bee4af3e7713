"""How every figure looks: readable in print, in greyscale and by the colour-blind."""

from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from analysis.cells import Cell

# Okabe and Ito's colours, of different lightness; the order of normalization has the colour.
COLOURS = {"convention": "#0072B2", "swap": "#D55E00", "nwdbn": "#E69F00", "nobn": "#000000"}
MARKERS = {"convention": "o", "swap": "^", "nwdbn": "s", "nobn": "x"}
DASHES = {"tanh": "-", "lecun_tanh": "--", "softsign": ":", "relu": "-."}

matplotlib.use("Agg")
matplotlib.rcParams.update(
    {
        "axes.grid": True,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "figure.constrained_layout.use": True,
        "figure.dpi": 100,
        "font.size": 10,
        "grid.color": "0.9",
        "legend.frameon": False,
        "lines.linewidth": 1.6,
        "lines.markersize": 5,
        "savefig.dpi": 160,
        "svg.hashsalt": "keras_bnact",
    }
)


def line(cell: Cell) -> dict[str, str]:
    """Keyword arguments of `Axes.plot` for a model."""
    return {
        "color": COLOURS[cell.order],
        "marker": MARKERS[cell.order],
        "linestyle": DASHES[cell.activation],
    }


def band(cell: Cell) -> dict[str, Any]:
    """Keyword arguments of `Axes.fill_between` around the line of a model."""
    return {"color": COLOURS[cell.order], "alpha": 0.15, "linewidth": 0}


def seeds(
    axes: Any, cell: Cell, label: str, x: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Draws a model's mean over the seeds, in a band of one standard deviation.

    Args:
        values: Of shape `(seeds, len(x))`.

    Returns:
        Mean and sample standard deviation, NaN for one seed.
    """
    mean, std = values.mean(axis=0), np.full(len(x), np.nan)
    axes.plot(x, mean, label=label, **line(cell))
    if len(values) > 1:
        std = values.std(axis=0, ddof=1)
        axes.fill_between(x, mean - std, mean + std, **band(cell))
    return mean, std


def new(width: float = 6.4, height: float = 3.6, **keywords) -> tuple[Figure, object]:
    """A figure of so many inches, and its axes; keywords as of `pyplot.subplots`."""
    figure = Figure(figsize=(width, height))
    return figure, figure.subplots(**keywords)
