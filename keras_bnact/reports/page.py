"""One self-contained HTML page of a model's layers."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_bnact import _extras
from keras_bnact.reports.findings import Finding, find
from keras_bnact.statistics import STATISTICS, LayerHistogram, LayerStatistics, ModelStatistics

TEMPLATE = Path(__file__).with_name("page.html.jinja")
# Epochs that a heat map has columns for, and up to how many of them hold numbers.
COLUMNS, NUMBERS = 60, 12
WORST = 6
LOW, HIGH = np.array([250, 250, 247]), np.array([172, 66, 12])
# A skewness of this is the darkest there is.
SKEWEST = 3.0
BINS = {"saturation": np.linspace(0, 1, 11), "skewness": np.linspace(-SKEWEST, SKEWEST, 11)}


@dataclasses.dataclass(frozen=True)
class Cell:
    """One layer at one epoch."""

    title: str
    text: str
    background: str
    colour: str


@dataclasses.dataclass(frozen=True)
class Bars:
    """Shares of a few bins, as heights of 0 to 1."""

    title: str
    heights: Sequence[float]


@dataclasses.dataclass(frozen=True)
class Channel:
    """One channel among the most saturated, or the most skewed."""

    layer: str
    number: int
    figures: Mapping[str, str]
    bars: Bars | None


def page(
    title: str,
    epochs: Mapping[int, Sequence[Mapping[str, Any]]],
    measured: ModelStatistics,
) -> str:
    """A page of a model in training: findings, statistics by layer and epoch, and channels.

    It needs no other file and no network, and is readable on a telephone. Needs `jinja2`, which
    the extra `report` brings.

    Args:
        title: What was trained.
        epochs: By the epoch, from 1, the records of the layers: `ModelStatistics.records()`.
        measured: What the last epoch came to. Histograms of the activation with
            `channels="all"` give the distributions of the worst channels.

    Returns:
        HTML.

    Example:

    >>> import numpy as np
    >>> from keras_bnact import reports, statistics
    >>> layer = statistics.describe(np.tanh(np.linspace(-3, 3, 50)), name="conv1")
    >>> measured = statistics.ModelStatistics([layer])
    >>> "conv1" in reports.page("toy", {1: measured.records()}, measured)
    True
    """
    jinja2 = check_installed()
    first, *_ = epochs.values()
    before = {record["layer"]: record["saturation"] for record in first}
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(TEMPLATE.read_text()).render(
        title=title,
        epochs=[*epochs],
        findings=_by_kind(find(measured, before if len(epochs) > 1 else None)),
        maps={name: _heat_map(name, epochs) for name in STATISTICS},
        shown=_columns(epochs),
        layers=measured,
        means=measured.means(),
        distributions={layer.name: _distributions(layer) for layer in measured},
        worst={
            "Most saturated": _worst(measured, lambda layer: layer.channel_saturation),
            "Most skewed": _worst(measured, lambda layer: np.abs(layer.channel_skewness)),
        },
        left_out=measured.left_out,
    )


def check_installed() -> Any:
    """The package that makes the page.

    Raises:
        ModuleNotFoundError: Without it.

    Example:

    >>> from keras_bnact.reports.page import check_installed
    >>> check_installed().__name__
    'jinja2'
    """
    return _extras.imported("jinja2", "report", "A report")


def _by_kind(findings: Sequence[Finding]) -> dict[str, list[Finding]]:
    return {
        kind: [finding for finding in findings if finding.kind == kind]
        for kind in dict.fromkeys(finding.kind for finding in findings)
    }


def _columns(epochs: Mapping[int, Any]) -> list[int]:
    """Those that a heat map shows: all, or the first, the last and some between."""
    places = np.linspace(0, len(epochs) - 1, min(len(epochs), COLUMNS)).round().astype(int)
    return [[*epochs][place] for place in places]


def _heat_map(
    name: str, epochs: Mapping[int, Sequence[Mapping[str, Any]]]
) -> dict[str, list[Cell]]:
    """Of a statistic a row for each layer, with a cell for each column."""
    columns = _columns(epochs)
    by_epoch = {epoch: {x["layer"]: x[name] for x in epochs[epoch]} for epoch in columns}
    layers = dict.fromkeys(layer for values in by_epoch.values() for layer in values)
    return {
        layer: [
            _cell(f"{layer}, epoch {epoch}", name, values.get(layer), len(columns) <= NUMBERS)
            for epoch, values in by_epoch.items()
        ]
        for layer in layers
    }


def _cell(where: str, name: str, value: float | None, numbers: bool) -> Cell:
    if value is None or not np.isfinite(value):
        return Cell(f"{where}: not finite or not measured", "-" if numbers else "", "#ddd", "#000")
    share = min(value / (SKEWEST if name == "skewness" else 1.0), 1.0)
    red, green, blue = (LOW + share * (HIGH - LOW)).round().astype(int)
    return Cell(
        title=f"{where}: {name} {value:.3f}",
        text=f"{value:.2f}" if numbers else "",
        background=f"rgb({red}, {green}, {blue})",
        colour="#fff" if share > 0.8 else "#000",
    )


def _distributions(layer: LayerStatistics) -> dict[str, Bars]:
    """How the layer's channels spread over the values that a channel can have."""
    bars = {}
    for name, edges in BINS.items():
        values = getattr(layer, f"channel_{name}")
        values = np.clip(values[np.isfinite(values)], edges[0], edges[-1])
        counts, _ = np.histogram(values, edges)
        ranges = zip(edges, edges[1:], counts, strict=False)
        title = ", ".join(f"{low:.1f} to {high:.1f}: {n}" for low, high, n in ranges if n)
        bars[name] = Bars(f"channels with a {name} of {title}", counts / max(counts.max(), 1))
    return bars


def _worst(layers: Sequence[LayerStatistics], key: Any) -> list[Channel]:
    ranked = [
        (value, layer, number)
        for layer in layers
        for number, value in enumerate(key(layer))
        if np.isfinite(value)
    ]
    ranked.sort(key=lambda one: one[0], reverse=True)
    return [
        Channel(
            layer.name,
            number,
            {name: f"{values[number]:.2f}" for name, values in layer.channels().items()},
            _channel_bars(layer, number),
        )
        for _, layer, number in ranked[:WORST]
    ]


def _channel_bars(layer: LayerStatistics, number: int) -> Bars | None:
    for histogram in layer.histograms:
        channels = histogram.channels or ()
        if histogram.of == "activation" and number in channels:
            return _bars(histogram, channels.index(number))
    return None


def _bars(histogram: LayerHistogram, row: int) -> Bars:
    counts, edges = histogram.counts[row], histogram.edges[row]
    # Few enough to be seen apart.
    groups = np.array_split(counts, min(len(counts), 25))
    sums = np.array([group.sum() for group in groups])
    return Bars(f"from {edges[0]:.2f} to {edges[-1]:.2f}", sums / max(sums.max(), 1))
