"""One run: a model trained on a data set, from wherever it stopped to its results."""

import dataclasses
import math
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from keras_bnact import export, measure
from keras_bnact.reports.page import check_installed, page
from keras_bnact.statistics import STATISTICS, ModelStatistics
from train import backend, data, interruption, native_messages, run_directory
from train.data import fingerprint
from train.data.image_set import ImageSet, ImageSource
from train.errors import DivergedError
from train.run_directory import RunDirectory
from train.training import divergence, environment, layer_tables, network
from train.training.checkpoint import Checkpoint
from train.training.divergence import NotFiniteError
from train.training.loop import Loop, for_backend
from train.training.optimizer import mean_rate
from train.training.progress import METRICS, NO_STEP, PartOfEpoch
from train.training.schedule import is_measured, stops_early

# As many as the library reads.
REPRESENTATIVE_IMAGES = 256


def run(flags: Any, directory: RunDirectory) -> dict[str, Any]:
    """Trains, or goes on training, and writes the run directory; returns the summary."""
    began = time.perf_counter()
    # Before hours of training end in that it is missing.
    check_installed()
    images = data.load(flags, fingerprint.read(directory, flags.overwrite))
    module = for_backend()
    loop = module.make(flags, images)
    if flags.extend:
        # What cannot be gone on from shows before what the run came to is deleted.
        Checkpoint(loop.variables, directory)
    directory.create(flags.overwrite)
    directory.write_json(
        run_directory.ENVIRONMENT,
        environment.describe(flags.seed, loop.replicas, module.devices()),
    )
    directory.write_json(run_directory.DATA, fingerprint.of(images).content())
    this = Run(flags, images, loop, Checkpoint(loop.variables, directory), directory)
    # What there is to go back to from the first epoch.
    this.save()
    this.announce()
    with data.reading(images):
        this.train()
        summary = this.finish()
    summary["seconds_in_all"] = round(time.perf_counter() - began, 1)
    this.checkpoint.delete_previous()
    # Which makes it a finished run.
    directory.write_json(run_directory.SUMMARY, summary)
    if not flags.keep_checkpoint:
        this.checkpoint.delete()
    return summary


