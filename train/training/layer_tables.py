"""What a run finds out about its layers: `statistics.csv`, `gradients.csv`, `channels.npz`."""

from typing import Any

import numpy as np

from keras_bnact import BoundedBlock, Histogram, measure_gradients
from keras_bnact.statistics import ModelStatistics
from train import run_directory
from train.data.image_set import ImageSet
from train.run_directory import RunDirectory

# The convolutions, counted from 1, whose channels the paper shows: figures 1 and 8.
CONSECUTIVE, NUMBER_CONSECUTIVE = 8, 10
RANDOM, NUMBER_RANDOM = 5, 3
# Batches of training images that gradients are averaged over: figure 15.
GRADIENT_BATCHES = 10


def histograms(network: Any) -> list[Histogram]:
    """Those of all channels, and of the channels that the paper's figures 1 and 8 show.

    The channels of figure 8 are drawn once and for all, so that runs can be laid side by side.
    """
    wanted = [Histogram(channels="all"), Histogram(of="output")]
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
        channels = np.random.default_rng(RANDOM).permutation(block.output.shape[-1])
        chosen = sorted(int(channel) for channel in channels[:NUMBER_RANDOM])
        wanted.append(Histogram(block.name, chosen, of="output"))
    return wanted


def tables(
    epoch: int, measured: ModelStatistics, model: Any, images: ImageSet, flags: Any
) -> dict[str, list[dict[str, Any]]]:
    """The rows of an epoch counted from 1, by the name of their file.

    Args:
        epoch: The epoch that is over.
        measured: On the test images.
        model: The network in training, whose gradients are measured on the training images, always
            the same.
        images, flags: The run's.
    """
    batches = images.train.training_batches(flags.batch_size, range(1), flags.seed, images.flip)
    number = min(GRADIENT_BATCHES, len(images.train) // flags.batch_size)
    gradients = measure_gradients(model, batches, steps=number)
    results = {run_directory.STATISTICS: measured, run_directory.GRADIENTS: gradients}
    return {
        name: [{"epoch": epoch, **record} for record in result.records()]
        for name, result in results.items()
    }


def write_channels(measured: ModelStatistics, directory: RunDirectory) -> None:
    """Writes `channels.npz`: of each layer the values of its channels, and its histograms."""
    arrays = {}
    for layer in measured:
        arrays |= {f"{layer.name}/{name}": values for name, values in layer.channels().items()}
        every_channel, *others = layer.histograms
        for histogram in (every_channel.together(), *others):
            kind = "histogram" if histogram.channels is None else "channel_histograms"
            key = f"{layer.name}/{histogram.of}_{kind}"
            arrays[f"{key}/edges"], arrays[f"{key}/counts"] = histogram.edges, histogram.counts
            if histogram.channels is not None:
                arrays[f"{key}/channels"] = np.array(histogram.channels)
    with directory.writing(run_directory.CHANNELS) as path, path.open("wb") as file:
        np.savez_compressed(file, **arrays)
