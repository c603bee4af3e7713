"""A figure of every layer: figures 3, 4, 9, 10, 13 and 14."""

from collections.abc import Callable
from typing import Any

import numpy as np

from analysis import commands, style
from analysis.cells import ACTIVATIONS, DATASETS, MODELS, Cell, Group, Results
from analysis.figures import Drawing, Figure, NotRunError, groups
from keras_bnact import activations

# Of the vertical axis: its label, and its end where that is known.
AXES = {"saturation": ("Saturation", 1.0), "skewness": ("Skewness", None)}
# Lines that leave their legend room among them.
FEW = 3
BOTH = (Cell("convention"), Cell("swap"))


def _both_orders(figure: str) -> Any:
    def draw(results: Results) -> Drawing:
        found, missing = groups(results, BOTH)
        drawn, axes = style.new()
        rows = _lines(axes, found, figure, lambda cell: cell.label)
        return Drawing(drawn, rows, list(found.values()), missing)

    return draw


def _without_normalization(results: Results) -> Drawing:
    cells = Cell("convention", "vgg16"), Cell("nobn", "vgg16")
    found, missing = groups(results, cells)
    drawn, axes = style.new(10, 3.6, ncols=2)
    rows = [
        row
        for axis, figure in zip(axes, ("saturation", "skewness"), strict=True)
        for row in _lines(axis, found, figure, lambda cell: cell.label)
    ]
    return Drawing(drawn, rows, list(found.values()), missing)


def _activations(results: Results) -> Drawing:
    drawn, (left, right) = style.new(10, 3.6, ncols=2)
    x = np.linspace(-4.0, 4.0, 161)
    names = ("tanh", "lecun_tanh", "softsign")
    shapes = {
        "tanh": np.tanh(x),
        "lecun_tanh": activations.bounds("lecun_tanh")[1] * np.tanh(2.0 / 3.0 * x),
        "softsign": x / (1.0 + np.abs(x)),
    }
    rows = []
    for name in names:
        left.plot(x, shapes[name], color=style.ACTIVATIONS[name], label=ACTIVATIONS[name])
        rows += [
            _row(ACTIVATIONS[name], "", "", "shape", float(a), float(b), float("nan"))
            for a, b in zip(x, shapes[name], strict=True)
        ]
    left.set(xlabel="Input", ylabel="Output")
    left.legend()
    cells = [Cell(order, activation=name) for name in names for order in ("convention", "swap")]
    try:
        found, missing = groups(results, cells)
    except NotRunError:
        right.text(0.5, 0.5, "not run", ha="center", transform=right.transAxes, color="0.4")
        right.set_axis_off()
        return Drawing(drawn, rows, (), ["the skewness of the layers, on the right"])
    rows += _lines(
        right,
        found,
        "skewness",
        lambda cell: f"{cell.label}, {ACTIVATIONS[cell.activation]}",
        looks=style.by_activation,
    )
    return Drawing(drawn, rows, list(found.values()), missing)


def _datasets(results: Results) -> Drawing:
    cells = [
        Cell("swap", model, dataset=dataset)
        for model in ("vgg16", "mobilenet")
        for dataset in DATASETS
    ]
    names = {c: f"{MODELS.get(c.model, c.model.upper())}, {DATASETS[c.dataset]}" for c in cells}
    found, missing = groups(results, cells)
    # A row for each network and a column for each data set, as far as there are runs.
    shown = [
        cell
        for cell in cells
        if cell.model in {c.model for c in found} and cell.dataset in {c.dataset for c in found}
    ]
    nrows = len({cell.model for cell in shown})
    ncols = len(shown) // nrows
    size = (3.0 * ncols, 2.6 * nrows) if len(shown) > 1 else ()
    drawn, axes = style.new(*size, nrows=nrows, ncols=ncols, sharey="row", squeeze=False)
    rows = []
    for cell, axis in zip(shown, axes.flat, strict=True):
        stand_in = results.dataset(cell.dataset)
        own = stand_in == cell.dataset
        axis.set_title(names[cell] if own else f"{names[cell]} ({stand_in})", fontsize=9)
        if cell in found:
            one = {cell: found[cell]}
            rows += _lines(axis, one, "skewness", names.__getitem__, legend=False)
            # The first of the row may be switched off.
            axis.tick_params(labelleft=True)
        else:
            axis.text(0.5, 0.5, "not run", ha="center", transform=axis.transAxes, color="0.4")
            axis.set_axis_off()
    missing = [names[cell].replace(", ", " on ") for cell in cells if cell not in found]
    return Drawing(drawn, rows, list(found.values()), missing)


def _depth(results: Results) -> Drawing:
    found, missing = groups(results, (Cell("swap", "vgg16"),))
    drawn, axes = style.new()
    rows = _lines(axes, found, "skewness", lambda cell: cell.label)
    return Drawing(drawn, rows, list(found.values()), missing)


def _lines(
    axes: Any,
    found: dict[Cell, Group],
    figure: str,
    label: Callable[[Cell], str],
    legend: bool = True,
    looks: Callable[[Cell], dict[str, str]] = style.by_order,
) -> list[dict[str, Any]]:
    """A line for each group, with a band of one standard deviation over its seeds."""
    rows, longest = [], []
    for cell, group in found.items():
        names, values = group.over_layers("statistics", figure)
        x = np.arange(1, len(names) + 1)
        mean, std = style.seeds(axes, looks(cell), label(cell), x, values)
        longest = max(longest, names, key=len)
        images = group.flags["dataset"]
        rows += [
            _row(label(cell), images, name, figure, int(x[i]), float(mean[i]), float(std[i]))
            for i, name in enumerate(names)
        ]
    step = 1 + len(longest) // 16
    axes.set_xticks(range(1, len(longest) + 1, step), longest[::step], rotation=90, fontsize=8)
    title, highest = AXES[figure]
    axes.set(ylabel=title, xlabel="Layer")
    style.from_zero(axes, highest)
    if legend and len(found) > FEW:
        axes.legend(ncols=2, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    elif legend:
        axes.legend()
    return rows


def _row(model, images, layer, figure, x, y, std) -> dict[str, Any]:
    return {
        "model": model,
        "dataset": images,
        "layer": layer,
        "figure": figure,
        "x": x,
        "y": y,
        "std": std,
    }


_BOTH = commands.cells(["table2/tanh_convention", "table2/tanh_swap"])
FIGURES = (
    Figure(3, "Saturation of the layers", _BOTH, _both_orders("saturation")),
    Figure(4, "Skewness of the layers", _BOTH, _both_orders("skewness")),
    Figure(
        9,
        "Skewness of Swap's layers on several data sets",
        commands.cells(
            f"table1/{m}_tanh_{d}_swap" for m in ("vgg16", "mobilenet") for d in DATASETS
        ),
        _datasets,
    ),
    Figure(
        10,
        "With and without batch normalization: saturation and skewness of VGG16",
        commands.cells(["figure10/convention", "figure10/nobn"]),
        _without_normalization,
    ),
    Figure(
        13,
        "Bounded activation functions, and the skewness of their layers",
        commands.cells(
            f"table2/{a}_{o}"
            for a in ("tanh", "lecun_tanh", "softsign")
            for o in ("convention", "swap")
        ),
        _activations,
    ),
    Figure(14, "Skewness of the layers of VGG16", commands.cells(["table7/vgg16_16"]), _depth),
)