class Run:
    """What a run does beside training its epochs: evaluates, measures, and writes its directory.

    Args:
        flags, images: The run's.
        loop: Trains its epochs.
        checkpoint: Of the loop's variables.
        directory: Where results go.
    """

    def __init__(
        self,
        flags: Any,
        images: ImageSet,
        loop: Loop,
        checkpoint: Checkpoint,
        directory: RunDirectory,
    ):
        self.flags, self.images, self.loop = flags, images, loop
        self.checkpoint, self.directory = checkpoint, directory
        self.progress = checkpoint.progress
        self.signals = interruption.HeldBack()
        self.steps = len(images.train) // flags.batch_size
        self.events = loop.events(directory)
        self.monitored = "validation" if images.validation else "test"
        # The epoch that was measured last, and what it came to.
        self._measured: tuple[int, ModelStatistics] | None = None

    @property
    def over(self) -> bool:
        """Whether no epoch is to come."""
        patience = self.flags.early_stopping_patience
        return self.progress.epochs == self.flags.epochs or stops_early(
            self.progress.history, patience
        )

    def rate(self, epoch: int) -> float:
        """The learning rate of an epoch, counted from 0: the mean of its steps'."""
        return mean_rate(self.flags, self.steps, epoch)

    def announce(self) -> None:
        """Says what is trained."""
        images, flags = self.images, self.flags
        called = flags.dataset_name or flags.dataset
        held_out = f", {len(images.validation):,} held out" if images.validation else ""
        print(
            f"{called}: {len(images.train):,} images to train on{held_out}, "
            f"{len(images.test):,} to test, {images.classes} classes, {images.size} pixels\n"
            f"{flags.model}: {flags.activation}, {flags.order}, width {flags.width:g}, "
            f"{self.loop.network.count_params():,} parameters"
        )
        if images.skipped:
            print(
                f"{len(images.skipped):,} images that cannot be read are skipped, the first: "
                f"{images.skipped[0]}"
            )
        if self.progress.epochs or self.checkpoint.part.steps:
            print(f"Going on after {self.checkpoint.place} of {flags.epochs}")
        sys.stdout.flush()

    def train(self) -> None:
        """Trains the epochs that are to come.

        Raises:
            DivergedError: If the figures of one are not finite.
        """
        try:
            with self.signals:
                self._train(self.checkpoint.part)
        except NotFiniteError as error:
            raise self._diverged(error.epoch) from None

    def _train(self, part: PartOfEpoch) -> None:
        try:
            if part.steps == self.steps:
                now = time.perf_counter()
                self.end_epoch(self.progress.epochs, part.figures, now - part.seconds, now)
                part = NO_STEP
            if not self.over:
                self.loop.train(range(self.progress.epochs, self.flags.epochs), self, part)
        except KeyboardInterrupt:
            # Where the weights of a step that was cut short are is not known.
            if not self.signals.held:
                self.signals.held = True
                self.save()
            raise

    def save(self, patient: bool = False) -> None:
        """Saves where the run is; see `Checkpoint.save`."""
        self.checkpoint.save(self.loop.metrics, patient)

    def begin_step(self) -> None:
        """Has signals wait until the end of the step."""
        self.signals.held = True

    def end_step(self, part: PartOfEpoch) -> None:
        """Records a step, after which the run can go on as well.

        Args:
            part: What the epoch has come to.

        Raises:
            NotFiniteError: If its loss is not finite.
            KeyboardInterrupt: If a signal waits.
        """
        if not math.isfinite(part.figures["loss"]):
            raise NotFiniteError(self.progress.epochs)
        self.checkpoint.reach(part)
        every = self.flags.checkpoint_every
        if every and part.steps % every == 0:
            self.save()
        self.signals.release()

    def end_epoch(
        self, epoch: int, metrics: Mapping[str, float], began: float, trained: float
    ) -> dict[str, float | None]:
        """Evaluates, measures and records an epoch, counted from 0.

        Args:
            epoch: That is over.
            metrics: The `METRICS` of its training images, means over its steps.
            began, trained: When the epoch began, and when its last step was over.

        Returns:
            The row of `history.csv`, in which None is empty.
        """
        row: dict[str, float | None] = {"epoch": epoch + 1} | {
            name: metrics[name] for name in METRICS
        }
        row["learning_rate"] = self.rate(epoch)
        self.loop.update()
        prefix = {"validation": "val_", "test": "test_"}[self.monitored]
        evaluated = self.loop.evaluate(self.monitored)
        row |= {f"{prefix}{name}": evaluated[name] for name in METRICS}
        if not all(map(math.isfinite, row.values())):
            raise NotFiniteError(epoch)
        if self.flags.statistics_every:
            measured = is_measured(epoch, self.flags.statistics_every)
            row |= self._measure(epoch).means() if measured else dict.fromkeys(STATISTICS)
        self.progress.add_epoch(row, trained - began, time.perf_counter() - began)
        self.checkpoint.reach()
        self.save(patient=not self.over)
        self.progress.write(self.directory)
        if self.events:
            self.events.add_epoch(row)
        return row

    def _diverged(self, epoch: int) -> DivergedError:
        """Finds and writes where an epoch, counted from 0, went wrong; returns how to say so."""
        self.checkpoint.restore()
        again = range(self.checkpoint.progress.epochs, epoch + 1)
        tests = self.images.parts()[self.monitored].test_batches()
        steps = self.checkpoint.part.steps
        found = divergence.find(self.flags, self.loop, again, tests, steps)
        self.directory.write_json(run_directory.DIVERGED, dataclasses.asdict(found))
        return DivergedError(f"{found.reason} {self.directory.path} holds the epochs before it.")

    def finish(self) -> dict[str, Any]:
        """Writes the model and what it came to; returns the summary."""
        self.loop.update()
        # On JAX, too, Keras imports TensorFlow to save a model, where it is there.
        with native_messages.suppressed(), self.directory.writing(run_directory.MODEL) as path:
            self.loop.network.save(path)
        self._export()
        measured = self._measure(self.progress.epochs - 1)
        if self.flags.statistics_every:
            self.progress.history[-1] |= measured.means()
        self.progress.write(self.directory)
        layer_tables.write_channels(measured, self.directory)
        summary = self.progress.summarize(
            self.images,
            self.flags.batch_size,
            self.loop.network.count_params(),
            lambda: self.loop.evaluate("test"),
            measured.means(),
        )
        operations = network.TRAINING_PASSES * network.operations_per_image(self.loop.network)
        return summary | {"operations_per_second": operations * summary["images_per_second"]}

    def _export(self) -> None:
        formats = self.flags.export or backend.DEFAULT_EXPORT[backend.name()]
        for name in formats.split(",") if formats != "none" else ():
            data = _some_of(self.images.train) if name == "tflite_integer" else None
            file = run_directory.EXPORTS[name]
            try:
                with self.directory.writing(file) as path:
                    export(self.loop.network, path, name, data)
            except ValueError as error:
                # The format lacks what an activation of one's own computes, say; the run has
                # come to something all the same.
                print(f"{file} is not written: {error}", file=sys.stderr)

    def _measure(self, epoch: int) -> ModelStatistics:
        """What the layers come to on the test images, and its tables where they are not there."""
        if self._measured is None or self._measured[0] != epoch:
            eval_model = self.loop.eval_model
            measured = measure(
                eval_model,
                self.images.test.test_batches(),
                histograms=layer_tables.histograms(eval_model),
                verbose=0,
            )
            self._measured = epoch, measured
            if self.progress.last_measured != epoch + 1:
                tables = layer_tables.tables(
                    epoch + 1, measured, self.loop.model, self.images, self.flags
                )
                self.progress.add_layers(tables)
                self._show(epoch + 1, measured)
        return self._measured[1]

    def _show(self, epoch: int, measured: ModelStatistics) -> None:
        """The layers on a page and in TensorBoard, after an epoch counted from 1."""
        if self.events:
            self.events.add_layers(epoch, measured)
        flags = self.flags
        called = flags.dataset_name or flags.dataset
        title = f"{flags.model}, {flags.activation}, {flags.order}, on {called}"
        epochs: dict[int, list[dict[str, Any]]] = {}
        for record in self.progress.layers[run_directory.STATISTICS]:
            epochs.setdefault(record["epoch"], []).append(record)
        self.directory.write_text(run_directory.REPORT, page(title, epochs, measured))


def _some_of(images: ImageSource) -> Iterable[Any]:
    """Images from all over a source, which may have them class by class."""
    number = min(REPRESENTATIVE_IMAGES, len(images))
    return images.take(np.linspace(0, len(images) - 1, number, dtype=int)).test_batches()
