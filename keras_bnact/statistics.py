"""Saturation, asymmetric saturation and sparsity: the definitions, and moments that give them.

For the output `a` of an activation with the asymptotes `lower` and `upper`, and the output `g` of
its block, with `M` elements a channel:

| statistic of a layer | formula                                                               |
| ---                  | ---                                                                   |
| saturation           | `mean(abs(a - (lower + upper) / 2)) / ((upper - lower) / 2)`          |
| skewness             | mean over channels of `abs(channel skewness)`                         |
| channel skewness     | `sqrt(M(M-1))/(M-2) * mean((a - mean)**3) / mean((a - mean)**2)**1.5` |
| empirical saturation | `mean(abs(g) / max abs(g) of its channel)`                            |
| sparsity             | `1 - empirical saturation`                                            |

With the paper's functions, of `lower = -upper`, saturation is its `mean(abs(a) / upper)`; that of
others (a sigmoid's), the distance from the middle over half the span, is ours.

All come from moments of the channels about their means, which are merged over batches and
replicas: sums of raw powers cancel where a channel saturates.

Reference: equations 1 to 4, section 5.2 and Algorithms 1 and 2 of the paper; Pébay, "Formulas for
robust, one-pass parallel computation of covariances and arbitrary-order statistical moments", 2008.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from keras_bnact import activations, records
from keras_bnact.activations import Bounds

STATISTICS = ("saturation", "skewness", "sparsity")
# From this standard deviation on float64 holds the cubes that a skewness is made of.
SMALLEST_SKEWED = 1e-100


@dataclasses.dataclass
class ChannelMoments:
    """What the elements of many channels come to, in float64; `+` merges two sets of elements.

    Args:
        count: Number of elements.
        mean: Of the activation, as the next ones.
        second, third: Sums of `(a - mean)**2` and `(a - mean)**3`.
        absolute, output_absolute: Sums of the absolute values of the activation, less the middle
            of its bounds, and of the block's output.
        minimum, maximum: Of the activation.

    All are of shape `(channels,)`.

    Example:

    >>> import numpy as np
    >>> from keras_bnact.statistics import ChannelMoments
    >>> merged = ChannelMoments.of(np.array([[1.0], [3.0]])) + ChannelMoments.of(np.array([[5.0]]))
    >>> float(merged.mean[0]), float(merged.second[0]), float(merged.third[0])
    (3.0, 8.0, 0.0)

    Reference: Pébay (2008), merging of two sets' moments of orders 2 and 3.
    """

    count: np.ndarray
    mean: np.ndarray
    second: np.ndarray
    third: np.ndarray
    absolute: np.ndarray
    output_absolute: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, middle: float = 0.0) -> "ChannelMoments":
        """Those of an array of shape `(elements, channels)`; the block's output is its own."""
        mean = x.mean(axis=0)
        deviation = x - mean
        return cls(
            count=np.full(x.shape[1], len(x), "float64"),
            mean=mean,
            second=(deviation**2).sum(axis=0),
            third=(deviation**3).sum(axis=0),
            absolute=np.abs(x - middle).sum(axis=0),
            output_absolute=np.abs(x).sum(axis=0),
            minimum=x.min(axis=0),
            maximum=x.max(axis=0),
        )

    def __add__(self, other: "ChannelMoments") -> "ChannelMoments":
        with np.errstate(all="ignore"):
            return self._merged(other)

    def _merged(self, other: "ChannelMoments") -> "ChannelMoments":
        difference = other.mean - self.mean
        # One set or both may be empty: of padding alone.
        count = np.maximum(self.count + other.count, 1.0)
        product = self.count * other.count / count
        crossed = (self.count * other.second - other.count * self.second) / count
        return ChannelMoments(
            count=self.count + other.count,
            mean=self.mean + difference * other.count / count,
            second=self.second + other.second + difference**2 * product,
            third=self.third
            + other.third
            + difference**3 * product * (self.count - other.count) / count
            + 3.0 * difference * crossed,
            absolute=self.absolute + other.absolute,
            output_absolute=self.output_absolute + other.output_absolute,
            minimum=np.minimum(self.minimum, other.minimum),
            maximum=np.maximum(self.maximum, other.maximum),
        )

    def __getitem__(self, channels: slice) -> "ChannelMoments":
        return ChannelMoments(
            *(getattr(self, field.name)[channels] for field in dataclasses.fields(self))
        )


