"""Learning curves: figures 16 and 17."""

from collections.abc import Callable

import pandas as pd

from analysis import drawing, style
from analysis.drawing import Drawing
from analysis.paper import commands, published
from analysis.paper.experiments import Chosen, Experiment, Runs, best, made_by
from analysis.paper.figures import Figure, NotRunError, by_order

# By order: one that table 2 has, too.
FLAGFILES = {"convention": "table2/tanh_convention", "swap": "figure16/swap"}


def _draw(metric: str, label: str) -> Callable[[Runs], Drawing]:
    def draw(runs: Runs) -> Drawing:
        found = _same_hyper_parameters(runs)
        drawn, axes = style.new()
        numbers = drawing.over_epochs(axes, by_order(found), metric)
        axes.set_ylabel(label)
        several = any(len(setting.runs) > 1 for setting in found.values())
        title = "mean, and range of the seeds" if several else None
        axes.legend(title=title, title_fontsize=8)
        return Drawing(drawn, numbers, list(found.values()))

    return draw


def _same_hyper_parameters(runs: Runs) -> dict[Experiment, Chosen]:
    """The two orders with all other flags alike.

    Of several pairs that of the largest size, then that of the figure's flagfiles, then that of
    the highest mean accuracy.
    """
    table = pd.DataFrame(
        [
            (tuple((k, v) for k, v in run.setting_flags if k != "order"), experiment, run)
            for experiment in map(Experiment, FLAGFILES)
            for run in runs.on(experiment.dataset)
            if experiment.fits(run) and not run.held_out
        ],
        columns=["other flags", "experiment", "run"],
    )
    pairs = [
        {
            experiment: best([*alike])
            for experiment, alike in pair.groupby("experiment", sort=False)["run"]
        }
        for _, pair in table.groupby("other flags", sort=False)
        if pair["experiment"].nunique() == len(FLAGFILES)
    ]
    if not pairs:
        raise NotRunError

    def rank(pair: dict[Experiment, Chosen]) -> tuple:
        flagfiles = zip(pair.values(), FLAGFILES.values(), strict=True)
        own = all(made_by(setting, published.flags(name)) for setting, name in flagfiles)
        accuracy = sum(setting.accuracies().mean() for setting in pair.values())
        return min(setting.size for setting in pair.values()), own, accuracy

    return max(pairs, key=rank)


_COMMANDS = commands.experiments(FLAGFILES.values())
FIGURES = (
    Figure(
        16,
        "Training loss, both orders with the same hyper-parameters",
        _COMMANDS,
        _draw("cross_entropy", "Cross-entropy,\naugmented training images"),
    ),
    Figure(
        17,
        "Test loss, both orders with the same hyper-parameters",
        _COMMANDS,
        _draw("test_cross_entropy", "Cross-entropy,\ntest images"),
    ),
)
