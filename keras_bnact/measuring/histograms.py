"""Histograms of activations and of blocks' outputs, counted while a model is measured."""

import dataclasses
import operator
from collections.abc import Iterable, Sequence
from typing import Any, cast

import numpy as np
from keras import ops

from keras_bnact import _backends
from keras_bnact.activations import Bounds
from keras_bnact.measuring.layer_names import matches, patterns
from keras_bnact.statistics import LayerHistogram


@dataclasses.dataclass(frozen=True)
class Histogram:
    """What to count in `measure`: how often the values of some layers fall into equal bins.

    The range is from bound to bound for a bounded activation, else what the first batch spans; for
    a block's output its image under batch normalization. Values beyond are counted in the
    outermost bins, NaN is not.

    Args:
        layers: Names or patterns, as in `measure`. Default: all measured layers.
        channels: The channel or channels to count one by one, or `"all"`; None (default) for one
            histogram of them together.
        of: `"activation"` (default), or `"output"` of the block.
        bins: Number of bins. Default 100.

    Raises:
        ValueError: For another `of`, fewer than one bin, or no channels.

    Example:

    >>> from keras_bnact import Histogram
    >>> Histogram("conv8", channels=range(10)).channels
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)

    Reference: figures 1 and 8 of the paper.
    """

    layers: str | Sequence[str] = "*"
    channels: int | Sequence[int] | str | None = None
    of: str = "activation"
    bins: int = 100

    def __post_init__(self):
        if self.of not in ("activation", "output"):
            raise ValueError(f"A histogram is of 'activation' or 'output'; got {self.of!r}.")
        if self.bins < 1:
            raise ValueError(f"A histogram has one bin or more; got {self.bins}.")
        # Hashable, so that what is compiled for it is found again.
        object.__setattr__(self, "layers", patterns(self.layers))
        if isinstance(self.channels, str):
            if self.channels != "all":
                raise ValueError(
                    f"Channels are numbers, or 'all' one by one; got {self.channels!r}."
                )
        elif self.channels is not None:
            some = self.channels if isinstance(self.channels, Iterable) else [self.channels]
            object.__setattr__(self, "channels", tuple(map(operator.index, some)))
        if self.channels == ():
            raise ValueError("Name the channels of a histogram, or give None for all in one.")

    def _chosen(self, channels: int) -> tuple[int, ...] | None:
        """Those that are counted one by one, of a layer of so many."""
        if self.channels == "all":
            return tuple(range(channels))
        return cast(tuple[int, ...] | None, self.channels)

    def matches(self, name: str) -> bool:
        """Whether a layer of this name is one to count."""
        return matches(name, self.layers)

    def check(self, name: str, channels: int) -> None:
        """Refuses channels that the layer called `name` does not have."""
        wrong = [channel for channel in self._chosen(channels) or () if not 0 <= channel < channels]
        if wrong:
            raise ValueError(
                f"Layer '{name}' has {channels} channels, 0 to {channels - 1}; a histogram is "
                f"asked for of channel {wrong[0]}."
            )

    def count(self, x: Any, output: Any, low: Any, high: Any) -> Any:
        """Counts one batch, in a graph.

        Args:
            x: The activation, channels last.
            output: The block's output.
            low, high: Of the bins.

        Returns:
            An integer tensor of shape `(rows, bins)`.
        """
        if self.channels is None:
            values = ops.reshape(output if self.of == "output" else x, (-1, 1))
        else:
            # Batch normalization maps the bins of a channel's activation to those of its output.
            values = ops.reshape(x, (-1, x.shape[-1]))
            if self.channels != "all":
                values = ops.take(values, self.channels, axis=-1)
        rows = values.shape[-1]
        position = ops.floor((ops.cast(values, "float32") - low) * (self.bins / (high - low)))
        # A last bin of each row for NaN, which is then left out.
        position = ops.where(
            ops.isnan(position),
            ops.full_like(position, self.bins),
            ops.clip(position, 0, self.bins - 1),
        )
        number = ops.cast(position, "int32") + (self.bins + 1) * ops.arange(rows, dtype="int32")
        numbers = ops.reshape(number, (-1,))
        counts = _backends.current().bincount(numbers, (self.bins + 1) * rows)
        return ops.reshape(counts, (rows, self.bins + 1))[:, :-1]

    def span(
        self,
        bounds: Bounds | None,
        minimum: np.ndarray,
        maximum: np.ndarray,
        affine: np.ndarray,
    ) -> tuple[float, float]:
        """Lowest and highest value to count, from a first batch.

        Args:
            bounds: The activation's, or None.
            minimum, maximum: Of each of the layer's channels in the first batch.
            affine: The block's output is `affine[0] * activation + affine[1]`.

        Returns:
            Two finite numbers, the first below the second.
        """
        if bounds is not None:
            minimum, maximum = map(np.full_like, (minimum, maximum), bounds)
        if self.channels is None and self.of == "output":
            ends = affine[0] * minimum + affine[1], affine[0] * maximum + affine[1]
            minimum, maximum = np.minimum(*ends), np.maximum(*ends)
        channels = self._chosen(len(minimum))
        if channels is not None:
            minimum, maximum = minimum[list(channels)], maximum[list(channels)]
        low, high = np.float32(minimum.min()), np.float32(maximum.max())
        if not np.isfinite(high - low):
            return 0.0, 1.0
        half = np.float32(0.5 if low == high else 0.0)
        return float(low - half), float(high + half)

    def finish(
        self, counts: np.ndarray, low: float, high: float, affine: np.ndarray
    ) -> LayerHistogram:
        """The histogram, from all batches' counts.

        Args:
            counts: Of shape `(rows, bins)`.
            low, high: Of the bins.
            affine: As in `span`.

        Returns:
            A `LayerHistogram`.
        """
        channels = self._chosen(affine.shape[1])
        edges = np.linspace(low, high, self.bins + 1)
        edges = np.tile(edges, (len(counts), 1))
        if channels is not None and self.of == "output":
            slope, offset = (vector[list(channels), None] for vector in affine)
            edges = slope * edges + offset
            falling = slope[:, 0] < 0
            edges[falling], counts[falling] = edges[falling, ::-1], counts[falling, ::-1]
        return LayerHistogram(self.of, channels, edges, counts)


def checked(histograms: Sequence[Histogram]) -> tuple[Histogram, ...]:
    """The histograms as a tuple, which can be kept and compared.

    Raises:
        ValueError: For anything but histograms.

    Example:

    >>> from keras_bnact.measuring.histograms import Histogram, checked
    >>> len(checked([Histogram("conv1")]))
    1
    """
    for histogram in [histograms] if isinstance(histograms, str | Histogram) else histograms:
        if not isinstance(histogram, Histogram) or histogram is histograms:
            raise ValueError(
                "Give histograms as a list of Histogram, such as [Histogram('conv1')]; got "
                f"{histograms!r}."
            )
    return tuple(histograms)
