"""How every figure looks: readable in print, in greyscale and by the colour-blind."""

from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter, LogFormatterMathtext

# Okabe and Ito's colours, of different lightness. Most often the order has the colour.
COLOURS = {"convention": "#0072B2", "swap": "#D55E00", "nwdbn": "#E69F00", "nobn": "#000000"}
MARKERS = {"convention": "o", "swap": "^", "nwdbn": "s", "nobn": "x"}
ACTIVATIONS = {"tanh": "#000000", "lecun_tanh": "#009E73", "softsign": "#CC79A7"}

matplotlib.use("Agg")
matplotlib.rcParams.update(
    {
        "axes.axisbelow": True,
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
        # Names and flags are text, also where they hold a dollar sign.
        "text.parse_math": False,
    }
)


def by_order(order: str) -> dict[str, Any]:
    """Keyword arguments of `Axes.plot` for a model whose order has the colour."""
    return {"color": COLOURS[order], "marker": MARKERS[order]}


def by_activation(activation: str, order: str) -> dict[str, Any]:
    """The same where the activation has the colour: the convention dashed."""
    return {
        "color": ACTIVATIONS[activation],
        "marker": MARKERS[order],
        "linestyle": "--" if order == "convention" else "-",
    }


def band(colour: str) -> dict[str, Any]:
    """Keyword arguments of `Axes.fill_between` around a line of that colour."""
    return {"color": colour, "alpha": 0.15, "linewidth": 0}


def from_zero(axes: Any, highest: float | None = None) -> None:
    """Begins the vertical axis at zero and ends it at `highest`, or above all that is drawn.

    Of axes that share it, all that were drawn so far count.
    """
    if highest is None:
        axes.set_ylim(auto=True)
        axes.autoscale_view(scalex=False)
        highest = axes.get_ylim()[1]
    axes.set_ylim(0.0, highest)


def plain_ticks(figure: Figure) -> None:
    """Has logarithmic axes write `1e-05`: their own labels are formulas, which texts here are not.

    `text.parse_math` is off, since what users name may hold a dollar sign.
    """
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            for of, set_formatter in (
                (axis.get_major_formatter(), axis.set_major_formatter),
                (axis.get_minor_formatter(), axis.set_minor_formatter),
            ):
                if isinstance(of, LogFormatterMathtext):
                    # Of a symmetric one, which is linear about zero.
                    threshold = getattr(axis.get_transform(), "linthresh", None)
                    set_formatter(LogFormatter(linthresh=threshold))


def new(width: float = 6.4, height: float = 3.6, **keywords: Any) -> tuple[Figure, Any]:
    """A figure of so many inches, and its axes; keywords as of `pyplot.subplots`."""
    figure = Figure(figsize=(width, height))
    return figure, figure.subplots(**keywords)