@dataclasses.dataclass(frozen=True)
class LayerHistogram:
    """Counts of a layer's values in bins of equal width.

    Args:
        of: `"activation"`, or `"output"` of the block.
        channels: The channel of each row; None where the one row holds all channels.
        edges: Bin edges, of shape `(rows, bins + 1)`.
        counts: Elements in each bin, of shape `(rows, bins)`. Values beyond the range are
            counted in the outermost bins, NaN is not counted.

    Example:

    >>> import numpy as np
    >>> from keras_bnact.statistics import LayerHistogram
    >>> edges, counts = np.array([[-1.0, 0.0, 1.0]]), np.array([[3, 1]])
    >>> LayerHistogram("activation", None, edges, counts).counts.sum()
    np.int64(4)

    Reference: figures 1 and 8 of the paper.
    """

    of: str
    channels: tuple[int, ...] | None
    edges: np.ndarray
    counts: np.ndarray

    def together(self) -> "LayerHistogram":
        """One of all channels, of rows that have the same edges, as an activation's have."""
        return LayerHistogram(self.of, None, self.edges[:1], self.counts.sum(axis=0, keepdims=True))


@dataclasses.dataclass(frozen=True, repr=False)
class LayerStatistics:
    """What `keras_bnact.measure` finds out about one layer.

    The formulas stand at the head of this module. A channel of zero variance, or of a standard
    deviation below 1e-100, whose cube float64 cannot hold, has skewness 0 and one whose block's
    output is zero everywhere has sparsity 1; both are counted. `measure` gives 0, too, where a
    float32 activation's channel has a range below 2**-70, or below 2**-40 where its first 8
    examples are equal. Where a channel holds NaN or infinity its statistics, and with them its
    layer's, are NaN.

    Args:
        name: The layer's name; of a nested one, its path.
        activation: Name of the activation.
        bounds: The activation's asymptotes, None where it has none or none are known: then the
            saturation is `mean(abs(a) / max abs(a) of its channel)`, which the paper lacks.
        saturation: In [0, 1].
        skewness: Mean absolute skewness of the channels, 0 or more.
        sparsity: In [0, 1], of the block's output.
        channel_saturation, channel_sparsity: In [0, 1].
        channel_skewness: Signed: negative where the tail is on the left.
        channel_mean, channel_std, channel_max: Mean, standard deviation (of the population) and
            largest absolute value of the activation.
        channel_output_max: Largest absolute value of the block's output.
        count: Elements a channel, exact.
        constant_channels: Number of channels whose activation is always the same.
        zero_channels: Number of channels whose block's output is always zero.
        non_finite_channels: Number of channels that hold NaN or infinity.
        histograms: Those that were asked for.

    Example:

    >>> import numpy as np
    >>> from keras_bnact import statistics
    >>> layer = statistics.describe(np.array([-1.0, 0.5, 0.5]), name="toy")
    >>> layer
    LayerStatistics(toy: saturation 0.6667, skewness 1.7321, sparsity 0.3333, 1 channels)
    """

    name: str
    activation: str
    bounds: Bounds | None
    saturation: float
    skewness: float
    sparsity: float
    channel_saturation: np.ndarray
    channel_skewness: np.ndarray
    channel_sparsity: np.ndarray
    channel_mean: np.ndarray
    channel_std: np.ndarray
    channel_max: np.ndarray
    channel_output_max: np.ndarray
    count: int
    constant_channels: int
    zero_channels: int
    non_finite_channels: int
    histograms: tuple[LayerHistogram, ...] = ()

    @property
    def empirical_saturation(self) -> float:
        """Algorithm 2's, of the block's output: `1 - sparsity`."""
        return 1.0 - self.sparsity

    def channels(self) -> dict[str, np.ndarray]:
        """The values of the channels by name: `saturation`, `skewness`, ..., `output_max`."""
        prefix = "channel_"
        names = [field.name for field in dataclasses.fields(self)]
        return {
            name.removeprefix(prefix): getattr(self, name)
            for name in names
            if name.startswith(prefix)
        }

    def __repr__(self) -> str:
        values = ", ".join(f"{name} {getattr(self, name):.4f}" for name in STATISTICS)
        return f"LayerStatistics({self.name}: {values}, {len(self.channel_mean)} channels)"


