"""How far metrics are known that differ from seed to seed: of one model, and between two."""

import dataclasses
import warnings
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

CONFIDENCE = 0.95
ROUNDING = 1e-9


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean over seeds, or the difference of two models' means.

    Attributes:
        value: The mean, or the difference.
        std: The sample's standard deviation, from one seed to the next; of a difference, from one
            pair of seeds to the next. None of one seed.
        interval: Of 95 %, by Student's t; None of one seed, and where seeds have no spread, of
            which it knows nothing.
        p: Of the test for a difference of 0 that `test` names; None where there is no interval.
        test: `"paired"`, if both models have the same seeds, else `"Welch"`; empty of a mean.
        seeds: How many runs, of a difference those of the model that has fewer.
    """

    value: float
    std: float | None
    interval: tuple[float, float] | None
    p: float | None
    test: str
    seeds: int


def mean_and_std(values: pd.Series | pd.DataFrame) -> tuple[Any, Any]:
    """Mean over the seeds, and the sample's standard deviation; NaN is not passed over.

    Args:
        values: One for each seed, or a row for each.

    Returns:
        Two numbers, or two series of the columns; the deviation of one seed is NaN.
    """
    return values.mean(skipna=False), values.std(skipna=False)


def mean(values: pd.Series) -> Estimate:
    """The mean of one model's seeds."""
    value, std = mean_and_std(values)
    with _of_few():
        interval = _known(stats.ttest_1samp(values, 0.0))
    return Estimate(float(value), _finite(std), interval, None, "", len(values))


def difference(one: pd.Series, other: pd.Series) -> Estimate:
    """By how much a metric of one model exceeds that of another, on average.

    Seed by seed, `t` of the differences, where both have the same seeds, which shuffle alike and
    draw alike the initial weights of networks of one shape; else Welch's test.

    Args:
        one, other: A value for each seed, by the seed.
    """
    seeds = min(len(one), len(other))
    if {*one.index} == {*other.index}:
        differences = one - other
        value, std = mean_and_std(differences)
        with _of_few():
            found, test = stats.ttest_1samp(differences, 0.0), "paired"
    else:
        (of_one, std_one), (of_other, std_other) = mean_and_std(one), mean_and_std(other)
        value, std = of_one - of_other, np.hypot(std_one, std_other)
        with _of_few():
            found, test = stats.ttest_ind(one, other, equal_var=False), "Welch"
    interval = _known(found)
    p = None if interval is None else float(found.pvalue)
    return Estimate(float(value), _finite(std), interval, p, test, seeds)


def cells(estimate: Estimate, digits: int) -> list[str]:
    """Standard deviation, interval and p as text, for people."""
    if estimate.seeds == 1:
        return ["", "one seed", ""]
    sign = "+" if estimate.test else ""
    ends = estimate.interval or ()
    return [
        "" if estimate.std is None else f"{estimate.std:.{digits}f}",
        " to ".join(f"{end:{sign}.{digits}f}" for end in ends),
        "" if estimate.p is None else f"{_p(estimate.p)} ({estimate.test})",
    ]


def _p(p: float) -> str:
    return f"{p:.2g}" if p >= 0.001 else "< 0.001"


def _of_few() -> warnings.catch_warnings:
    """Without SciPy's warnings of one seed, or of seeds that are all alike."""
    return warnings.catch_warnings(action="ignore", category=RuntimeWarning)


def _known(found: Any) -> tuple[float, float] | None:
    with _of_few():
        interval = found.confidence_interval(CONFIDENCE)
    low, high = float(interval.low), float(interval.high)
    # Seeds that are all alike but for rounding have no spread.
    spread = high - low > ROUNDING * max(abs(low), abs(high))
    return (low, high) if np.isfinite([low, high]).all() and spread else None


def _finite(std: float) -> float | None:
    return float(std) if np.isfinite(std) else None
