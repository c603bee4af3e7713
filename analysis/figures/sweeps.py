"""Accuracy against a statistic of the layers, as a weight decay varies: figures 5, 7 and 18."""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from analysis import commands, style
from analysis.experiments import Experiment, Runs, Setting, best
from analysis.figures import Drawing, Figure, NotRunError
from analysis.runs import GAMMA_BETA_DECAYS, Run

# Of gamma and beta: the paper's in figure 7; figure 18 gives none, so these are ours.
SMALL = (0.0, 1e-6, 5e-6, 1e-5, 5e-5, 1e-4, 5e-4)
LARGE = (1e-3, 5e-3, 1e-2, 5e-2)
# Fewer points have no correlation worth telling.
FEWEST = 4


def _draw(
    experiment: Experiment,
    fits: Callable[[Run], float | None],
    decays: Sequence[float],
    statistic: str,
    decay: str,
    scale: dict[str, Any],
    note: str | None = None,
) -> Callable[[Runs], Drawing]:
    def draw(runs: Runs) -> Drawing:
        found = _by_decay(runs, fits)
        if len(found) < 2:
            raise NotRunError
        x = [*found]
        accuracy = _columns([setting.accuracy() for setting in found.values()])
        mean = operator.methodcaller("mean_of_layers", statistic)
        second = _columns([setting.statistic(mean) for setting in found.values()])
        drawn, axes = style.new(6.4, 5.0, nrows=2, sharex=True)
        looks = style.by_order(experiment) | {"capsize": 3}
        for axis, (mean, std), label in zip(
            axes,
            (accuracy, second),
            ("Test accuracy (%)", f"{statistic.capitalize()},\nmean of the layers"),
            strict=True,
        ):
            axis.errorbar(x, mean, None if np.isnan(std).all() else np.nan_to_num(std), **looks)
            axis.set_ylabel(label)
        notes = [note] if note else []
        if len(found) >= FEWEST and np.std(accuracy[0]) and np.std(second[0]):
            correlation = np.corrcoef(accuracy[0], second[0])[0, 1]
            notes.append(f"correlation of accuracy and {statistic}: {correlation:.2f}")
        axes[0].set_title("; ".join(notes), fontsize=10)
        axes[1].set_xscale(**scale)
        axes[1].set_xlabel(f"Weight decay of {decay}")
        rows = [
            {
                "weight_decay": value,
                "accuracy": accuracy[0][i],
                "accuracy_std": accuracy[1][i],
                statistic: second[0][i],
                f"{statistic}_std": second[1][i],
            }
            for i, value in enumerate(found)
        ]
        missing = [f"weight decay {value:g}" for value in decays if value not in found]
        return Drawing(drawn, rows, list(found.values()), missing)

    return draw


def _by_decay(runs: Runs, fits: Callable[[Run], float | None]) -> dict[float, Setting]:
    """The settings of a sweep by what varies.

    Of several sweeps that of the largest size, then of the most values, then of the most runs.
    """
    sweeps: dict[Any, dict[float, list[Run]]] = {}
    for run in runs.on("cifar100"):
        names = (run.flags["model"], run.flags["activation"])
        value = fits(run) if names == ("vgg16_11", "tanh") else None
        if value is not None and not run.held_out:
            rest = tuple((k, v) for k, v in run.setting_flags if k not in GAMMA_BETA_DECAYS)
            sweeps.setdefault(rest, {}).setdefault(value, []).append(run)
    if not sweeps:
        raise NotRunError

    def rank(sweep):
        size = best(next(iter(sweep.values()))).size
        return size, len(sweep), sum(map(len, sweep.values()))

    # One point is no sweep.
    several = [sweep for sweep in sweeps.values() if len(sweep) > 1]
    chosen = max(several or sweeps.values(), key=rank)
    return {value: best(chosen[value]) for value in sorted(chosen)}


def _columns(pairs: Sequence[tuple[float, float | None]]) -> tuple[Sequence[float], np.ndarray]:
    means, stds = zip(*pairs, strict=True)
    return means, np.array([np.nan if std is None else std for std in stds])


def _beta(run: Run) -> float | None:
    """Of beta in the convention, where gamma has none."""
    gamma, beta = run.gamma_beta_decays
    return beta if run.flags["order"] == "convention" and not gamma else None


def _gamma_and_beta(low: float, high: float) -> Callable[[Run], float | None]:
    """Of gamma and beta in the swapped order, where they have the same, between two values."""

    def fits(run: Run) -> float | None:
        gamma, beta = run.gamma_beta_decays
        inside = run.flags["order"] == "swap" and gamma == beta and low <= beta <= high
        return beta if inside else None

    return fits


_BOTH = "gamma and beta"
FIGURES = (
    Figure(
        5,
        "Accuracy and skewness, as beta's weight decay grows in NWDBN",
        [commands.sweep("figure5/sweep")],
        _draw(
            Experiment("nwdbn"),
            _beta,
            [i / 10_000 for i in range(11)],
            "skewness",
            "beta",
            {"value": "linear"},
        ),
    ),
    Figure(
        7,
        "Accuracy and sparsity, as gamma's and beta's weight decay grows in Swap",
        [commands.sweep("figure7/sweep")],
        _draw(
            Experiment("swap"),
            _gamma_and_beta(0.0, 5e-4),
            SMALL,
            "sparsity",
            _BOTH,
            {"value": "symlog", "linthresh": SMALL[1]},
        ),
    ),
    Figure(
        18,
        "Figure 7 with larger weight decays: accuracy and sparsity in Swap",
        [commands.sweep("figure18/sweep")],
        _draw(
            Experiment("swap"),
            _gamma_and_beta(1e-3, np.inf),
            LARGE,
            "sparsity",
            _BOTH,
            {"value": "log"},
            "weight decays of ours",
        ),
    ),
)
