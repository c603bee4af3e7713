"""The epochs of a run on JAX: each is one program, on a device that holds all images.

Some hundred steps that Python starts one by one would cost a fast device more than their
arithmetic. Runs of one process that differ in their seeds alone take the same compiled programs.
"""

import gc
import random
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import keras
import numpy as np

from train import flag_text, options
from train.data.image_set import TEST_BATCH_SIZE, ImageSet
from train.data.images import ArraySource
from train.data.jax import epoch_key, epoch_order, pad_crop_flip
from train.training.loop import Epochs, Loop
from train.training.network import CrossEntropy, build, set_loss
from train.training.optimizer import make as make_optimizer
from train.training.progress import METRICS, NO_STEP, PartOfEpoch

# Lines that a run prints on its way.
LINES = 10


class State(NamedTuple):
    """The values of the variables of a model and of its optimizer, in Keras' order."""

    trainable: list[Any]
    non_trainable: list[Any]
    optimizer: list[Any]


class Metrics(NamedTuple):
    """Means over examples: of the loss with the penalties, the cross-entropy and the accuracy."""

    loss: Any
    cross_entropy: Any
    accuracy: Any


# The loop of the last run, by all of its flags but the seed.
_kept: dict[str, "JaxLoop"] = {}


def start(flags: Any) -> None:
    """See `train.training.loop`."""
    products = "highest" if flags.precision == "float32" else "tensorfloat32"
    jax.config.update("jax_default_matmul_precision", products)


def devices() -> list[str]:
    """See `train.training.loop`."""
    return [f"{device} {device.device_kind}" for device in jax.devices()]


def make(flags: Any, images: ImageSet) -> "JaxLoop":
    """See `train.training.loop`; the loop of the last run, if only the seed is another."""
    key = "\n".join(flag_text.without(options.as_text(flags), ("seed",)))
    if key in _kept and _kept[key].images is images:
        _kept[key].begin(flags.seed)
    else:
        _kept.clear()
        # A loop and its programs refer to one another, and the device holds their images.
        gc.collect()
        _kept[key] = JaxLoop(flags, images)
    return _kept[key]


