"""One run: a model trained on a data set, from wherever it stopped to its results."""

import statistics
import sys
import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_bnact import export_saved_model, measure, models
from keras_bnact.statistics import FIGURES
from train import datasets, environment, measurements, options, run_directory
from train.checkpoint import Checkpoint
from train.datasets import ImageSet
from train.run_directory import RunDirectory

METRICS = ("loss", "cross_entropy", "accuracy")


def run(flags: Any, directory: RunDirectory, strategy: Any) -> dict[str, Any]:
    """Trains, or goes on training, and writes the run directory; returns the summary."""
    images = datasets.load(flags)
    replicas = strategy.num_replicas_in_sync
    with strategy.scope():
        model = build(flags, images, synchronized=replicas > 1)
        _compile(model, keras.optimizers.SGD(flags.learning_rate, momentum=flags.momentum))
        # Built at once, so that a checkpoint finds its state to restore.
        model.optimizer.build(model.trainable_variables)
    # What is saved is the network for one device, without an optimizer. It is what is judged
    # too: Keras cannot evaluate a last batch that leaves a replica without images.
    network = build(flags, images, synchronized=False)
    judge = keras.Model(network.inputs, network.outputs)
    _compile(judge, optimizer=None)
    directory.create(flags.overwrite)
    directory.write_json(run_directory.ENVIRONMENT, environment.describe(flags.seed, replicas))
    checkpoint = Checkpoint(model, directory.path / run_directory.CHECKPOINT)
    _announce(flags, images, model, checkpoint)
    fit(model, judge, flags, images, checkpoint, directory)
    judge.set_weights(model.get_weights())
    with directory.writing(run_directory.MODEL) as path:
        network.save(path)
    if flags.export == "saved_model":
        with directory.writing(run_directory.SAVED_MODEL) as path:
            export_saved_model(network, path)
    measured = measure(
        judge, images.test.test_batches(), histograms=measurements.histograms(judge, flags.seed)
    )
    if not checkpoint.measured:
        checkpoint.add(measurements.tables(checkpoint.epochs, measured, model, images, flags))
    summary = summarize(judge, images, checkpoint, flags.batch_size)
    summary["statistics"] = measured.means()
    directory.write_csv(run_directory.HISTORY, checkpoint.history)
    for name, rows in checkpoint.layers.items():
        directory.write_csv(name, rows)
    measurements.write_channels(measured, directory)
    directory.write_json(run_directory.SUMMARY, summary)
    tf.io.gfile.rmtree(str(directory.path / run_directory.CHECKPOINT))
    return summary


def build(flags: Any, images: ImageSet, synchronized: bool) -> keras.Model:
    """The network that the flags name, from images in 0 to 255 to logits."""
    function, arguments = options.MODELS[flags.model]
    standardisation = keras.layers.Normalization(
        mean=images.mean, variance=images.variance, dtype="float32", name="standardisation"
    )
    return getattr(models, function)(
        **arguments,
        activation=flags.activation,
        order=flags.order,
        width=flags.width,
        classes=images.classes,
        input_shape=(images.size, images.size, 3),
        weight_decay=flags.weight_decay,
        gamma_weight_decay=flags.gamma_weight_decay,
        beta_weight_decay=flags.beta_weight_decay,
        synchronized=synchronized,
        preprocessing=standardisation,
    )


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
    epochs = range(checkpoint.epochs, flags.epochs)
    if not epochs or stops_early(checkpoint.history, flags.early_stopping_patience):
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
            *([_Measure(judge, flags, images, checkpoint)] if flags.statistics_every else []),
            _Record(checkpoint, directory),
            _StopEarly(checkpoint, flags.early_stopping_patience),
            keras.callbacks.TensorBoard(
                directory.path / run_directory.TENSORBOARD, write_graph=False, profile_batch=0
            ),
        ],
        verbose=1 if sys.stdout.isatty() else 2,
        shuffle=False,
    )