class ModelStatistics(records.Results[LayerStatistics]):
    """The `LayerStatistics` of a model, in the order of its forward pass; prints as a table.

    Also found by name: `statistics["conv1"]`. A notebook shows a table; `plot()` draws the layers,
    and `to_frame()` gives a `pandas.DataFrame`.

    Args:
        layers: The layers.
        left_out: What of the model is not measured, though nobody asked for that, with the
            reason. Of a class with code of its own its name stands there: what that code calls
            beside layers is not seen.

    Example:

    >>> import numpy as np
    >>> from keras_bnact import statistics
    >>> toy = statistics.describe(np.array([-1.0, 0.5, 0.5]), name="toy", activation="tanh")
    >>> print(statistics.ModelStatistics([toy]))
    layer   activation   bounds   saturation   skewness   sparsity   channels   constant
    toy     tanh          -1, 1       0.6667     1.7321     0.3333          1          0
    """

    PLOTTED = STATISTICS

    def __init__(
        self, layers: Iterable[LayerStatistics] = (), left_out: Mapping[str, str] | None = None
    ):
        super().__init__(layers)
        self.left_out = dict(left_out or {})

    @property
    def saturation(self) -> float:
        """Plain mean over the layers."""
        return self.means()["saturation"]

    @property
    def skewness(self) -> float:
        """Plain mean over the layers."""
        return self.means()["skewness"]

    @property
    def sparsity(self) -> float:
        """Plain mean over the layers."""
        return self.means()["sparsity"]

    def means(self) -> dict[str, float]:
        """The model's statistics, plain means over its layers, by name."""
        return records.means(self.records(), STATISTICS)

    def entries(self) -> dict[str, float]:
        """The means, and every layer's by `STATISTIC/LAYER`: what goes into a training's logs."""
        return self.means() | records.entries(self, STATISTICS)

    def records(self) -> list[dict[str, Any]]:
        """A dict of plain numbers and text for each layer, without its channels."""
        return [
            {
                "index": index,
                "layer": layer.name,
                **{name: getattr(layer, name) for name in STATISTICS},
                "empirical_saturation": layer.empirical_saturation,
                "activation": layer.activation,
                "lower_bound": None if layer.bounds is None else layer.bounds[0],
                "upper_bound": None if layer.bounds is None else layer.bounds[1],
                "channels": len(layer.channel_mean),
                "count": layer.count,
                "constant_channels": layer.constant_channels,
                "zero_channels": layer.zero_channels,
                "non_finite_channels": layer.non_finite_channels,
            }
            for index, layer in enumerate(self)
        ]

    def notes(self) -> list[str]:
        """What was not measured, by reason."""
        names: dict[str, list[str]] = {}
        for name, reason in self.left_out.items():
            names.setdefault(reason, []).append(name)
        return [f"not measured: {', '.join(some)} ({why})" for why, some in names.items()]

    def __str__(self) -> str:
        return "\n".join([table(self.records()), *self.notes()])

    __repr__ = __str__


def saturation(values: Any, bounds: Bounds | None = (-1.0, 1.0)) -> float:
    """How near the values are to an activation's asymptotes.

    `mean(abs(values - (lower + upper) / 2)) / ((upper - lower) / 2)`, and so
    `mean(abs(values) / upper)` where `lower = -upper`.

    Args:
        values: Array of shape `(..., channels)`, or `(elements,)` for one channel.
        bounds: The activation's, lower and upper. None divides by each channel's
            `max(abs(values))`.

    Returns:
        A number in [0, 1] for values within the bounds.

    Raises:
        ValueError: For an empty array, or bounds that are not two numbers in order.

    Example:

    >>> from keras_bnact import statistics
    >>> statistics.saturation([-1.0, 0.5, 0.0])
    0.5

    Reference: equations 1 and 2 of the paper.
    """
    return describe(values, bounds=bounds).saturation


