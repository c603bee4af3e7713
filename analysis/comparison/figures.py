"""Figures of settings beside one another."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm, Normalize
from matplotlib.ticker import PercentFormatter

from analysis import drawing, style, uncertainty
from analysis.drawing import QUANTITIES, Drawing, Shown
from analysis.runs import GRADIENTS
from keras_bnact.statistics import STATISTICS

# Panels in a row, of one setting each.
PANELS = 3
DEPTHS = matplotlib.colormaps["viridis"]
# Of the colours of the layers: the last are too faint for lines.
DARK_ENOUGH = 0.88
CURVES = {"cross_entropy": "Cross-entropy", "accuracy": "Accuracy"}
BINS = 30
# Characters of a label that has a line of the legend to itself.
WIDE = 60
# The panels of a layer.
HISTOGRAMS = ("Activation", "Output", "Skewness of the channel", "Saturation of the channel")


@dataclasses.dataclass(frozen=True)
class Figure:
    """One of a comparison.

    Attributes:
        stem: Its files' name without their ending.
        title: What it shows.
        note: How to read it.
        draw: Draws it; None where there is nothing to draw.
    """

    stem: str
    title: str
    note: str
    draw: Callable[[], Drawing] | None


def figures(shown: Sequence[Shown], layers: Sequence[str]) -> Iterator[Figure]:
    """All that there are of some settings.

    Args:
        shown: The settings.
        layers: Those whose histograms are drawn.
    """
    band = "Means over the seeds, in a band of one standard deviation."
    yield Figure(
        "accuracy",
        "Test accuracy",
        "A dot for each seed, and their mean with its 95 % interval.",
        lambda: _accuracy(shown),
    )
    yield Figure(
        "learning_curves",
        "Learning curves",
        "Means over the seeds, in a band from the least to the largest. Training images are "
        "augmented.",
        lambda: _learning_curves(shown),
    )
    yield Figure(
        "statistics_by_layer",
        "Saturation, skewness and sparsity by layer",
        f"After the last epoch. {band}",
        lambda: _by_layer(shown, STATISTICS),
    )
    yield Figure(
        "gradients_by_layer",
        "Inputs and gradients by layer",
        f"Mean absolute values after the last epoch. {band}",
        lambda: _by_layer(shown, GRADIENTS),
    )
    followed = [one for one in shown if one.setting.is_followed]
    for quantity in (*STATISTICS, *GRADIENTS):
        yield Figure(
            f"{quantity}_over_epochs",
            f"{QUANTITIES[quantity].label} over epochs",
            "Means over the seeds: a line for each layer, in the colour of its name below, and the "
            "same as a map.",
            functools.partial(_over_epochs, followed, quantity) if followed else None,
        )
    yield Figure(
        "channels",
        "Skewness of every channel against its mean",
        "A dot for each channel after the last epoch, of the first seed; dark ones are of the "
        "first layers, light ones of the last.",
        lambda: _channels(shown),
    )
    yield Figure(
        "histograms",
        f"Histograms of {', '.join(layers)}",
        "After the last epoch, of the first seed: all activations and all outputs of the layer's "
        "block, per unit of the axis; and its channels by their skewness and saturation, as "
        "shares.",
        lambda: _histograms(shown, layers),
    )


def _accuracy(shown: Sequence[Shown]) -> Drawing:
    drawn, axes = style.new(6.4, 1.2 + 0.35 * len(shown))
    numbers = []
    for place, one in enumerate(shown):
        accuracies, colour = one.setting.accuracies(), one.looks["color"]
        found = uncertainty.mean(accuracies)
        axes.plot(found.interval or (), [place] * len(found.interval or ()), color=colour)
        axes.plot([found.value], [place], "|", color=colour, markersize=16, mew=2)
        axes.plot(accuracies, [place] * len(accuracies), "o", color=colour, mfc="white")
        of_seeds = {"model": one.label, "seed": accuracies.index, "accuracy": accuracies}
        numbers.append(pd.DataFrame(of_seeds))
    axes.set_yticks(range(len(shown)), [one.label for one in shown])
    axes.set(xlabel="Test accuracy (%)", ylim=(len(shown) - 0.5, -0.5))
    axes.grid(False, axis="y")
    return Drawing(drawn, pd.concat(numbers))


def _learning_curves(shown: Sequence[Shown]) -> Drawing:
    drawn, grid = style.new(10, 6.6, nrows=2, ncols=2)
    parts = {_evaluated(one): None for one in shown}
    names = {"val": "held-out images", "test": "test images"}
    evaluated = " or ".join(names[part] for part in parts)
    numbers = []
    for (metric, label), axes in zip(CURVES.items(), grid, strict=True):
        for axis, of in zip(axes, ("training images", evaluated), strict=True):
            for one in shown:
                name = metric if axis is axes[0] else f"{_evaluated(one)}_{metric}"
                found = drawing.over_epochs(axis, [one], name)
                numbers.append(found.rename(columns={name: "mean"}).assign(metric=name))
            axis.set_ylabel(f"{label}, {of}")
            if metric == "accuracy":
                axis.yaxis.set_major_formatter(PercentFormatter(1.0))
    _legend(drawn)
    return Drawing(drawn, pd.concat(numbers))


def _evaluated(one: Shown) -> str:
    return "val" if one.setting.held_out else "test"


def _by_layer(shown: Sequence[Shown], quantities: Sequence[str]) -> Drawing:
    drawn, axes = style.new(12, 4.0, ncols=len(quantities))
    numbers = []
    for axis, quantity in zip(axes, quantities, strict=True):
        numbers.append(drawing.over_layers(axis, shown, quantity))
        axis.set_title(QUANTITIES[quantity].label, fontsize=10)
    _legend(drawn)
    return Drawing(drawn, pd.concat(numbers))


def _over_epochs(shown: Sequence[Shown], quantity: str) -> Drawing:
    tables = [one.setting.layers_over_epochs(quantity) for one in shown]
    scale = _scale(tables, quantity)
    columns = min(PANELS, len(shown))
    rows = -(-len(shown) // columns)
    size = (1.4 + max(3.4 * columns, 5.0), 5.0 * rows)
    drawn, grid = style.new(*size, nrows=2 * rows, ncols=columns, squeeze=False)
    for axis in grid.flat:
        axis.set_axis_off()
    for place, (one, table) in enumerate(zip(shown, tables, strict=True)):
        row, column = divmod(place, columns)
        lines, cells = grid[2 * row, column], grid[2 * row + 1, column]
        lines.set_title(one.label, fontsize=9)
        _lines_of_layers(lines, table, scale)
        mesh = _map_of_layers(cells, table, scale)
        if column == 0:
            lines.set_ylabel(QUANTITIES[quantity].label)
        if column == columns - 1 or place == len(shown) - 1:
            drawn.colorbar(mesh, ax=[*grid[2 * row + 1]], aspect=15, pad=0.02)
    numbers = [
        table.rename_axis(index="layer", columns="epoch")
        .stack()
        .rename(quantity)
        .reset_index()
        .assign(model=one.label)
        for one, table in zip(shown, tables, strict=True)
    ]
    return Drawing(drawn, pd.concat(numbers))


def _scale(tables: Sequence[pd.DataFrame], quantity: str) -> Normalize:
    """One for all settings."""
    values = np.concatenate([table.to_numpy().ravel() for table in tables])
    values = values[np.isfinite(values)]
    if QUANTITIES[quantity].scale == "log":
        positive = values[values > 0]
        if len(positive):
            return LogNorm(positive.min(), positive.max())
    return Normalize(0.0, QUANTITIES[quantity].highest or values.max(initial=0.0) or 1.0)


def _lines_of_layers(axes: Any, table: pd.DataFrame, scale: Normalize) -> None:
    axes.set_axis_on()
    for colour, (_, values) in zip(_depths(len(table)), table.iterrows(), strict=True):
        axes.plot(table.columns, values, color=colour, linewidth=1.2)
    axes.set(xlim=_edges(table)[[0, -1]], yscale="log" if isinstance(scale, LogNorm) else "linear")
    axes.xaxis.get_major_locator().set_params(integer=True)
    # All of the scale, and a little more.
    axes.update_datalim([(table.columns[0], end) for end in (scale.vmin, scale.vmax)])
    axes.autoscale_view(scalex=False)


def _map_of_layers(axes: Any, table: pd.DataFrame, scale: Normalize) -> Any:
    axes.set_axis_on()
    rows = np.arange(len(table) + 1) + 0.5
    mesh = axes.pcolormesh(_edges(table), rows, table, norm=scale, cmap="cividis", rasterized=True)
    axes.grid(False)
    axes.invert_yaxis()
    drawing.name_layers(axes.yaxis, [*table.index])
    step = drawing.step(len(table))
    for colour, tick in zip(_depths(len(table))[::step], axes.get_yticklabels(), strict=True):
        tick.set_color(colour)
    axes.set_xlabel("Epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    return mesh


def _edges(table: pd.DataFrame) -> np.ndarray:
    """Of the epochs' columns in a map: midway between those that were measured."""
    epochs = np.array(table.columns, float)
    middles = (epochs[1:] + epochs[:-1]) / 2
    first, last = epochs[0] - 0.5, epochs[-1] + 0.5
    return np.concatenate([[first], middles, [last]])


