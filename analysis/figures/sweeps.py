"""Accuracy against a figure of the layers, as a weight decay varies: figures 5, 7 and 18."""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from analysis import commands, style
from analysis.cells import Cell, Group, Results, best
from analysis.figures import Drawing, Figure, NotRunError
from analysis.results import AFFINE, Result

# Of gamma and beta: the paper's in figure 7; figure 18 gives none, so these are ours.
SMALL = (0.0, 1e-6, 5e-6, 1e-5, 5e-5, 1e-4, 5e-4)
LARGE = (1e-3, 5e-3, 1e-2, 5e-2)
# Fewer points have no correlation worth telling.
FEWEST = 4


def _draw(
    cell: Cell,
    fits: Callable[[Result], float | None],
    decays: Sequence[float],
    figure: str,
    decay: str,
    scale: dict[str, Any],
    note: str | None = None,
) -> Callable[[Results], Drawing]:
    def draw(results: Results) -> Drawing:
        found = _by_decay(results, fits)
        if len(found) < 2:
            raise NotRunError
        x = [*found]
        accuracy = _columns([group.accuracy() for group in found.values()])
        mean = operator.methodcaller("mean_of_layers", figure)
        second = _columns([group.statistic(mean) for group in found.values()])
        drawn, axes = style.new(6.4, 5.0, nrows=2, sharex=True)
        looks = style.by_order(cell) | {"capsize": 3}
        for axis, (mean, std), label in zip(
            axes,
            (accuracy, second),
            ("Test accuracy (%)", f"{figure.capitalize()},\nmean of the layers"),
            strict=True,
        ):
            axis.errorbar(x, mean, None if np.isnan(std).all() else np.nan_to_num(std), **looks)
            axis.set_ylabel(label)
        notes = [note] if note else []
        if len(found) >= FEWEST and np.std(accuracy[0]) and np.std(second[0]):
            correlation = np.corrcoef(accuracy[0], second[0])[0, 1]
            notes.append(f"correlation of accuracy and {figure}: {correlation:.2f}")
        axes[0].set_title("; ".join(notes), fontsize=10)
        axes[1].set_xscale(**scale)
        axes[1].set_xlabel(f"Weight decay of {decay}")
        rows = [
            {
                "weight_decay": value,
                "accuracy": accuracy[0][i],
                "accuracy_std": accuracy[1][i],
                figure: second[0][i],
                f"{figure}_std": second[1][i],
            }
            for i, value in enumerate(found)
        ]
        missing = [f"weight decay {value:g}" for value in decays if value not in found]
        return Drawing(drawn, rows, list(found.values()), missing)

    return draw


def _by_decay(results: Results, fits: Callable[[Result], float | None]) -> dict[float, Group]:
    """The groups of a sweep by what varies.

    Of several sweeps that of the largest size, then of the most values, then of the most runs.
    """
    sweeps: dict[Any, dict[float, list[Result]]] = {}
    for result in results.on("cifar100"):
        names = (result.flags["model"], result.flags["activation"])
        value = fits(result) if names == ("vgg16_11", "tanh") else None
        if value is not None and not result.held_out:
            rest = tuple((k, v) for k, v in result.settings if k not in AFFINE)
            sweeps.setdefault(rest, {}).setdefault(value, []).append(result)
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


def _beta(result: Result) -> float | None:
    """Of beta in the convention, where gamma has none."""
    gamma, beta = result.affine_decays
    return beta if result.flags["order"] == "convention" and not gamma else None


def _affine(low: float, high: float) -> Callable[[Result], float | None]:
    """Of gamma and beta in the swapped order, where they have the same, between two values."""

    def fits(result: Result) -> float | None:
        gamma, beta = result.affine_decays
        inside = result.flags["order"] == "swap" and gamma == beta and low <= beta <= high
        return beta if inside else None

    return fits


_BOTH = "gamma and beta"
FIGURES = (
    Figure(
        5,
        "Accuracy and skewness, as beta's weight decay grows in NWDBN",
        [commands.sweep("figure5/sweep")],
        _draw(
            Cell("nwdbn"),
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
            Cell("swap"),
            _affine(0.0, 5e-4),
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
            Cell("swap"),
            _affine(1e-3, np.inf),
            LARGE,
            "sparsity",
            _BOTH,
            {"value": "log"},
            "weight decays of ours",
        ),
    ),
)
