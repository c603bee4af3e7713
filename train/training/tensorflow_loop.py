"""The epochs of a run on TensorFlow: Keras' `fit`, on one device or on replicas."""

import sys
import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from train.data.image_set import ImageSet
from train.errors import UsageError
from train.options import check_batch_size
from train.run_directory import RunDirectory
from train.training.events import Events
from train.training.loop import Epochs, Loop
from train.training.network import build, set_loss
from train.training.optimizer import make as make_optimizer
from train.training.progress import METRICS, NO_STEP, PartOfEpoch

DEFAULT_CPU_REPLICAS = 2


def start(flags: Any) -> None:
    """See `train.training.loop`."""
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        # Else the first of several runs on a GPU takes all of its memory.
        tf.config.experimental.set_memory_growth(gpu, True)
    kind, number = _devices(flags, len(gpus))
    if kind == "CPU" and number:
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * number,
        )
    tf.config.list_logical_devices()
    tf.config.experimental.enable_tensor_float_32_execution(flags.precision != "float32")
    if flags.deterministic:
        tf.config.experimental.enable_op_determinism()
    tf.random.set_seed(flags.seed)


def devices() -> list[str]:
    """See `train.training.loop`."""
    lines = []
    for device in tf.config.list_logical_devices():
        physical = tf.config.list_physical_devices(device.device_type)
        details = tf.config.experimental.get_device_details(physical[0])
        lines.append(" ".join([device.name, details.get("device_name", "")]).strip())
    return lines


def make(flags: Any, images: ImageSet) -> "TensorFlowLoop":
    """See `train.training.loop`."""
    return TensorFlowLoop(flags, images)


class TensorFlowLoop(Loop):
    """A network in training, on the replicas of a strategy.

    The network that is evaluated is another one, on one device: Keras cannot evaluate a last batch
    that leaves a replica without images.
    """

    def __init__(self, flags: Any, images: ImageSet):
        self.flags, self.images = flags, images
        self.steps = len(images.train) // flags.batch_size
        strategy = _strategy(flags)
        self.replicas = strategy.num_replicas_in_sync
        with strategy.scope():
            self.model = build(flags, images, synchronized=self.replicas > 1)
            optimizer = make_optimizer(flags, self.steps, self.model)
            metrics = set_loss(self.model, optimizer, flags.label_smoothing)
            # What `compile` makes of it, at once, so that a checkpoint finds its state to restore.
            self.model.optimizer.build(self.model.trainable_variables)
        self.metrics = [variable for metric in metrics for variable in metric.variables]
        self.variables = [*self.model.variables, *self.model.optimizer.variables]
        self.network = build(flags, images)
        self.eval_model = keras.Model(self.network.input, self.network.output)
        set_loss(self.eval_model, None, flags.label_smoothing)
        self._batches = {
            name: source.test_batches()
            for name, source in (("validation", images.validation), ("test", images.test))
            if source is not None
        }

    def events(self, directory: RunDirectory) -> Events:
        return Events(directory)

    def train(self, epochs: range, run: Epochs, part: PartOfEpoch = NO_STEP) -> None:
        if part.steps:
            # Fewer steps than those of other epochs, which `fit` has no way to say.
            self._fit(epochs[:1], run, part)
            epochs = epochs[1:]
        if epochs and not run.over:
            self._fit(epochs, run, NO_STEP)

    def _fit(self, epochs: range, run: Epochs, part: PartOfEpoch) -> None:
        self.model.fit(
            self._batches_of(epochs, part.steps),
            steps_per_epoch=self.steps - part.steps,
            initial_epoch=epochs.start,
            epochs=epochs.stop,
            callbacks=[_Recorder(run, part, self.metrics)],
            verbose=1 if sys.stdout.isatty() else 2,
            shuffle=False,
        )

    def _batches_of(self, epochs: range, steps: int) -> Any:
        flags = self.flags
        return self.images.train.training_batches(
            flags.batch_size, epochs, flags.seed, self.images.flip, skipped=steps
        )

    def train_until_not_finite(self, epochs: range, steps: int = 0) -> tuple[int, int, Any] | None:
        self.model.reset_metrics()
        for number, (images, labels) in enumerate(self._batches_of(epochs, steps), steps):
            epoch = epochs.start + number // self.steps
            before = [keras.ops.convert_to_numpy(variable.value) for variable in self.variables]
            if not np.isfinite(self.model.train_on_batch(images, labels, return_dict=True)["loss"]):
                for variable, value in zip(self.variables, before, strict=True):
                    variable.assign(value)
                return epoch, number % self.steps, images
        return None

    def update(self) -> None:
        self.network.set_weights(self.model.get_weights())

    def evaluate(self, part: str) -> dict[str, float]:
        figures = self.eval_model.evaluate(self._batches[part], verbose=0, return_dict=True)
        return {name: figures[name] for name in METRICS}


class _Recorder(keras.callbacks.Callback):
    """Has steps and epochs recorded; adds to an epoch's logs, for callbacks that come later.

    Args:
        run: Records them.
        part: What was done before of the first epoch.
        metrics: The variables that the figures of an epoch are kept in.
    """

    def __init__(self, run: Epochs, part: PartOfEpoch, metrics: Sequence[keras.Variable]):
        super().__init__()
        self.run, self.part, self.metrics = run, part, metrics

    def on_epoch_begin(self, epoch, logs=None):
        self.steps = self.part.steps
        self.began = time.perf_counter() - self.part.seconds
        if self.steps:
            # Once `fit` has set them back to nothing.
            for variable, value in zip(self.metrics, self.part.metrics, strict=True):
                variable.assign(value)
        self.part = NO_STEP

    def on_train_batch_begin(self, batch, logs=None):
        self.run.begin_step()

    def on_train_batch_end(self, batch, logs=None):
        self.trained = time.perf_counter()
        self.steps += 1
        self.run.end_step(PartOfEpoch(self.steps, self.trained - self.began, logs))

    def on_epoch_end(self, epoch, logs=None):
        row = self.run.end_epoch(epoch, logs, self.began, self.trained)
        logs |= {name: x for name, x in row.items() if name != "epoch" and x is not None}
        self.model.stop_training = self.run.over


def _strategy(flags: Any) -> Any:
    """TensorFlow's, on the devices that `start` has made; its default one for a single device."""
    kind, number = _devices(flags, len(tf.config.list_physical_devices("GPU")))
    if not number:
        return tf.distribute.get_strategy()
    # The default collectives abort on logical CPU devices.
    operations = None if kind == "GPU" else tf.distribute.ReductionToOneDevice()
    return tf.distribute.MirroredStrategy(
        [f"{kind}:{i}" for i in range(number)], cross_device_ops=operations
    )


def _devices(flags: Any, gpus: int) -> tuple[str, int]:
    """Of which kind, and on how many of them a mirrored strategy is made: on none, for no such."""
    kind = "GPU" if gpus else "CPU"
    if flags.strategy == "single" or (flags.strategy == "auto" and gpus < 2):
        return kind, 0
    number = flags.replicas or gpus or DEFAULT_CPU_REPLICAS
    if gpus and number > gpus:
        raise UsageError(f"--replicas={number} is more than the GPUs there are: {gpus}.")
    check_batch_size(flags.batch_size, number)
    return kind, number
