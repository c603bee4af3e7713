"""Learning curves: figures 16 and 17."""

from collections.abc import Callable

import numpy as np

from analysis import commands, published, style
from analysis.cells import Cell, Group, Results, best
from analysis.figures import Drawing, Figure, NotRunError

ORDERS = ("convention", "swap")


def _draw(column: str, label: str) -> Callable[[Results], Drawing]:
    def draw(results: Results) -> Drawing:
        found = _same_hyper_parameters(results)
        drawn, axes = style.new()
        rows = []
        for cell, group in found.items():
            curves = group.over_epochs(column)
            epochs, mean = np.arange(1, curves.shape[1] + 1), curves.mean(axis=0)
            lowest, highest = curves.min(axis=0), curves.max(axis=0)
            looks = style.by_order(cell) | {"markevery": max(1, len(epochs) // 10)}
            axes.plot(epochs, mean, label=cell.label, **looks)
            axes.fill_between(epochs, lowest, highest, **style.band(looks["color"]))
            rows += [
                {
                    "model": cell.label,
                    "epoch": int(epoch),
                    column: float(mean[i]),
                    "lowest": float(lowest[i]),
                    "highest": float(highest[i]),
                }
                for i, epoch in enumerate(epochs)
            ]
        axes.set(xlabel="Epoch", ylabel=label)
        axes.xaxis.get_major_locator().set_params(integer=True)
        several = any(len(group.results) > 1 for group in found.values())
        title = "mean, and range of the seeds" if several else None
        axes.legend(title=title, title_fontsize=8)
        return Drawing(drawn, rows, list(found.values()))

    return draw


def _same_hyper_parameters(results: Results) -> dict[Cell, Group]:
    """The two orders with all other flags alike.

    Of several pairs that of the largest size, then that of the figure's flagfiles, then that of
    the highest mean accuracy.
    """
    pairs: dict[tuple, dict[Cell, list]] = {}
    for cell in map(Cell, ORDERS):
        for result in results.on(cell.dataset):
            if cell.fits(result) and not result.held_out:
                rest = tuple((k, v) for k, v in result.settings if k != "order")
                pairs.setdefault(rest, {}).setdefault(cell, []).append(result)
    whole = [pair for pair in pairs.values() if len(pair) == len(ORDERS)]
    if not whole:
        raise NotRunError
    groups = [{cell: best(found) for cell, found in pair.items()} for pair in whole]

    def rank(pair):
        flagfiles = zip(pair.values(), ORDERS, strict=True)
        own = all(group.made_by(published.flags(f"figure16/{o}")) for group, o in flagfiles)
        accuracy = sum(group.accuracy()[0] for group in pair.values())
        return min(group.size for group in pair.values()), own, accuracy

    return max(groups, key=rank)


_COMMANDS = commands.cells(f"figure16/{order}" for order in ORDERS)
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
