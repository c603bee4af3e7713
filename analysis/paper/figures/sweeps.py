"""Accuracy against a statistic of the layers, as a weight decay varies: figures 5, 7 and 18."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis import style
from analysis.drawing import Drawing
from analysis.paper import commands
from analysis.paper.experiments import Chosen, Experiment, Runs, best
from analysis.paper.figures import Figure, NotRunError
from analysis.runs import GAMMA_BETA_DECAYS, Run
from analysis.uncertainty import mean_and_std

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
        numbers = pd.DataFrame(
            [_means(setting, statistic) for setting in found.values()], index=[*found]
        ).rename_axis("weight_decay")
        drawn, axes = style.new(6.4, 5.0, nrows=2, sharex=True)
        looks = style.by_order(experiment.order) | {"capsize": 3}
        for axis, metric, label in zip(
            axes,
            ("accuracy", statistic),
            ("Test accuracy (%)", f"{statistic.capitalize()},\nmean of the layers"),
            strict=True,
        ):
            std = numbers[f"{metric}_std"]
            error = None if std.isna().all() else std.fillna(0.0)
            axis.errorbar(numbers.index, numbers[metric], error, **looks)
            axis.set_ylabel(label)
        notes = [note] if note else []
        both = numbers[["accuracy", statistic]].to_numpy().T
        if len(found) >= FEWEST and both.std(axis=1).all():
            notes.append(f"correlation of accuracy and {statistic}: {np.corrcoef(both)[0, 1]:.2f}")
        axes[0].set_title("; ".join(notes), fontsize=10)
        axes[1].set_xscale(**scale)
        axes[1].set_xlabel(f"Weight decay of {decay}")
        missing = [f"weight decay {value:g}" for value in decays if value not in found]
        return Drawing(drawn, numbers.reset_index(), list(found.values()), missing)

    return draw


def _by_decay(runs: Runs, fits: Callable[[Run], float | None]) -> dict[float, Chosen]:
    """The settings of a sweep by what varies.

    Of several sweeps that of the largest size, then of the most values, then of the most runs.
    """
    table = pd.DataFrame(
        [
            (tuple((k, v) for k, v in run.setting_flags if k not in GAMMA_BETA_DECAYS), value, run)
            for run in runs.on("cifar100")
            if (run.flags["model"], run.flags["activation"]) == ("vgg16_11", "tanh")
            and not run.held_out
            and (value := fits(run)) is not None
        ],
        columns=["other flags", "decay", "run"],
    )
    sweeps = [sweep for _, sweep in table.groupby("other flags", sort=False)]
    if not sweeps:
        raise NotRunError

    def rank(sweep: pd.DataFrame) -> tuple:
        return best([*sweep["run"]]).size, sweep["decay"].nunique(), len(sweep)

    # One point is no sweep.
    several = [sweep for sweep in sweeps if sweep["decay"].nunique() > 1]
    chosen = max(several or sweeps, key=rank)
    return {value: best([*alike]) for value, alike in chosen.groupby("decay")["run"]}


def _means(setting: Chosen, statistic: str) -> dict[str, float]:
    accuracy, accuracy_std = mean_and_std(setting.accuracies())
    mean, std = mean_and_std(setting.means_of_layers(statistic))
    return {
        "accuracy": accuracy,
        "accuracy_std": accuracy_std,
        statistic: mean,
        f"{statistic}_std": std,
    }


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
