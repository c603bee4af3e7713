"""Histograms of layers and of channels: figures 1 and 8."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis import drawing, style
from analysis.drawing import Drawing
from analysis.paper import commands
from analysis.paper.experiments import Chosen, Experiment, Runs
from analysis.paper.figures import Figure, with_runs
from analysis.runs import Run
from train.errors import UsageError


def _channels_of_a_layer(runs: Runs) -> Drawing:
    found, missing = with_runs(runs, (Experiment("convention"), Experiment("swap")))
    drawn = style.Figure(figsize=(10, 2.6 * len(found)))
    grid = drawn.add_gridspec(2 * len(found), 7)
    numbers = []
    for number, (experiment, setting) in enumerate(found.items()):
        run = setting.runs[0]
        channels, layer = run.channels, _layer_shown(run, "activation")
        whole = drawn.add_subplot(grid[2 * number : 2 * number + 2, :2])
        key = f"{layer}/activation_histogram"
        numbers.append(_bars(whole, channels, key, 0, experiment, layer))
        seed = run.seed
        whole.set_title(f"{experiment.label}: {layer}, seed {seed}")
        whole.set(xlabel="Activation", ylabel="Share")
        key = f"{layer}/activation_channel_histograms"
        for i, channel in enumerate(channels[f"{key}/channels"][:10]):
            axis = drawn.add_subplot(grid[2 * number + i // 5, 2 + i % 5])
            numbers.append(_bars(axis, channels, key, i, experiment, f"channel {channel}"))
            axis.set_title(f"channel {channel}", fontsize=8)
            axis.tick_params(labelsize=7)
            axis.set_yticks([])
            if i >= 5:
                axis.set_xlabel("Activation", fontsize=8)
    return Drawing(drawn, pd.concat(numbers), _shown(found), missing)


def _output_of_a_block(runs: Runs) -> Drawing:
    orders = ("convention", "nwdbn", "swap")
    found, missing = with_runs(runs, [Experiment(order) for order in orders])
    # One range, so that the orders can be compared.
    drawn, axes = style.new(
        9, 2.3 * len(found), nrows=len(found), ncols=3, squeeze=False, sharex=True
    )
    numbers = []
    for line, (experiment, setting) in zip(axes, found.items(), strict=True):
        run = setting.runs[0]
        channels, seed = run.channels, run.seed
        key = f"{_layer_shown(run, 'output')}/output_channel_histograms"
        for i, axis in enumerate(line):
            channel = channels[f"{key}/channels"][i]
            name = f"channel {channel}"
            numbers.append(_bars(axis, channels, key, i, experiment, name, density=True))
            axis.axvline(0.0, color="0.3", linewidth=0.8, linestyle=":")
            axis.set_title(f"{experiment.label}, channel {channel}, seed {seed}", fontsize=9)
        line[0].set_ylabel("Density")
    for axis in axes[-1]:
        axis.set_xlabel("Output of the block")
    return Drawing(drawn, pd.concat(numbers), _shown(found), missing)


def _layer_shown(run: Run, of: str) -> str:
    """The layer of which a run keeps the histograms of channels: the one that the paper shows."""
    ending = f"/{of}_channel_histograms/channels"
    for key in run.channels:
        if key.endswith(ending):
            return key.removesuffix(ending)
    raise UsageError(
        f"{run.path}/channels.npz is damaged (it lacks histograms of channels): "
        "start anew with train.run's --overwrite, or move that run away."
    )


def _shown(found: dict[Experiment, Chosen]) -> list[Chosen]:
    """What is drawn: a channel has no mean over seeds, so it is that of the first."""
    return [dataclasses.replace(setting, runs=setting.runs[:1]) for setting in found.values()]


def _bars(
    axes: Any,
    channels: Mapping[str, np.ndarray],
    key: str,
    row: int,
    experiment: Experiment,
    name: str,
    density: bool = False,
) -> pd.DataFrame:
    """Of a row of the histograms that a key of `channels.npz` names."""
    histogram = {part: channels[f"{key}/{part}"] for part in ("edges", "counts")}
    shares = drawing.bars(axes, histogram, row, style.COLOURS[experiment.order], density)
    return pd.DataFrame({"model": experiment.label, "of": name}, index=shares.index).join(shares)


_BOTH = commands.experiments(f"table2/tanh_{order}" for order in ("convention", "swap"))
FIGURES = (
    Figure(
        1,
        "Activations of the 8th layer, and of ten channels, each on its own scale",
        _BOTH,
        _channels_of_a_layer,
    ),
    Figure(
        8,
        "Output of the 5th block, three channels drawn at random",
        [*_BOTH, *commands.experiments(["figure5/nwdbn"])],
        _output_of_a_block,
    ),
)
