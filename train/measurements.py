"""What a run finds out about its layers: `statistics.csv` and `channels.npz`."""

from typing import Any

import numpy as np

from keras_bnact import BoundedBlock, Histogram
from keras_bnact.statistics import ModelStatistics
from train import run_directory
from train.run_directory import RunDirectory

# The convolutions, counted from 1, whose channels the paper shows: figures 1 and 8.
CONSECUTIVE, NUMBER_CONSECUTIVE = 8, 10
RANDOM, NUMBER_RANDOM = 5, 3


def histograms(network: Any, seed: int) -> list[Histogram]:
    """Those of all layers, and those of the channels that the paper's figures 1 and 8 show."""
    wanted = [Histogram(), Histogram(of="output")]
    blocks = [
        layer
        for layer in network.layers
        if isinstance(layer, BoundedBlock) and len(layer.output.shape) == 4
    ]
    if len(blocks) >= CONSECUTIVE:
        block = blocks[CONSECUTIVE - 1]
        channels = range(min(NUMBER_CONSECUTIVE, block.output.shape[-1]))
        wanted.append(Histogram(block.name, channels))
    if len(blocks) >= RANDOM:
        block = blocks[RANDOM - 1]
        channels = np.random.default_rng(seed).permutation(block.output.shape[-1])
        chosen = sorted(int(channel) for channel in channels[:NUMBER_RANDOM])
        wanted.append(Histogram(block.name, chosen, of="output"))
    return wanted


def rows(epoch: int, measured: ModelStatistics) -> list[dict[str, Any]]:
    """Of `statistics.csv`, for an epoch counted from 1."""
    return [{"epoch": epoch, **record} for record in measured.records()]


def write_channels(measured: ModelStatistics, directory: RunDirectory) -> None:
    """Writes `channels.npz`: of each layer the values of its channels, and its histograms."""
    arrays = {}
    for layer in measured:
        arrays |= {f"{layer.name}/{name}": values for name, values in layer.channels().items()}
        for histogram in layer.histograms:
            kind = "histogram" if histogram.channels is None else "channel_histograms"
            key = f"{layer.name}/{histogram.of}_{kind}"
            arrays[f"{key}/edges"], arrays[f"{key}/counts"] = histogram.edges, histogram.counts
            if histogram.channels is not None:
                arrays[f"{key}/channels"] = np.array(histogram.channels)
    with directory.writing(run_directory.CHANNELS) as path, path.open("wb") as file:
        np.savez_compressed(file, **arrays)
