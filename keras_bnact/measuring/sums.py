"""Sums over one batch of an activation, taken in its program, and the moments that they give.

Powers are summed of the activation less what its channel's first examples have for a mean, over
about their range: raw powers cancel in float32 where a channel saturates.
"""

import functools
import operator
from typing import Any

import numpy as np
from keras import ops

from keras_bnact import _backends
from keras_bnact.measuring.sites import Site
from keras_bnact.statistics import ChannelMoments

# Examples of a batch that tell where its channels are, near which their powers are summed.
FIRST = 8
# The largest factor on activations: beyond it the cube of what these do not show would overflow.
LARGEST_SCALE = 2.0**30


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
    x: Any, shift: Any, scale: Any, output_scale: Any = None, output_offset: Any = None
) -> tuple[Any, ...]:
    """What is summed over a channel's elements, of `z = (x - shift) * scale`.

    That is `z`, `z**2`, `z**3`, `abs(x)` and, for a block's output of its own, which is
    `output_scale * z + output_offset`, its absolute value.
    """
    z = (x - shift) * scale
    square = z * z
    powers = (z, square, square * z, abs(x))
    return powers if output_scale is None else (*powers, abs(output_scale * z + output_offset))


def sums(site: Site, x: Any, slope: Any, offset: Any, largest_batch: Any) -> dict[str, Any]:
    """What `moments` takes, of one batch of one site."""
    shift, scale = _standardisation(x)
    vectors = shift, scale
    if site.normalization is not None:
        wide_shift, wide_scale = (ops.cast(vector, "float64") for vector in vectors)
        output = slope / wide_scale, slope * wide_shift + offset
        vectors += tuple(ops.cast(vector, "float32") for vector in output)
    sums, minimum, maximum = _backends.current().channel_sums(_terms, x, vectors, largest_batch)
    if site.normalization is None:
        sums = ops.concatenate([sums, sums[-1:]])
    count = functools.reduce(
        operator.mul, (ops.cast(length, "float64") for length in ops.shape(x)[:-1])
    )
    return {
        "sums": ops.concatenate([count * ops.ones_like(sums[:1]), sums]),
        "minimum": minimum,
        "maximum": maximum,
        "shift": shift,
        "scale": scale,
        "affine": ops.stack([slope, offset]),
    }


def _standardisation(x: Any) -> tuple[Any, Any]:
    """float32 vectors: the channels' means in the batch's first examples, and 1 over their ranges.

    A range of 0, or of what is not finite, counts as 1. The scale is a power of two, so that
    scaling rounds nothing.
    """
    # In float64: roundings of a channel that hardly varies are alike, and add up.
    first = ops.cast(x[:FIRST], "float64")
    axes = tuple(range(len(x.shape) - 1))
    spread = ops.max(first, axes) - ops.min(first, axes)
    usable = ops.logical_and(ops.isfinite(spread), spread > 0.0)
    power = -ops.floor(ops.log2(ops.where(usable, spread, ops.ones_like(spread))))
    scale = ops.clip(ops.power(2.0, power), 1.0 / LARGEST_SCALE, LARGEST_SCALE)
    return ops.cast(ops.mean(first, axes), "float32"), ops.cast(scale, "float32")


def moments(result: dict[str, np.ndarray]) -> ChannelMoments:
    """The moments about the channels' means, in float64, from sums of powers near them."""
    shift, scale = result["shift"].astype("float64"), result["scale"].astype("float64")
    count, first, square, cube, absolute, output_absolute = result["sums"]
    with np.errstate(all="ignore"):
        mean = first / count
        return ChannelMoments(
            count=count,
            mean=shift + mean / scale,
            second=(square - mean * first) / scale**2,
            third=(cube - 3.0 * mean * square + 2.0 * mean**2 * first) / scale**3,
            absolute=absolute,
            output_absolute=output_absolute,
            minimum=result["minimum"],
            maximum=result["maximum"],
        )
