"""How every figure looks: readable in print, in greyscale and by the colour-blind."""

import matplotlib
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


def new(width: float = 6.4, height: float = 3.6, **keywords) -> tuple[Figure, object]:
    """A figure of so many inches, and its axes; keywords as of `pyplot.subplots`."""
    figure = Figure(figsize=(width, height))
    return figure, figure.subplots(**keywords)
