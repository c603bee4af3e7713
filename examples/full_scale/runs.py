"""One run: a network trained on the device, into a run directory."""

import random
import sys
import time
from typing import Any

import jax

from examples.full_scale import precision
from examples.full_scale.training import Figures, State, Trainer, make_optimizer
from keras_bnact import measure
from keras_bnact.statistics import FIGURES, ModelStatistics
from train import environment, measurements, network, run_directory
from train.datasets import ImageSet
from train.progress import Progress
from train.run_directory import RunDirectory
from train.schedule import learning_rate, stops_early

# Lines that a run prints on its way.
LINES = 10


def make_trainer(flags: Any, images: ImageSet) -> Trainer:
    """Which trains networks of these flags, whatever their seed."""
    model = network.build(flags, images)
    network.set_loss(model, optimizer=None)
    steps = len(images.train) // flags.batch_size
    return Trainer(model, make_optimizer(flags, steps), images, flags.batch_size)


def run(
    flags: Any, directory: RunDirectory, trainer: Trainer, images: ImageSet, peak: float
) -> dict[str, Any]:
    """Trains from the start and writes the run directory, without weights.

    Args:
        flags: As `train.options.parse` gives them.
        directory: Where to.
        trainer: Made for these flags, or for ones of another seed.
        images: The data set.
        peak: Operations a second of a plain matrix product, for comparison.

    Returns:
        The summary.
    """
    began = time.perf_counter()
    directory.create(overwrite=False)
    described = environment.describe(flags.seed, 1, precision.devices())
    compute_dtype = trainer.model.get_layer("conv1").compute_dtype
    described |= {"compute_dtype": compute_dtype, "matmul_precision": precision.matmul()}
    directory.write_json(run_directory.ENVIRONMENT, described)
    # What Keras' initializers take their seeds from; its own function would import TensorFlow.
    random.seed(flags.seed)
    initial = network.build(flags, images)
    trainer.model.set_weights(initial.get_weights())
    progress = Progress()
    state, measured = _fit(flags, trainer, images, trainer.state(), progress)
    progress.write(directory)
    measurements.write_channels(measured, directory)
    summary = progress.summarize(
        images,
        flags.batch_size,
        trainer.model.count_params(),
        lambda: _plain(trainer.evaluate(state, trainer.tested)),
        measured.means(),
    )
    operations = network.TRAINING_PASSES * network.operations_per_image(trainer.model)
    summary |= {
        "operations_per_second": operations * summary["images_per_second"],
        "peak_operations_per_second": peak,
        "seconds_in_all": round(time.perf_counter() - began, 1),
    }
    directory.write_json(run_directory.SUMMARY, summary)
    return summary


def _fit(
    flags: Any, trainer: Trainer, images: ImageSet, state: State, progress: Progress
) -> tuple[State, ModelStatistics]:
    """Trains all epochs; returns also what the layers came to after the last."""
    prefix = "val_" if images.validation else "test_"
    every, statistics = flags.statistics_every, {}
    steps = len(images.train) // flags.batch_size
    for epoch in range(1, flags.epochs + 1):
        began = time.perf_counter()
        state, figures = trainer.epoch(state, flags.seed, epoch - 1)
        # What is read is there: the epoch is over.
        row = {"epoch": epoch} | _plain(figures)
        seconds = time.perf_counter() - began
        judged = _plain(trainer.evaluate(state, trainer.judged))
        row |= {f"{prefix}{name}": value for name, value in judged.items()}
        rate = learning_rate(flags.learning_rate, flags.learning_rate_drops, epoch - 1)
        row["learning_rate"] = rate
        last = epoch == flags.epochs or stops_early(
            [*progress.history, row], flags.early_stopping_patience
        )
        if last or (every and (epoch == 1 or epoch % every == 0)):
            trainer.assign(state)
            measured = _measured(flags, trainer, images, progress, epoch, histograms=last)
            statistics = measured.means()
        if every:
            row |= {name: statistics[name] for name in FIGURES}
        progress.add_epoch(row, seconds, time.perf_counter() - began)
        if epoch % max(1, flags.epochs // LINES) == 0:
            _announce(flags, row, prefix, steps * flags.batch_size / seconds)
        if last:
            break
    return state, measured


def _measured(
    flags: Any, trainer: Trainer, images: ImageSet, progress: Progress, epoch: int, histograms: bool
) -> ModelStatistics:
    wanted = measurements.histograms(trainer.model) if histograms else ()
    batches = images.test.test_batches()
    measured = measure(trainer.model, batches, histograms=wanted, verbose=0)
    progress.add_layers(measurements.tables(epoch, measured, trainer.model, images, flags))
    return measured


def _plain(figures: Figures) -> dict[str, float]:
    return {name: float(value) for name, value in jax.device_get(figures)._asdict().items()}


def _announce(flags: Any, row: dict[str, float], prefix: str, speed: float) -> None:
    part = prefix.rstrip("_")
    print(
        f"  epoch {row['epoch']:>3} of {flags.epochs}: loss {row['loss']:.4f}, accuracy "
        f"{row['accuracy']:.4f}, {part} accuracy {row[f'{prefix}accuracy']:.4f}, "
        f"{speed:,.0f} images/s"
    )
    sys.stdout.flush()
