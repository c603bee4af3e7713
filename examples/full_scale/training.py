"""An epoch as one program on the device, and a network trained by it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import keras
import numpy as np

from examples.full_scale import augmentation
from examples.full_scale.images import TEST_BATCH_SIZE, Images, epoch_key, epoch_order
from train.datasets import ImageSet
from train.schedule import learning_rate


class State(NamedTuple):
    """The values of the variables of a model and of its optimizer, in Keras' order."""

    trainable: list[Any]
    non_trainable: list[Any]
    optimizer: list[Any]


class Figures(NamedTuple):
    """Means over examples: of the loss with the penalties, the cross-entropy and the accuracy."""

    loss: Any
    cross_entropy: Any
    accuracy: Any


def make_optimizer(flags: Any, steps: int) -> keras.optimizers.Optimizer:
    """SGD, whose learning rate falls at the epochs that the flags name.

    Args:
        flags: The run's.
        steps: An epoch's.
    """
    rate: Any = flags.learning_rate
    if flags.learning_rate_drops:
        rate = keras.optimizers.schedules.PiecewiseConstantDecay(
            [drop * steps - 1 for drop in flags.learning_rate_drops],
            [
                learning_rate(flags.learning_rate, flags.learning_rate_drops, epoch)
                for epoch in (0, *flags.learning_rate_drops)
            ],
        )
    return keras.optimizers.SGD(rate, momentum=flags.momentum)


class Trainer:
    """A network in training, all on the device.

    Args:
        model: Built, from uint8 images to logits.
        optimizer: Of Keras.
        images: To train on and to test on, which the device holds from then on.
        batch_size: Images a step.
        whole_epochs: Whether an epoch is one program, else each of its steps is one. By default
            it is, but on a CPU, where XLA runs convolutions within a loop on one thread.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        images: ImageSet,
        batch_size: int,
        whole_epochs: bool | None = None,
    ):
        if whole_epochs is None:
            whole_epochs = jax.default_backend() != "cpu"
        self.model, self.optimizer = model, optimizer
        optimizer.build(model.trainable_variables)
        self.batch_size, self.flip = batch_size, images.flip
        self.train = jax.device_put((images.train.images, images.train.labels))
        self.judged = _padded(images.validation or images.test)
        # Else the test images are those that epochs are judged by.
        self.tested = _padded(images.test) if images.validation else None
        self._epoch = jax.jit(self._scan_epoch, donate_argnums=0)
        if not whole_epochs:
            self._step = jax.jit(self._drawn_step, donate_argnums=0)
            self._epoch = self._loop_epoch
        self.evaluate = jax.jit(self._scan_test)

    def state(self) -> State:
        """Copies of the variables' values; programs take the place of what they are given."""
        variables = (
            self.model.trainable_variables,
            self.model.non_trainable_variables,
            self.optimizer.variables,
        )
        return State(*([jnp.array(v.value) for v in some] for some in variables))

    def assign(self, state: State) -> None:
        """Gives the model's variables copies of their values."""
        for variables, values in (
            (self.model.trainable_variables, state.trainable),
            (self.model.non_trainable_variables, state.non_trainable),
        ):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(jnp.array(value))

    def epoch(self, state: State, seed: int, number: int) -> tuple[State, Figures]:
        """Trains an epoch, counted from 0; means over its steps, each before its update."""
        return self._epoch(state, epoch_key(jax.random.key(seed), number), self.train)

    def step(self, state: State, images: Any, labels: Any) -> tuple[State, Figures]:
        """One step of gradient descent, on augmented images."""

        def loss(trainable):
            logits, non_trainable, penalties = self.model.stateless_call(
                trainable, state.non_trainable, images, training=True, return_losses=True
            )
            figures = _figures(logits, labels, sum(penalties))
            means = jax.tree.map(jnp.mean, figures)
            return means.loss, (non_trainable, means)

        gradients, (non_trainable, figures) = jax.grad(loss, has_aux=True)(state.trainable)
        trainable, optimizer = self.optimizer.stateless_apply(
            state.optimizer, gradients, state.trainable
        )
        return State(trainable, non_trainable, optimizer), figures

    def _drawn_step(self, state, drawn, train):
        images, labels = train
        indices, key = drawn
        crops = augmentation.pad_crop_flip(images[indices], key, self.flip)
        return self.step(state, crops, labels[indices])

    def _scan_epoch(self, state, key, train):
        state, figures = jax.lax.scan(
            lambda state, drawn: self._drawn_step(state, drawn, train),
            state,
            epoch_order(key, len(train[1]), self.batch_size),
        )
        return state, jax.tree.map(jnp.mean, figures)

    def _loop_epoch(self, state, key, train):
        figures = []
        for drawn in zip(*epoch_order(key, len(train[1]), self.batch_size), strict=True):
            state, of_step = self._step(state, drawn, train)
            figures.append(of_step)
        return state, jax.tree.map(lambda *values: sum(values) / len(values), *figures)

    def _scan_test(self, state, batches):
        def add(totals, batch):
            images, labels, counted = batch
            logits, _, penalties = self.model.stateless_call(
                state.trainable, state.non_trainable, images, training=False, return_losses=True
            )
            figures = _figures(logits, labels, sum(penalties))
            return jax.tree.map(lambda t, f: t + jnp.sum(f * counted), totals, figures), None

        zero = Figures(*(jnp.zeros(()) for _ in Figures._fields))
        totals, _ = jax.lax.scan(add, zero, batches)
        return jax.tree.map(lambda total: total / jnp.sum(batches[2]), totals)


def _figures(logits: Any, labels: Any, penalty: Any) -> Figures:
    """Of every example."""
    cross_entropy = keras.ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    accuracy = (jnp.argmax(logits, axis=-1) == labels).astype(jnp.float32)
    return Figures(cross_entropy + penalty, cross_entropy, accuracy)


def _padded(images: Images) -> tuple[Any, Any, Any]:
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
