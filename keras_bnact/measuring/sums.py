"""Sums over one batch of an activation, taken in its program, and the moments that they give.

Powers are summed of the activation less what its channel's first examples have for a mean, over
about their range: raw powers cancel in float32 where a channel saturates.
"""

import functools
from typing import Any, cast

import numpy as np
from keras import backend, ops

from keras_bnact import _backends, statistics
from keras_bnact.measuring.histograms import Histogram
from keras_bnact.measuring.sites import Site
from keras_bnact.statistics import ChannelMoments

# Examples of a batch that tell where its channels are, near which their powers are summed.
FIRST = 8
# The largest factor on activations: beyond it the cube of what these do not show would overflow.
LARGEST_SCALE = 2.0**30
# Scaled elements whose range is smaller have cubes that float32 rounds coarsely, or to 0.
SMALLEST_RANGE = 2.0**-40


def affine(normalization: Any, channels: int) -> tuple[Any, Any]:
    """Slope and offset of batch normalization at inference, for each channel, in float64."""
    if normalization is None:
        return ops.ones(channels, "float64"), ops.zeros(channels, "float64")
    mean = ops.cast(normalization.moving_mean, "float64")
    slope = 1.0 / ops.sqrt(
        ops.cast(normalization.moving_variance, "float64") + normalization.epsilon
    )
    if normalization.gamma is not None:
        slope = slope * ops.cast(normalization.gamma, "float64")
    offset = -slope * mean
    if normalization.beta is not None:
        offset = offset + ops.cast(normalization.beta, "float64")
    return slope, offset


def _terms(
    x: Any,
    shift: Any,
    scale: Any,
    output_scale: Any = None,
    output_offset: Any = None,
    middle: Any = None,
) -> tuple[Any, ...]:
    """What is summed over a channel's elements, of `z = (x - shift) * scale`.

    That is `z`, `z**2`, `z**3`, `abs(x - middle)` and, for a block's output of its own, which is
    `output_scale * z + output_offset`, its absolute value.
    """
    z = (x - shift) * scale
    square = z * z
    powers = (z, square, square * z, abs(x if middle is None else x - middle))
    return powers if output_scale is None else (*powers, abs(output_scale * z + output_offset))


class Elements:
    """A batch of one activation, in its program: what it comes to.

    Padding, where Keras' mask tells it, is replaced by its channel's shift; what that adds to sums
    and counts is then taken off again. So no backend needs sums of a part.

    Args:
        site: The activation.
        largest_batch: Examples of a full batch.

    Attributes:
        sums: What `moments` takes, and the channels' slope and offset as `affine`.
    """

    def __init__(self, site: Site, largest_batch: Any):
        self.x = ops.moveaxis(site.outputs, cast(int, site.channel_axis), -1)
        self.valid = None if site.mask is None else _valid(site, self.x)
        self.affine = affine(site.normalization, self.x.shape[-1])
        middle = statistics.middle(site.bounds)
        # Else the absolute values of the activation are those of the block's output.
        output_apart = site.normalization is not None or middle != 0.0
        of_shape = _backends.current().traced_once(_sums)
        self.sums: dict[str, Any] = of_shape(
            self.x, self.valid, self.affine, middle, output_apart, largest_batch
        )

    def counts(self, histogram: Histogram, low: Any, high: Any) -> Any:
        """How many elements are in each bin of each row of a histogram."""

        def count(x):
            return histogram.count(x, _outputs(self.affine, x), low, high)

        if self.valid is None:
            return count(self.x)
        x, padding = self._filled
        counts = count(x)
        return counts - count(self.sums["shift"][None]) * ops.cast(padding, counts.dtype)

    @functools.cached_property
    def _filled(self) -> tuple[Any, Any]:
        """The activation with its channels' shifts for padding, and how much of that there is."""
        filling = ops.cast(self.sums["shift"], self.x.dtype)
        return ops.where(self.valid, self.x, filling), _padding(self.x, self.valid)


def _sums(
    x: Any,
    valid: Any,
    affine: tuple[Any, Any],
    middle: float,
    output_apart: bool,
    largest_batch: Any,
) -> dict[str, Any]:
    """`Elements.sums` of an activation with the channels last, and where it is no padding."""
    if valid is None:
        shift, scale, *_ = _standardisation(x[:FIRST], None)
    else:
        shift, scale, *extremes = _standardisation(x, valid)
        # One of the activation's own numbers, so that it need not be made a wider one.
        filling = ops.cast(shift, x.dtype)
        shift = ops.cast(filling, shift.dtype)
        padding = _padding(x, valid)
        x = ops.where(valid, x, filling)
    vectors: tuple[Any, ...] = (shift, scale)
    if output_apart:
        line = affine[0] / ops.cast(scale, "float64"), _outputs(affine, shift)
        vectors += tuple(ops.cast(vector, shift.dtype) for vector in line)
    if middle != 0.0:
        vectors += (ops.full_like(shift, middle),)
    sums, minimum, maximum = _backends.current().channel_sums(_terms, x, vectors, largest_batch)
    if not output_apart:
        sums = ops.concatenate([sums, sums[-1:]])
    count = ops.ones_like(sums[:1])
    for length in ops.shape(x)[:-1]:
        count = count * ops.cast(length, "float64")
    sums = ops.concatenate([count, sums])
    if valid is not None:
        minimum, maximum = extremes
        zero = ops.zeros_like(shift)
        # Those of an element at the shift, as they are summed.
        output = vectors[3] if output_apart else shift
        one = ops.stack([zero + 1.0, zero, zero, zero, abs(shift - middle), abs(output)])
        sums = sums - padding * ops.cast(one, "float64")
    return {
        "sums": sums,
        "minimum": minimum,
        "maximum": maximum,
        "shift": shift,
        "scale": scale,
        "affine": ops.stack(affine),
    }


