"""What `measure` should give, by NumPy and SciPy in float64."""

import keras
import numpy as np
import scipy.stats
from keras import ops

from keras_bnact import measure

# For layers deep in a network, whose float32 activations here come from other kernels; and for what
# is computed in half precision.
DEEP, HALF = {"atol": 2e-5, "skewness_atol": 5e-4, "rounding": 1e-5}, {}
if keras.backend.backend() == "jax":
    # XLA compiles a network as one, and not layer by layer: within, it need not round to 16 bits.
    DEEP = HALF = {"atol": 2e-5, "skewness_atol": 5e-4, "rounding": 1e-5, "max_rtol": 1e-4}


SYMMETRIC = (-1.0, 1.0)


def as_float64(x):
    """Any backend's tensor or variable as an array."""
    if keras.backend.standardize_dtype(x.dtype) == "bfloat16":
        # Which NumPy knows of no library alike.
        x = ops.cast(x, "float32")
    return ops.convert_to_numpy(x).astype("float64")


def predict(model, x, batch_size=10):
    """A model's outputs batch by batch, in float64."""
    parts = [model(x[i : i + batch_size], training=False) for i in range(0, len(x), batch_size)]
    return np.concatenate([as_float64(part) for part in parts])


def randomize(normalization, rng):
    channels = normalization.moving_mean.shape[0]
    normalization.moving_mean.assign(rng.normal(0, 0.5, channels))
    normalization.moving_variance.assign(rng.uniform(0.1, 2, channels))
    for variable, deviation in ((normalization.gamma, 1), (normalization.beta, 0.3)):
        if variable is not None:
            variable.assign(rng.normal(0, deviation, channels))


def affine(normalization, a):
    """Batch normalization at inference in float64, channels last."""
    mean, variance, gamma, beta = (
        as_float64(v)
        for v in (
            normalization.moving_mean,
            normalization.moving_variance,
            normalization.gamma,
            normalization.beta,
        )
    )
    return (a - mean) / np.sqrt(variance + normalization.epsilon) * gamma + beta


def assert_measured(
    layer,
    a,
    g=None,
    bounds=SYMMETRIC,
    atol=1e-6,
    skewness_atol=2e-7,
    max_rtol=1e-5,
    rounding=0.0,
):
    """Compares with NumPy and SciPy on activations `a` and block outputs `g`, channels last.

    `rounding` is that of the activations, relative to the largest of a channel: in a skewness it
    counts as much more as that is larger than the deviation.
    """
    a = a.reshape(-1, a.shape[-1])
    g = a if g is None else g.reshape(-1, g.shape[-1])
    varied = a.min(axis=0) < a.max(axis=0)
    if bounds is None:
        largest = np.where(a.any(axis=0), np.abs(a).max(axis=0), 1.0)
        saturation = (np.abs(a) / largest).mean(axis=0)
    else:
        lower, upper = bounds
        saturation = (np.abs(a - (lower + upper) / 2) / ((upper - lower) / 2)).mean(axis=0)
    used = g.any(axis=0)
    sparsity = 1 - (np.abs(g) / np.where(used, np.abs(g).max(axis=0), 1.0)).mean(axis=0)
    # Whose values differ by rounding, if at all, or are too small for a sum of their cubes.
    small = np.abs(a).max(axis=0) < 1e-30
    unsure = (small | (a.std(axis=0) <= 0.1 * rounding * np.abs(a).max(axis=0))) & (rounding > 0)
    skewness = np.zeros(a.shape[1])
    sure = varied & ~unsure
    skewness[sure] = scipy.stats.skew(a[:, sure], bias=False)
    assert layer.bounds == bounds
    assert layer.count == len(a)
    assert abs(layer.constant_channels - (~varied).sum()) <= unsure.sum()
    assert abs(layer.zero_channels - (~used).sum()) <= (unsure & small).sum()
    np.testing.assert_allclose(layer.channel_saturation, saturation, atol=atol)
    np.testing.assert_allclose(layer.saturation, saturation.mean(), atol=atol)
    np.testing.assert_allclose(layer.channel_sparsity, sparsity, atol=atol)
    np.testing.assert_allclose(layer.sparsity, sparsity.mean(), atol=atol)
    # Where it is not compared, too.
    assert np.isfinite(layer.channel_skewness).all()
    # The floor: a symmetric channel's skewness is a small difference of float32 sums.
    largest = np.abs(a).max(axis=0)
    floor = skewness_atol + rounding * largest / np.where(sure, a.std(axis=0), np.inf)
    difference = np.abs(layer.channel_skewness - skewness)
    assert (difference <= 1e-4 * np.abs(skewness) + floor)[~unsure].all()
    if not unsure.any():
        atol_of_mean = floor.mean() if rounding else 0
        mean = np.abs(skewness).mean()
        np.testing.assert_allclose(layer.skewness, mean, rtol=1e-4, atol=atol_of_mean)
    np.testing.assert_allclose(layer.channel_mean, a.mean(axis=0), atol=atol)
    np.testing.assert_allclose(layer.channel_std, a.std(axis=0), rtol=1e-5, atol=atol)
    np.testing.assert_allclose(layer.channel_max, largest, atol=atol)
    np.testing.assert_allclose(
        layer.channel_output_max, np.abs(g).max(axis=0), rtol=max_rtol, atol=atol
    )


def names(model, x=None, **keywords):
    x = np.zeros((2, *model.input_shape[1:])) if x is None else x
    return [layer.name for layer in measure(model, x, **keywords)]
