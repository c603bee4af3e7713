"""One run: a model trained on a data set, from wherever it stopped to its results."""

import sys
import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_bnact import export_saved_model, measure
from keras_bnact.statistics import FIGURES
from train import datasets, devices, environment, measurements, run_directory
from train.checkpoint import Checkpoint
from train.datasets import ImageSet
from train.network import build, set_loss
from train.progress import METRICS, Progress
from train.run_directory import RunDirectory
from train.schedule import learning_rate, stops_early


def run(flags: Any, directory: RunDirectory, strategy: Any) -> dict[str, Any]:
    """Trains, or goes on training, and writes the run directory; returns the summary."""
    images = datasets.load(flags)
    replicas = strategy.num_replicas_in_sync
    with strategy.scope():
        model = build(flags, images, synchronized=replicas > 1)
        set_loss(model, keras.optimizers.SGD(flags.learning_rate, momentum=flags.momentum))
        # Built at once, so that a checkpoint finds its state to restore.
        model.optimizer.build(model.trainable_variables)
    # What is saved is the network for one device, without an optimizer. It is what is judged
    # too: Keras cannot evaluate a last batch that leaves a replica without images.
    network = build(flags, images, synchronized=False)
    judge = keras.Model(network.inputs, network.outputs)
    set_loss(judge, optimizer=None)
    directory.create(flags.overwrite)
    directory.write_json(
        run_directory.ENVIRONMENT, environment.describe(flags.seed, replicas, devices.describe())
    )
    checkpoint = Checkpoint(model, directory.path / run_directory.CHECKPOINT)
    _announce(flags, images, model, checkpoint)
    fit(model, judge, flags, images, checkpoint, directory)
    judge.set_weights(model.get_weights())
    with directory.writing(run_directory.MODEL) as path:
        network.save(path)
    if flags.export == "saved_model":
        with directory.writing(run_directory.SAVED_MODEL) as path:
            export_saved_model(network, path)
    measured = measure(judge, images.test.test_batches(), histograms=measurements.histograms(judge))
    progress, means = checkpoint.progress, measured.means()
    if not progress.measured:
        tables = measurements.tables(progress.epochs, measured, model, images, flags)
        progress.add_layers(tables)
    progress.write(directory)

    def evaluate():
        return judge.evaluate(images.test.test_batches(), verbose=0, return_dict=True)

    summary = progress.summarize(images, flags.batch_size, judge.count_params(), evaluate, means)
    measurements.write_channels(measured, directory)
    directory.write_json(run_directory.SUMMARY, summary)
    tf.io.gfile.rmtree(str(directory.path / run_directory.CHECKPOINT))
    return summary


def fit(
    model: keras.Model,
    judge: keras.Model,
    flags: Any,
    images: ImageSet,
    checkpoint: Checkpoint,
    directory: RunDirectory,
) -> None:
    """Trains the epochs that the checkpoint does not hold yet.

    After each, `judge` takes the model's weights and is evaluated on the held-out images where
    there are some, else on the test images.
    """
    progress = checkpoint.progress
    epochs = range(progress.epochs, flags.epochs)
    if not epochs or stops_early(progress.history, flags.early_stopping_patience):
        return
    model.fit(
        images.train.training_batches(flags.batch_size, epochs, flags.seed, images.flip),
        steps_per_epoch=len(images.train) // flags.batch_size,
        initial_epoch=epochs.start,
        epochs=epochs.stop,
        callbacks=[
            keras.callbacks.LearningRateScheduler(
                lambda epoch: learning_rate(flags.learning_rate, flags.learning_rate_drops, epoch)
            ),
            _Evaluate(judge, images),
            *([_Measure(judge, flags, images, progress)] if flags.statistics_every else []),
            _Record(checkpoint, directory),
            _StopEarly(progress, flags.early_stopping_patience),
            keras.callbacks.TensorBoard(
                directory.path / run_directory.TENSORBOARD, write_graph=False, profile_batch=0
            ),
        ],
        verbose=1 if sys.stdout.isatty() else 2,
        shuffle=False,
    )


class _Evaluate(keras.callbacks.Callback):
    """Adds the `val_` or `test_` figures to an epoch's logs."""

    def __init__(self, judge: keras.Model, images: ImageSet):
        super().__init__()
        self.judge = judge
        self.prefix = "val_" if images.validation else "test_"
        self.batches = (images.validation or images.test).test_batches()

    def on_epoch_end(self, epoch, logs=None):
        self.judge.set_weights(self.model.get_weights())
        figures = self.judge.evaluate(self.batches, verbose=0, return_dict=True)
        logs |= {f"{self.prefix}{name}": figures[name] for name in METRICS}


class _Measure(keras.callbacks.Callback):
    """Measures the first epoch and every so many; their means go into the logs of all.

    After `_Evaluate`, which gives the judge its weights. What an epoch repeats comes from the
    checkpoint, so that a resumed run writes what an undisturbed one does.
    """

    def __init__(self, judge: keras.Model, flags: Any, images: ImageSet, progress: Progress):
        super().__init__()
        self.judge, self.flags, self.images, self.progress = judge, flags, images, progress
        self.batches = images.test.test_batches()

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 0 or (epoch + 1) % self.flags.statistics_every == 0:
            measured = measure(self.judge, self.batches, verbose=0)
            self.progress.add_layers(
                measurements.tables(epoch + 1, measured, self.model, self.images, self.flags)
            )
            logs |= measured.means()
        else:
            logs |= {name: self.progress.history[-1][name] for name in FIGURES}


class _Record(keras.callbacks.Callback):
    """Saves the checkpoint at the end of every epoch, and the tables from it."""

    def __init__(self, checkpoint: Checkpoint, directory: RunDirectory):
        super().__init__()
        self.checkpoint, self.directory = checkpoint, directory

    def on_epoch_begin(self, epoch, logs=None):
        self.began = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.trained = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        # The shortest number that is the same in float32: 0.01, not 0.009999999776482582.
        rate = float(str(np.float32(logs["learning_rate"])))
        row = {"epoch": epoch + 1, **logs, "learning_rate": rate}
        total = time.perf_counter() - self.began
        self.checkpoint.progress.add_epoch(row, self.trained - self.began, total)
        self.checkpoint.save()
        self.checkpoint.progress.write(self.directory)


class _StopEarly(keras.callbacks.Callback):
    def __init__(self, progress: Progress, patience: int | None):
        super().__init__()
        self.progress, self.patience = progress, patience

    def on_epoch_end(self, epoch, logs=None):
        if stops_early(self.progress.history, self.patience):
            self.model.stop_training = True


def _announce(flags: Any, images: ImageSet, model: keras.Model, checkpoint: Checkpoint) -> None:
    held_out = f", {len(images.validation):,} held out" if images.validation else ""
    print(
        f"{flags.dataset}: {len(images.train):,} images to train on{held_out}, "
        f"{len(images.test):,} to test, {images.classes} classes, {images.size} pixels\n"
        f"{flags.model}: {flags.activation}, {flags.order}, width {flags.width:g}, "
        f"{model.count_params():,} parameters"
    )
    if checkpoint.progress.epochs:
        print(f"Going on after epoch {checkpoint.progress.epochs} of {flags.epochs}")
    sys.stdout.flush()