def learning_rate(initial: float, drops: list[int], epoch: int) -> float:
    """The learning rate of an epoch counted from 0: a tenth after every drop passed."""
    return initial / 10 ** sum(epoch >= drop for drop in drops)


def stops_early(history: list[dict[str, float]], patience: int | None) -> bool:
    """Whether the last `patience` epochs brought no better validation accuracy.

    Asked of the history alone, so that a resumed run stops where an undisturbed one would.
    """
    if patience is None:
        return False
    accuracies = [row["val_accuracy"] for row in history]
    return len(accuracies) > patience and (
        max(accuracies[-patience:]) <= max(accuracies[:-patience])
    )


def summarize(
    judge: keras.Model, images: ImageSet, checkpoint: Checkpoint, batch_size: int
) -> dict[str, Any]:
    """Final figures of each part, and the speed.

    Those of the training set are the last epoch's running means, on augmented images.
    """
    last = checkpoint.history[-1]
    summary: dict[str, Any] = {"epochs": checkpoint.epochs}
    summary["train"] = {name: last[name] for name in METRICS}
    if images.validation:
        summary["validation"] = {name: last[f"val_{name}"] for name in METRICS}
        figures = judge.evaluate(images.test.test_batches(), verbose=0, return_dict=True)
        summary["test"] = {name: figures[name] for name in METRICS}
    else:
        summary["test"] = {name: last[f"test_{name}"] for name in METRICS}
    examples = len(images.train) // batch_size * batch_size
    # The first epoch traces and compiles.
    seconds = statistics.median(checkpoint.seconds[1:] or checkpoint.seconds)
    summary["images_per_second"] = round(examples / seconds, 1)
    summary["seconds"] = round(checkpoint.total_seconds, 1)
    summary["parameters"] = judge.count_params()
    summary["classes"] = images.classes
    return summary


def _compile(model: keras.Model, optimizer: keras.optimizers.Optimizer | None) -> None:
    # The metric is the cross-entropy alone; Keras' loss holds the weight penalties too.
    model.compile(
        optimizer,
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[
            keras.metrics.SparseCategoricalCrossentropy(from_logits=True, name="cross_entropy"),
            keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
        ],
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

    def __init__(self, judge: keras.Model, flags: Any, images: ImageSet, checkpoint: Checkpoint):
        super().__init__()
        self.judge, self.flags, self.images, self.checkpoint = judge, flags, images, checkpoint
        self.batches = images.test.test_batches()

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 0 or (epoch + 1) % self.flags.statistics_every == 0:
            measured = measure(self.judge, self.batches, verbose=0)
            self.checkpoint.add(
                measurements.tables(epoch + 1, measured, self.model, self.images, self.flags)
            )
            logs |= measured.means()
        else:
            logs |= {name: self.checkpoint.history[-1][name] for name in FIGURES}


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
        self.checkpoint.save(row, self.trained - self.began, total)
        self.directory.write_csv(run_directory.HISTORY, self.checkpoint.history)
        for name, rows in self.checkpoint.layers.items():
            self.directory.write_csv(name, rows)


class _StopEarly(keras.callbacks.Callback):
    def __init__(self, checkpoint: Checkpoint, patience: int | None):
        super().__init__()
        self.checkpoint, self.patience = checkpoint, patience

    def on_epoch_end(self, epoch, logs=None):
        if stops_early(self.checkpoint.history, self.patience):
            self.model.stop_training = True


def _announce(flags: Any, images: ImageSet, model: keras.Model, checkpoint: Checkpoint) -> None:
    held_out = f", {len(images.validation):,} held out" if images.validation else ""
    print(
        f"{flags.dataset}: {len(images.train):,} images to train on{held_out}, "
        f"{len(images.test):,} to test, {images.classes} classes, {images.size} pixels\n"
        f"{flags.model}: {flags.activation}, {flags.order}, width {flags.width:g}, "
        f"{model.count_params():,} parameters"
    )
    if checkpoint.epochs:
        print(f"Going on after epoch {checkpoint.epochs} of {flags.epochs}")
    sys.stdout.flush()
