"""Learning curves: figures 16 and 17."""

from collections.abc import Callable

import pandas as pd

from analysis import commands, published, style
from analysis.experiments import Experiment, Runs, Setting, best
from analysis.figures import Drawing, Figure, NotRunError
from analysis.uncertainty import mean_and_std

# By order: one that table 2 has, too.
FLAGFILES = {"convention": "table2/tanh_convention", "swap": "figure16/swap"}


def _draw(metric: str, label: str) -> Callable[[Runs], Drawing]:
    def draw(runs: Runs) -> Drawing:
        found = _same_hyper_parameters(runs)
        drawn, axes = style.new()
        numbers = []
        for experiment, setting in found.items():
            curves = setting.over_epochs(metric)
            mean, _ = mean_and_std(curves)
            lowest, highest = curves.min(skipna=False), curves.max(skipna=False)
            looks = style.by_order(experiment) | {"markevery": max(1, len(mean) // 10)}
            axes.plot(mean.index, mean, label=experiment.label, **looks)
            axes.fill_between(mean.index, lowest, highest, **style.band(looks["color"]))
            named = {"model": experiment.label, "epoch": mean.index}
            shown = {metric: mean, "lowest": lowest, "highest": highest}
            numbers.append(pd.DataFrame(named | shown))
        axes.set(xlabel="Epoch", ylabel=label)
        axes.xaxis.get_major_locator().set_params(integer=True)
        several = any(len(setting.runs) > 1 for setting in found.values())
        title = "mean, and range of the seeds" if several else None
        axes.legend(title=title, title_fontsize=8)
        return Drawing(drawn, pd.concat(numbers), list(found.values()))

    return draw


def _same_hyper_parameters(runs: Runs) -> dict[Experiment, Setting]:
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

    def rank(pair: dict[Experiment, Setting]) -> tuple:
        flagfiles = zip(pair.values(), FLAGFILES.values(), strict=True)
        own = all(setting.made_by(published.flags(name)) for setting, name in flagfiles)
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