def _outputs(affine: tuple[Any, Any], x: Any) -> Any:
    slope, offset = affine
    return slope * ops.cast(x, "float64") + offset


def _padding(x: Any, valid: Any) -> Any:
    """How many elements of a channel are padding."""
    number = ops.size(x) // x.shape[-1]
    shares = ops.cast(number, "float64") / ops.cast(ops.size(valid), "float64")
    return ops.sum(ops.cast(ops.logical_not(valid), "float64")) * shares


def _valid(site: Site, x: Any) -> Any:
    """Keras' mask of a site, with axes of one to broadcast to `x`."""
    mask = ops.cast(site.mask, "bool")
    fits = len(mask.shape) < len(x.shape) and all(
        one == other or None in (one, other)
        for one, other in zip(mask.shape, x.shape[:-1], strict=False)
    )
    if not fits:
        raise ValueError(
            f"The mask of '{site.name}' has shape {tuple(mask.shape)}, which tells no padding of "
            f"an activation of shape {tuple(site.outputs.shape)}: name the other layers to measure."
        )
    for _ in range(len(x.shape) - len(mask.shape)):
        mask = ops.expand_dims(mask, -1)
    return mask


def _standardisation(x: Any, valid: Any) -> tuple[Any, Any, Any, Any]:
    """What channels are shifted and scaled by, and their extremes.

    Args:
        x: Channels last.
        valid: Where it is no padding, to broadcast to `x`; None for everywhere.

    Returns:
        Vectors, the channels' means and 1 over their ranges, and float64 minima and maxima. A
        range of 0, or of what is not finite, counts as 1. The scale is a power of two, so that
        scaling rounds nothing. The vectors are float32, but for a float64 activation: a channel
        may lie nearer to its mean than that is to a float32 number.
    """
    dtype = "float64" if backend.standardize_dtype(x.dtype) == "float64" else "float32"
    # In float64: roundings of a channel that hardly varies are alike, and add up.
    x = ops.cast(x, "float64")
    axes = tuple(range(len(x.shape) - 1))
    if valid is None:
        low, high, mean = ops.min(x, axes), ops.max(x, axes), _mean(x, axes)
    else:
        infinity = ops.full_like(x, np.inf)
        low = ops.min(ops.where(valid, x, infinity), axes)
        high = ops.max(ops.where(valid, x, -infinity), axes)
        share = _mean(ops.broadcast_to(ops.cast(valid, "float64"), ops.shape(x)), axes)
        mean = _mean(ops.where(valid, x, ops.zeros_like(x)), axes)
        mean = mean / ops.where(share > 0.0, share, ops.ones_like(share))
    spread = high - low
    usable = ops.logical_and(ops.isfinite(spread), spread > 0.0)
    power = -ops.floor(ops.log2(ops.where(usable, spread, ops.ones_like(spread))))
    scale = ops.clip(ops.power(2.0, power), 1.0 / LARGEST_SCALE, LARGEST_SCALE)
    return ops.cast(mean, dtype), ops.cast(scale, dtype), low, high


def _mean(x: Any, axes: tuple[int, ...]) -> Any:
    """Of float64, which Keras' own takes in float32 on PyTorch."""
    total = ops.sum(x, axes)
    return total / (ops.cast(ops.size(x), "float64") / ops.cast(ops.size(total), "float64"))


def moments(result: dict[str, np.ndarray]) -> ChannelMoments:
    """The moments about the channels' means, in float64, from sums of powers near them.

    The third is 0 of a float32 channel whose cubes are too small to be summed.
    """
    shift, scale = result["shift"].astype("float64"), result["scale"].astype("float64")
    lowest, highest = result["minimum"], result["maximum"]
    count, first, square, cube, absolute, output_absolute = result["sums"]
    with np.errstate(all="ignore"):
        # Of padding alone nothing is left.
        mean = first / np.maximum(count, 1.0)
        third = (cube - 3.0 * mean * square + 2.0 * mean**2 * first) / scale**3
        if result["shift"].dtype == np.float32:
            third = np.where((highest - lowest) * scale < SMALLEST_RANGE, 0.0, third)
        return ChannelMoments(
            count=count,
            mean=shift + mean / scale,
            second=(square - mean * first) / scale**2,
            third=third,
            absolute=absolute,
            output_absolute=output_absolute,
            minimum=lowest,
            maximum=highest,
        )
