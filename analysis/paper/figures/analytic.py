"""What follows from formulas alone: figures 6, 11 and 12."""

from statistics import NormalDist

import numpy as np
import pandas as pd

from analysis import style
from analysis.drawing import Drawing
from analysis.paper.experiments import Runs
from analysis.paper.figures import Figure
from keras_bnact import statistics

# Mean and standard deviation of the input of tanh, figure 6.
INPUTS = ((0.0, 1.0), (1.0, 1.0), (2.0, 1.0), (-2.0, 1.0))
SAMPLES = 40
MEANS = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
STANDARD_DEVIATIONS = np.geomspace(0.02, 6.0, 240)
# Values at equally likely quantiles stand for a distribution.
QUANTILES = (np.arange(20_000) + 0.5) / 20_000


def moments_of_tanh(mean: float, std: float) -> tuple[float, float, float]:
    """Mean, standard deviation and skewness of `tanh(x)`, `x` normally distributed.

    By the trapezoidal rule over 9 standard deviations to both sides, with the central moments
    `integral of (tanh(x) - mean)**k * density`.

    Args:
        mean, std: Of `x`.

    Returns:
        Three numbers; the skewness is `third moment / std**3`.

    Example:

    >>> from analysis.paper.figures.analytic import moments_of_tanh
    >>> round(moments_of_tanh(1.0, 0.5)[0], 3)
    0.689
    """
    z = np.linspace(-9.0, 9.0, 40_001)
    weights = np.exp(-0.5 * z**2)
    weights /= weights.sum()
    values = np.tanh(mean + std * z)
    centre = float(weights @ values)
    second, third = (float(weights @ (values - centre) ** k) for k in (2, 3))
    return centre, second**0.5, third / second**1.5


def _normalized_tanh(_: Runs) -> Drawing:
    drawn, axes = style.new(6.4, 4.2)
    rng = np.random.default_rng(0)
    inputs = [rng.normal(mean, std, SAMPLES) for mean, std in INPUTS]
    # All samples lie on their lines.
    x = np.linspace(min(map(np.min, inputs)), max(map(np.max, inputs)), 181)
    numbers = []
    for (mean, std), samples, colour, marker in zip(
        INPUTS, inputs, ("0.6", "0.4", "0.2", "0"), "Dv*x", strict=True
    ):
        centre, deviation = moments_of_tanh(mean, std)[:2]
        # Plus zero, since rounding gives -0.0.
        label = (
            f"input: mean {mean:g}, deviation {std:g}; "
            f"output: mean {round(centre, 2) + 0.0:.2f}, deviation {deviation:.2f}"
        )
        line = (np.tanh(x) - centre) / deviation
        axes.plot(x, line, color=colour, linewidth=1)
        outputs = (np.tanh(samples) - centre) / deviation
        axes.plot(samples, outputs, marker, color=colour, label=label, markersize=4)
        moments = {"input_mean": mean, "input_std": std}
        moments |= {"output_mean": centre, "output_std": deviation}
        numbers += [
            pd.DataFrame(moments | {"drawn": "line", "x": x, "y": line}),
            pd.DataFrame(moments | {"drawn": "sample", "x": samples, "y": outputs}),
        ]
    axes.set(xlabel="Input of tanh", ylabel="Normalized output")
    axes.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return Drawing(drawn, pd.concat(numbers))


def distributions() -> dict[str, np.ndarray]:
    """Values in [-1, 1] of the distributions of figure 11, by what they are called."""
    normal = np.array([NormalDist().inv_cdf(q) for q in QUANTILES])
    return {
        "narrow": np.tanh(0.2 * normal),
        "uniform": 2.0 * QUANTILES - 1.0,
        "saturated on both sides": np.tanh(3.0 * normal),
        "a little to one side": np.tanh(0.5 + 0.5 * normal),
        "to one side": np.tanh(1.0 + 0.7 * normal),
        "saturated on one side": np.tanh(2.0 + 0.8 * normal),
    }


def _measures_of_distributions(_: Runs) -> Drawing:
    drawn, axes = style.new(9, 5, nrows=2, ncols=3, sharex=True)
    numbers = []
    for axis, (name, values) in zip(axes.flat, distributions().items(), strict=True):
        saturation, skewness = statistics.saturation(values), statistics.skewness(values)
        weights = np.full(len(values), 1.0 / len(values))
        shares, edges, _ = axis.hist(
            values,
            bins=50,
            range=(-1.0, 1.0),
            weights=weights,
            color="0.5",
            histtype="stepfilled",
        )
        axis.set_title(f"{name}\nsaturation {saturation:.2f}, skewness {skewness:.2f}", fontsize=9)
        axis.grid(False)
        measures = {"distribution": name, "saturation": saturation, "skewness": skewness}
        bins = {"from": edges[:-1], "to": edges[1:], "share": shares}
        numbers.append(pd.DataFrame(measures | bins))
    for axis in axes[-1]:
        axis.set_xlabel("Activation")
    for axis in axes[:, 0]:
        axis.set_ylabel("Share")
    return Drawing(drawn, pd.concat(numbers))


def _skewness_of_tanh(_: Runs) -> Drawing:
    drawn, axes = style.new()
    numbers = []
    for number, mean in enumerate(MEANS):
        values = [abs(moments_of_tanh(mean, std)[2]) for std in STANDARD_DEVIATIONS]
        shade = str(0.75 - 0.15 * number)
        axes.plot(STANDARD_DEVIATIONS, values, color=shade, label=f"mean {mean:g}")
        numbers.append(pd.DataFrame({"mean": mean, "std": STANDARD_DEVIATIONS, "skewness": values}))
    axes.set(
        xlabel="Standard deviation of tanh's input",
        ylabel="Absolute skewness of its output",
        xlim=(0.0, STANDARD_DEVIATIONS[-1]),
    )
    style.from_zero(axes)
    axes.legend(reverse=True)
    return Drawing(drawn, pd.concat(numbers))


FIGURES = (
    Figure(6, "Tanh and normalization together, for some inputs", (), _normalized_tanh),
    Figure(11, "Saturation and skewness of some distributions", (), _measures_of_distributions),
    Figure(12, "Skewness of tanh of normally distributed inputs", (), _skewness_of_tanh),
)
