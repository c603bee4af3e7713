"""What images are standardised by."""

from collections.abc import Iterable

import numpy as np


def channel_moments(
    batches: Iterable[np.ndarray],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and variance of each channel, in units of 0 to 255.

    Args:
        batches: RGB images, the channels last.
    """
    count, total, squares = 0, np.zeros(3), np.zeros(3)
    for batch in batches:
        pixels = batch.reshape(-1, 3).astype("float64")
        count += len(pixels)
        total += pixels.sum(axis=0)
        squares += np.square(pixels).sum(axis=0)
    mean = total / count
    variance = np.maximum(squares / count - np.square(mean), 0.0)
    return tuple(mean.tolist()), tuple(variance.tolist())
