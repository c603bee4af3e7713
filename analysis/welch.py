"""How metrics differ from seed to seed, and models by more than that."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats


def mean_and_std(values: pd.Series | pd.DataFrame) -> tuple[Any, Any]:
    """Mean over the seeds, and the sample's standard deviation; NaN is not passed over.

    Args:
        values: One for each seed, or a row for each.

    Returns:
        Two numbers, or two series of the columns; the deviation of one seed is NaN.
    """
    return values.mean(skipna=False), values.std(skipna=False)


def difference_of_means(
    one: pd.Series, other: pd.Series
) -> tuple[float, float, tuple[float, float] | None]:
    """By how much a metric of one model's seeds exceeds that of another's.

    Returns:
        The difference of the means; its standard deviation from one pair of seeds to the next,
        `sqrt(std_one**2 + std_other**2)`, NaN where a model has one seed alone; and Welch's 95 %
        interval of the difference, None there and where both have no spread, of which it knows
        nothing.
    """
    (mean, std), (other_mean, other_std) = mean_and_std(one), mean_and_std(other)
    with warnings.catch_warnings():
        # SciPy's, of one seed or of seeds that are all alike.
        warnings.simplefilter("ignore", RuntimeWarning)
        interval = stats.ttest_ind(one, other, equal_var=False).confidence_interval(0.95)
    ends = float(interval.low), float(interval.high)
    known = np.isfinite(ends).all() and ends[0] < ends[1]
    return float(mean - other_mean), float(np.hypot(std, other_std)), ends if known else None