def skewness(values: Any) -> float:
    """Mean over the channels of the absolute sample skewness.

    That of a channel of `M` elements is
    `sqrt(M(M-1))/(M-2) * mean((x - mean)**3) / mean((x - mean)**2)**1.5`, and 0 for fewer than
    three elements or a standard deviation below 1e-100; `describe(values).channel_skewness` has
    its sign.

    Args:
        values: Array of shape `(..., channels)`, or `(elements,)` for one channel.

    Returns:
        A number of 0 or more.

    Raises:
        ValueError: For an empty array.

    Example:

    >>> from keras_bnact import statistics
    >>> round(statistics.skewness([0.0, 0.0, 0.0, 1.0]), 4)
    2.0

    Reference: equations 3 and 4 of the paper.
    """
    return describe(values).skewness


def sparsity(values: Any) -> float:
    """`1 - mean(abs(values) / max(abs(values)) of its channel)`; a zero channel counts as 1.

    Args:
        values: Array of shape `(..., channels)`, or `(elements,)` for one channel.

    Returns:
        A number in [0, 1].

    Raises:
        ValueError: For an empty array.

    Example:

    >>> from keras_bnact import statistics
    >>> statistics.sparsity([0.0, 0.0, 0.0, 5.0])
    0.75

    Reference: section 5.2 of the paper; its properties: appendix A.10.
    """
    return describe(values).sparsity


def describe(
    values: Any,
    output: Any = None,
    bounds: Bounds | None = (-1.0, 1.0),
    name: str = "array",
    activation: str = "",
) -> LayerStatistics:
    """All statistics of plain arrays, in float64.

    Args:
        values: The activation's output, of shape `(..., channels)`, or `(elements,)` for one
            channel.
        output: The block's output, of the same shape, where it is another.
        bounds: The activation's, lower and upper; None for an unbounded one.
        name, activation: What to call them.

    Returns:
        A `LayerStatistics`.

    Raises:
        ValueError: For an empty array, an output of another shape, or bounds that are not two
            numbers in order.

    Example:

    >>> import numpy as np
    >>> from keras_bnact import statistics
    >>> layer = statistics.describe(np.tanh([[0.1, 2.0], [0.2, -2.0], [0.9, 2.0]]))
    >>> layer.channel_skewness.round(3)
    array([ 1.564, -1.732])
    """
    bounds = activations.check_bounds(bounds)
    x = _channels_last(values)
    with np.errstate(all="ignore"):
        moments = ChannelMoments.of(x, middle(bounds))
        output_max = np.abs(x).max(axis=0)
        if output is not None:
            g = np.abs(_channels_last(output))
            if g.shape != x.shape:
                raise ValueError(
                    f"The block's output has shape {np.shape(output)} and the activation "
                    f"{np.shape(values)}: give two of the same shape."
                )
            moments.output_absolute, output_max = g.sum(axis=0), g.max(axis=0)
    return summarize(name, activation, bounds, moments, output_max)


