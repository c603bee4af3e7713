"""How metrics differ from seed to seed, and models by more than that."""

import warnings
from collections.abc import Sequence

import numpy as np
from scipy import stats


def mean_and_std(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean, and the sample's standard deviation, None for one value."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


def difference_of_means(
    one: Sequence[float], other: Sequence[float]
) -> tuple[float, float | None, tuple[float, float] | None]:
    """By how much a metric of one model's seeds exceeds that of another's.

    Returns:
        The difference of the means; its standard deviation from one pair of seeds to the next,
        `sqrt(std_one**2 + std_other**2)`; and Welch's 95 % interval of the difference. The last
        two are None where a model has one seed alone, the interval also where both have no
        spread, of which it knows nothing.
    """
    difference = float(np.mean(one) - np.mean(other))
    if min(len(one), len(other)) < 2:
        return difference, None, None
    std = float(np.hypot(np.std(one, ddof=1), np.std(other, ddof=1)))
    with warnings.catch_warnings():
        # SciPy's, where one of the two has no spread.
        warnings.simplefilter("ignore", RuntimeWarning)
        interval = stats.ttest_ind(one, other, equal_var=False).confidence_interval(0.95)
    ends = float(interval.low), float(interval.high)
    return difference, std, ends if np.isfinite(ends).all() and ends[0] < ends[1] else None