def _depths(number: int) -> np.ndarray:
    """A colour for each layer."""
    return DEPTHS(np.linspace(0.0, DARK_ENOUGH, number))


def _channels(shown: Sequence[Shown]) -> Drawing:
    columns = min(PANELS, len(shown))
    rows = -(-len(shown) // columns)
    size = (max(3.4 * columns, 5.0), 3.0 * rows)
    same = {"sharex": True, "sharey": True, "squeeze": False}
    drawn, grid = style.new(*size, nrows=rows, ncols=columns, **same)
    numbers = []
    for axis in grid.flat[len(shown) :]:
        axis.set_axis_off()
    for place, (one, axis) in enumerate(zip(shown, grid.flat, strict=False)):
        run = one.setting.sound[0]
        layers = [*run.layers.index]
        for colour, layer in zip(_depths(len(layers)), layers, strict=True):
            mean, skewness = (run.channels[f"{layer}/{name}"] for name in ("mean", "skewness"))
            dots = {"s": 7, "color": [colour], "alpha": 0.6, "linewidths": 0, "rasterized": True}
            axis.scatter(mean, skewness, **dots)
            found = {"channel": range(len(mean)), "mean": mean, "skewness": skewness}
            numbers.append(pd.DataFrame({"model": one.label, "layer": layer} | found))
        axis.axhline(0.0, color="0.3", linewidth=0.8, linestyle=":")
        axis.set_title(f"{one.label}, seed {run.seed}", fontsize=9)
        axis.tick_params(labelbottom=True)
        if place % columns == 0:
            axis.set_ylabel("Skewness of the channel")
        axis.set_xlabel("Mean of the channel")
    return Drawing(drawn, pd.concat(numbers))


def _histograms(shown: Sequence[Shown], layers: Sequence[str]) -> Drawing:
    size = (12, 0.6 + 2.6 * len(layers))
    drawn, grid = style.new(*size, nrows=len(layers), ncols=4, squeeze=False)
    numbers = []
    for layer, axes in zip(layers, grid, strict=True):
        runs = {one: one.setting.sound[0] for one in shown}
        having = {one: run.channels for one, run in runs.items() if layer in run.layers.index}
        for axis, of in zip(axes[:2], ("activation", "output"), strict=True):
            for one, channels in having.items():
                key = f"{layer}/{of}_histogram"
                edges, counts = channels[f"{key}/edges"][0], channels[f"{key}/counts"][0]
                found = _outline(axis, one, edges, counts, density=True)
                numbers.append(found.assign(layer=layer, of=of))
        for axis, of in zip(axes[2:], ("skewness", "saturation"), strict=True):
            edges = _bins([channels[f"{layer}/{of}"] for channels in having.values()])
            for one, channels in having.items():
                counts, _ = np.histogram(channels[f"{layer}/{of}"], edges)
                found = _outline(axis, one, edges, counts)
                numbers.append(found.assign(layer=layer, of=f"{of} of channels"))
        axes[0].set_ylabel(f"{layer}\nDensity")
        axes[2].set_ylabel("Share of channels")
        for axis, label in zip(axes, HISTOGRAMS, strict=True):
            axis.set_xlabel(label)
    _legend(drawn)
    return Drawing(drawn, pd.concat(numbers))


def _bins(values: Sequence[np.ndarray]) -> np.ndarray:
    every = np.concatenate(values)
    return np.histogram_bin_edges(every[np.isfinite(every)], BINS)


def _outline(
    axes: Any, one: Shown, edges: np.ndarray, counts: np.ndarray, density: bool = False
) -> pd.DataFrame:
    """Draws the outline of a histogram; returns its bins and their shares."""
    share = counts / max(counts.sum(), 1)
    looks = {name: look for name, look in one.looks.items() if name != "marker"}
    if edges[0] < edges[-1]:
        height = share / np.diff(edges) if density else share
        axes.stairs(height, edges, label=one.label, linewidth=1.3, **looks)
    bins = {"from": edges[:-1], "to": edges[1:], "share": share}
    return pd.DataFrame({"model": one.label} | bins)


def _legend(figure: Any) -> None:
    """One for all panels, above them."""
    lines = {
        label: line
        for axes in figure.axes
        for line, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    columns = 1 if max(map(len, lines)) > WIDE else 3
    figure.legend(lines.values(), lines, loc="outside upper left", ncols=columns, fontsize=9)