def summarize(
    name: str,
    activation: str,
    bounds: Bounds | None,
    moments: ChannelMoments,
    output_max: np.ndarray,
    histograms: Sequence[LayerHistogram] = (),
) -> LayerStatistics:
    """The statistics of one layer from the moments of its channels.

    Args:
        name, activation, bounds, histograms: As in `LayerStatistics`.
        moments: Of the layer's channels.
        output_max: Largest absolute value of the block's output in each channel.

    Returns:
        A `LayerStatistics`.

    Example:

    >>> import numpy as np
    >>> from keras_bnact.statistics import ChannelMoments, summarize
    >>> moments = ChannelMoments.of(np.array([[-1.0], [1.0]]))
    >>> summarize("conv1", "tanh", (-1.0, 1.0), moments, np.ones(1)).saturation
    1.0
    """
    with np.errstate(all="ignore"):
        count = moments.count
        largest = np.maximum(np.abs(moments.minimum), np.abs(moments.maximum))
        values = [getattr(moments, field.name) for field in dataclasses.fields(moments)]
        finite = np.isfinite(values).all(axis=0) & np.isfinite(output_max)
        constant = finite & (moments.minimum == moments.maximum)
        variance = np.where(constant, 0.0, np.maximum(moments.second / count, 0.0))
        factor = np.sqrt(count * (count - 1.0)) / (count - 2.0)
        deviation = np.sqrt(variance)
        skewed = (deviation >= SMALLEST_SKEWED) & (count > 2.0)
        per_channel = {
            "channel_saturation": (
                _share(moments.absolute, count, largest)
                if bounds is None
                else moments.absolute / (count * ((bounds[1] - bounds[0]) / 2.0))
            ),
            "channel_skewness": np.where(
                skewed, factor * moments.third / count / variance**1.5, 0.0
            ),
            "channel_sparsity": 1.0 - _share(moments.output_absolute, count, output_max),
            "channel_mean": np.where(constant, moments.minimum, moments.mean),
            "channel_std": deviation,
            "channel_max": largest,
            "channel_output_max": output_max,
        }
    per_channel = {key: np.where(finite, value, np.nan) for key, value in per_channel.items()}
    return LayerStatistics(
        name=name,
        activation=activation,
        bounds=bounds,
        saturation=float(np.mean(per_channel["channel_saturation"])),
        skewness=float(np.mean(np.abs(per_channel["channel_skewness"]))),
        sparsity=float(np.mean(per_channel["channel_sparsity"])),
        count=int(count[0]),
        constant_channels=int(constant.sum()),
        zero_channels=int((finite & (output_max == 0.0)).sum()),
        non_finite_channels=int((~finite).sum()),
        histograms=tuple(histograms),
        **per_channel,
    )


def table(layers: Sequence[Mapping[str, Any]]) -> str:
    """A table of layers with their means, for people.

    Args:
        layers: Records as `ModelStatistics.records` gives them; at least one.

    Returns:
        Lines of text.

    Example:

    >>> from keras_bnact import statistics
    >>> model = statistics.ModelStatistics([statistics.describe([0.0, 1.0], name="toy")])
    >>> print(statistics.table(model.records()))
    layer   activation   bounds   saturation   skewness   sparsity   channels   constant
    toy                   -1, 1       0.5000     0.0000     0.5000          1          0
    """
    rows = [
        [
            record["layer"],
            record["activation"],
            _bounds(record),
            *(f"{record[name]:.4f}{_mark(record, name)}" for name in STATISTICS),
            str(record["channels"]),
            str(record["constant_channels"]),
        ]
        for record in layers
    ]
    if len(layers) > 1:
        means = records.means(layers, STATISTICS).values()
        rows.append(["mean", "", "", *(f"{mean:.4f}" for mean in means), "", ""])
    headings = ["layer", "activation", "bounds", *STATISTICS, "channels", "constant"]
    lines = [records.aligned([headings, *rows], text_columns=2)]
    if any(record["lower_bound"] is None for record in layers):
        lines.append("* no bounds known: relative to the largest absolute value of the channel")
    lines += [
        f"NaN or infinity in {record['non_finite_channels']} of {record['channels']} channels of "
        f"{record['layer']}"
        for record in layers
        if record["non_finite_channels"]
    ]
    return "\n".join(lines)


def middle(bounds: Bounds | None) -> float:
    """That from which saturation is measured; 0 where there are no bounds.

    Example:

    >>> from keras_bnact import statistics
    >>> statistics.middle((0.0, 1.0))
    0.5
    """
    return 0.0 if bounds is None else sum(bounds) / 2.0


def _bounds(record: Mapping[str, Any]) -> str:
    if record["lower_bound"] is None:
        return "-"
    return f"{record['lower_bound']:g}, {record['upper_bound']:g}"


def _mark(record: Mapping[str, Any], name: str) -> str:
    return "*" if name == "saturation" and record["lower_bound"] is None else ""


def _share(absolute: np.ndarray, count: np.ndarray, largest: np.ndarray) -> np.ndarray:
    # Rounding may leave the share of a constant channel a little above 1.
    return np.where(largest == 0.0, 0.0, np.minimum(absolute / (count * largest), 1.0))


def _channels_last(values: Any) -> np.ndarray:
    array = np.asarray(values, "float64")
    if array.size == 0:
        raise ValueError(f"An array of shape {array.shape} holds nothing to measure.")
    return array.reshape(-1, array.shape[-1] if array.ndim > 1 else 1)
