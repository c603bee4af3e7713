"""Learning curves: figures 16 and 17."""

from collections.abc import Callable

import numpy as np

from analysis import commands, published, style
from analysis.experiments import Experiment, Runs, Setting, best
from analysis.figures import Drawing, Figure, NotRunError

ORDERS = ("convention", "swap")


def _draw(column: str, label: str) -> Callable[[Runs], Drawing]:
    def draw(runs: Runs) -> Drawing:
        found = _same_hyper_parameters(runs)
        drawn, axes = style.new()
        rows = []
        for experiment, setting in found.items():
            curves = setting.over_epochs(column)
            epochs, mean = np.arange(1, curves.shape[1] + 1), curves.mean(axis=0)
            lowest, highest = curves.min(axis=0), curves.max(axis=0)
            looks = style.by_order(experiment) | {"markevery": max(1, len(epochs) // 10)}
            axes.plot(epochs, mean, label=experiment.label, **looks)
            axes.fill_between(epochs, lowest, highest, **style.band(looks["color"]))
            rows += [
                {
                    "model": experiment.label,
                    "epoch": int(epoch),
                    column: float(mean[i]),
                    "lowest": float(lowest[i]),
                    "highest": float(highest[i]),
                }
                for i, epoch in enumerate(epochs)
            ]
        axes.set(xlabel="Epoch", ylabel=label)
        axes.xaxis.get_major_locator().set_params(integer=True)
        several = any(len(setting.runs) > 1 for setting in found.values())
        title = "mean, and range of the seeds" if several else None
        axes.legend(title=title, title_fontsize=8)
        return Drawing(drawn, rows, list(found.values()))

    return draw


def _same_hyper_parameters(runs: Runs) -> dict[Experiment, Setting]:
    """The two orders with all other flags alike.

    Of several pairs that of the largest size, then that of the figure's flagfiles, then that of
    the highest mean accuracy.
    """
    pairs: dict[tuple, dict[Experiment, list]] = {}
    for experiment in map(Experiment, ORDERS):
        for run in runs.on(experiment.dataset):
            if experiment.fits(run) and not run.held_out:
                rest = tuple((k, v) for k, v in run.setting_flags if k != "order")
                pairs.setdefault(rest, {}).setdefault(experiment, []).append(run)
    whole = [pair for pair in pairs.values() if len(pair) == len(ORDERS)]
    if not whole:
        raise NotRunError
    settings = [{experiment: best(found) for experiment, found in pair.items()} for pair in whole]

    def rank(pair):
        flagfiles = zip(pair.values(), ORDERS, strict=True)
        own = all(setting.made_by(published.flags(f"figure16/{o}")) for setting, o in flagfiles)
        accuracy = sum(setting.accuracy()[0] for setting in pair.values())
        return min(setting.size for setting in pair.values()), own, accuracy

    return max(settings, key=rank)


_COMMANDS = commands.experiments(f"figure16/{order}" for order in ORDERS)
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