class JaxLoop(Loop):
    """A network in training, all on the device.

    Args:
        flags, images: The run's; the device holds the images from then on.
        whole_epochs: Whether an epoch is one program, else each of its steps is one. By default
            it is, but on a CPU, where XLA runs convolutions within a loop on one thread.
    """

    def __init__(self, flags: Any, images: ImageSet, whole_epochs: bool | None = None):
        if whole_epochs is None:
            whole_epochs = jax.default_backend() != "cpu"
        self.flags, self.images, self.seed = flags, images, flags.seed
        self.steps = len(images.train) // flags.batch_size
        random.seed(flags.seed)
        self.network = build(flags, images)
        self.model = self.eval_model = keras.Model(self.network.input, self.network.output)
        self.loss = CrossEntropy(flags.label_smoothing)
        set_loss(self.model, None, flags.label_smoothing)
        self.optimizer = make_optimizer(flags, self.steps, self.model)
        self.optimizer.build(self.model.trainable_variables)
        self.variables = [
            *self.model.trainable_variables,
            *self.model.non_trainable_variables,
            *self.optimizer.variables,
        ]
        self._optimizer_start = [np.array(variable) for variable in self.optimizer.variables]
        self._train = jax.device_put((images.train.images, images.train.labels))
        self._padded = {
            name: _padded(source)
            for name, source in (("validation", images.validation), ("test", images.test))
            if source is not None
        }
        self._epoch = jax.jit(self._scan_epoch, donate_argnums=0)
        if not whole_epochs:
            self._step = jax.jit(self._drawn_step, donate_argnums=0)
            self._epoch = self._loop_epoch
        self._evaluate = jax.jit(self._scan_test)

    def begin(self, seed: int) -> None:
        """Initial weights, those of a network that is made with this seed."""
        self.seed = seed
        random.seed(seed)
        self.model.set_weights(build(self.flags, self.images).get_weights())
        for variable, value in zip(self.optimizer.variables, self._optimizer_start, strict=True):
            variable.assign(value)

    def train(self, epochs: range, run: Epochs, part: PartOfEpoch = NO_STEP) -> None:
        # Copies, which programs take the place of.
        state = jax.tree.map(jnp.array, self._values())
        for epoch in epochs:
            began = time.perf_counter()
            key = epoch_key(jax.random.key(self.seed), epoch)
            state, means = self._epoch(state, key, self._train)
            # What is read is there: the epoch is over.
            metrics = _plain(means)
            trained = time.perf_counter()
            # The whole epoch as one: variables are those before it till then.
            run.begin_step()
            self._assign(state)
            run.end_step(PartOfEpoch(self.steps, trained - began, metrics))
            row = run.end_epoch(epoch, metrics, began, trained)
            if run.over or (epoch + 1) % max(1, epochs.stop // LINES) == 0:
                _announce(row, epochs.stop, trained - began)
            if run.over:
                break

    def train_until_not_finite(self, epochs: range, steps: int = 0) -> tuple[int, int, Any] | None:
        step = jax.jit(self._drawn_step)
        state = jax.tree.map(jnp.array, self._values())
        for epoch in epochs:
            key = epoch_key(jax.random.key(self.seed), epoch)
            order = epoch_order(key, len(self._train[1]), self.flags.batch_size)
            for number, drawn in enumerate(zip(*order, strict=True)):
                if epoch == epochs.start and number < steps:
                    continue
                after, metrics = step(state, drawn, self._train)
                if not np.isfinite(metrics.loss):
                    self._assign(state)
                    return epoch, number, self._crops(drawn, self._train[0])
                state = after
        return None

    def update(self) -> None:
        # The network is the model.
        pass

    def evaluate(self, part: str) -> dict[str, float]:
        return _plain(self._evaluate(self._values(), self._padded[part]))

    def step(self, state: State, images: Any, labels: Any) -> tuple[State, Metrics]:
        """One step of gradient descent, on augmented images."""

        def loss(trainable):
            logits, non_trainable, penalties = self.model.stateless_call(
                trainable, state.non_trainable, images, training=True, return_losses=True
            )
            metrics = self._metrics(logits, labels, sum(penalties))
            means = jax.tree.map(jnp.mean, metrics)
            return means.loss, (non_trainable, means)

        gradients, (non_trainable, metrics) = jax.grad(loss, has_aux=True)(state.trainable)
        trainable, optimizer = self.optimizer.stateless_apply(
            state.optimizer, gradients, state.trainable
        )
        return State(trainable, non_trainable, optimizer), metrics

    def _metrics(self, logits: Any, labels: Any, penalty: Any) -> Metrics:
        """Of every example."""
        cross_entropy = keras.ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)
        accuracy = (jnp.argmax(logits, axis=-1) == labels).astype(jnp.float32)
        return Metrics(self.loss.call(labels, logits) + penalty, cross_entropy, accuracy)

    def _assign(self, state: State) -> None:
        values = [*state.trainable, *state.non_trainable, *state.optimizer]
        for variable, value in zip(self.variables, values, strict=True):
            variable.assign(jnp.array(value))

    def _values(self) -> State:
        some = self.model.trainable_variables, self.model.non_trainable_variables
        return State(*([v.value for v in part] for part in (*some, self.optimizer.variables)))

    def _drawn_step(self, state, drawn, train):
        images, labels = train
        return self.step(state, self._crops(drawn, images), labels[drawn[0]])

    def _crops(self, drawn, images):
        indices, key = drawn
        padding, flip = self.images.train.padding, self.images.flip
        return pad_crop_flip(images[indices], key, padding, flip)

    def _scan_epoch(self, state, key, train):
        state, metrics = jax.lax.scan(
            lambda state, drawn: self._drawn_step(state, drawn, train),
            state,
            epoch_order(key, len(train[1]), self.flags.batch_size),
        )
        return state, jax.tree.map(jnp.mean, metrics)

    def _loop_epoch(self, state, key, train):
        metrics = []
        order = epoch_order(key, len(train[1]), self.flags.batch_size)
        for drawn in zip(*order, strict=True):
            state, of_step = self._step(state, drawn, train)
            metrics.append(of_step)
        return state, jax.tree.map(lambda *values: sum(values) / len(values), *metrics)

    def _scan_test(self, state, batches):
        def add(totals, batch):
            images, labels, counted = batch
            logits, _, penalties = self.model.stateless_call(
                state.trainable, state.non_trainable, images, training=False, return_losses=True
            )
            metrics = self._metrics(logits, labels, sum(penalties))
            return jax.tree.map(lambda t, f: t + jnp.sum(f * counted), totals, metrics), None

        zero = Metrics(*(jnp.zeros(()) for _ in Metrics._fields))
        totals, _ = jax.lax.scan(add, zero, batches)
        return jax.tree.map(lambda total: total / jnp.sum(batches[2]), totals)


def _plain(metrics: Metrics) -> dict[str, float]:
    values = jax.device_get(metrics)._asdict()
    return {name: float(values[name]) for name in METRICS}


def _padded(images: ArraySource) -> tuple[Any, Any, Any]:
    """Batches of one length on the device, and which of their examples count."""
    size = min(TEST_BATCH_SIZE, len(images))
    missing = -len(images) % size
    counted = np.ones(len(images), "float32")
    arrays = (images.images, images.labels, counted)
    return jax.device_put(
        tuple(
            np.pad(array, [(0, missing)] + [(0, 0)] * (array.ndim - 1)).reshape(
                -1, size, *array.shape[1:]
            )
            for array in arrays
        )
    )


def _announce(row: Mapping[str, Any], epochs: int, seconds: float) -> None:
    told = ", ".join(
        f"{name.replace('_', ' ')} {row[name]:.4f}"
        for name in ("loss", "accuracy", "val_accuracy", "test_accuracy")
        if name in row
    )
    print(f"Epoch {row['epoch']}/{epochs}: {told}, {seconds:.3g} s", flush=True)
