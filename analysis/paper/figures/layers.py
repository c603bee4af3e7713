"""A statistic of every layer: figures 3, 4, 9, 10, 13 and 14."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis import drawing, style
from analysis.drawing import QUANTITIES, Drawing, Shown
from analysis.paper import commands
from analysis.paper.experiments import ACTIVATIONS, DATASETS, Experiment, Runs
from analysis.paper.figures import Figure, NotRunError, by_order, with_runs
from keras_bnact import activations

BOTH = (Experiment("convention"), Experiment("swap"))


def _both_orders(statistic: str) -> Callable[[Runs], Drawing]:
    def draw(runs: Runs) -> Drawing:
        found, missing = with_runs(runs, BOTH)
        drawn, axes = style.new()
        numbers = _lines(axes, by_order(found), statistic)
        return Drawing(drawn, numbers, list(found.values()), missing)

    return draw


def _without_normalization(runs: Runs) -> Drawing:
    experiments = Experiment("convention", "vgg16"), Experiment("nobn", "vgg16")
    found, missing = with_runs(runs, experiments)
    drawn, axes = style.new(10, 3.6, ncols=2)
    numbers = [
        _lines(axis, by_order(found), statistic)
        for axis, statistic in zip(axes, ("saturation", "skewness"), strict=True)
    ]
    return Drawing(drawn, pd.concat(numbers), list(found.values()), missing)


def _activations(runs: Runs) -> Drawing:
    drawn, (left, right) = style.new(10, 3.6, ncols=2)
    x = np.linspace(-4.0, 4.0, 161)
    names = ("tanh", "lecun_tanh", "softsign")
    shapes = {
        "tanh": np.tanh(x),
        "lecun_tanh": activations.LECUN_TANH_SCALE * np.tanh(2.0 / 3.0 * x),
        "softsign": x / (1.0 + np.abs(x)),
    }
    numbers = []
    for name in names:
        left.plot(x, shapes[name], color=style.ACTIVATIONS[name], label=ACTIVATIONS[name])
        # Objects, beside which the layers' numbers stay whole in the CSV file.
        points = {"x": x.astype(object), "y": shapes[name], "std": np.nan}
        named = {"model": ACTIVATIONS[name], "dataset": "", "layer": "", "statistic": "shape"}
        numbers.append(pd.DataFrame(named | points))
    left.set(xlabel="Input", ylabel="Output")
    left.legend()
    experiments = [
        Experiment(order, activation=name) for name in names for order in ("convention", "swap")
    ]
    try:
        found, missing = with_runs(runs, experiments)
    except NotRunError:
        right.text(0.5, 0.5, "not run", ha="center", transform=right.transAxes, color="0.4")
        right.set_axis_off()
        return Drawing(drawn, pd.concat(numbers), (), ["the skewness of the layers, on the right"])
    shown = [
        Shown(
            f"{experiment.label}, {ACTIVATIONS[experiment.activation]}",
            style.by_activation(experiment.activation, experiment.order),
            setting,
        )
        for experiment, setting in found.items()
    ]
    lines = _lines(right, shown, "skewness")
    return Drawing(drawn, pd.concat([*numbers, lines]), list(found.values()), missing)


def _datasets(runs: Runs) -> Drawing:
    experiments = [
        Experiment("swap", model, dataset=dataset)
        for model in ("vgg16", "mobilenet")
        for dataset in DATASETS
    ]
    found, _ = with_runs(runs, experiments)
    # A row for each network and a column for each data set, as far as there are runs.
    shown = [
        experiment
        for experiment in experiments
        if experiment.model in {there.model for there in found}
        and experiment.dataset in {there.dataset for there in found}
    ]
    nrows = len({experiment.model for experiment in shown})
    ncols = len(shown) // nrows
    size = (3.0 * ncols, 2.6 * nrows) if len(shown) > 1 else ()
    drawn, axes = style.new(*size, nrows=nrows, ncols=ncols, sharey="row", squeeze=False)
    numbers = []
    for experiment, axis in zip(shown, axes.flat, strict=True):
        images = runs.dataset_name(experiment.dataset)
        axis.set_title(f"{experiment.network}, {images}", fontsize=9)
        if experiment in found:
            name = f"{experiment.network}, {DATASETS[experiment.dataset]}"
            one = Shown(name, style.by_order(experiment.order), found[experiment])
            numbers.append(drawing.over_layers(axis, [one], "skewness"))
            axis.set_ylabel(QUANTITIES["skewness"].label)
            # The first of the row may be switched off.
            axis.tick_params(labelleft=True)
        else:
            axis.text(0.5, 0.5, "not run", ha="center", transform=axis.transAxes, color="0.4")
            axis.set_axis_off()
    missing = [
        f"{experiment.network} on {DATASETS[experiment.dataset]}"
        for experiment in experiments
        if experiment not in found
    ]
    return Drawing(drawn, pd.concat(numbers), list(found.values()), missing)


def _depth(runs: Runs) -> Drawing:
    found, missing = with_runs(runs, (Experiment("swap", "vgg16"),))
    drawn, axes = style.new()
    numbers = _lines(axes, by_order(found), "skewness")
    return Drawing(drawn, numbers, list(found.values()), missing)


def _lines(axes: Any, shown: Sequence[Shown], quantity: str) -> pd.DataFrame:
    numbers = drawing.over_layers(axes, shown, quantity)
    axes.set_ylabel(QUANTITIES[quantity].label)
    drawing.legend(axes, len(shown))
    return numbers


_BOTH = commands.experiments(["table2/tanh_convention", "table2/tanh_swap"])
FIGURES = (
    Figure(3, "Saturation of the layers", _BOTH, _both_orders("saturation")),
    Figure(4, "Skewness of the layers", _BOTH, _both_orders("skewness")),
    Figure(
        9,
        "Skewness of Swap's layers on several data sets",
        commands.experiments(
            f"table1/{m}_tanh_{d}_swap" for m in ("vgg16", "mobilenet") for d in DATASETS
        ),
        _datasets,
    ),
    Figure(
        10,
        "With and without batch normalization: saturation and skewness of VGG16",
        commands.experiments(["figure10/convention", "figure10/nobn"]),
        _without_normalization,
    ),
    Figure(
        13,
        "Bounded activation functions, and the skewness of their layers",
        commands.experiments(
            f"table2/{a}_{o}"
            for a in ("tanh", "lecun_tanh", "softsign")
            for o in ("convention", "swap")
        ),
        _activations,
    ),
    Figure(
        14, "Skewness of the layers of VGG16", commands.experiments(["table7/vgg16_16"]), _depth
    ),
)
