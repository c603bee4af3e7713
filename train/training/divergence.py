"""Where the values of a network first are not finite."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from train.training.loop import Loop
from train.training.optimizer import mean_rate


class NotFiniteError(Exception):
    """Ends the training of a run: the figures of an epoch are NaN or infinite.

    Args:
        epoch: The epoch's number, counted from 0.
    """

    def __init__(self, epoch: int):
        super().__init__(f"the loss of epoch {epoch + 1} is not finite")
        self.epoch = epoch


@dataclasses.dataclass(frozen=True)
class Divergence:
    """Where a run went wrong; `diverged.json`.

    Attributes:
        epoch: Its epoch, from 1.
        layer: The first layer of whose values some are NaN or infinite; None if none has such.
        reason: That in words, and what to try.
    """

    epoch: int
    layer: str | None
    reason: str


def find(flags: Any, loop: Loop, epochs: range, tests: Iterable[Any], steps: int = 0) -> Divergence:
    """Trains epochs again, step by step, and looks where they go wrong.

    A step whose loss is not finite leaves no weight that is, and nothing to be found there.

    Args:
        flags: The run's.
        loop: As the last checkpoint has it.
        epochs: From that on, counted from 0, to the one whose figures are not finite.
        tests: Batches that they are judged by, where no step goes wrong.
        steps: Of the first of the epochs that are done.
    """
    found = loop.train_until_not_finite(epochs, steps)
    loop.update()
    if found is not None:
        epoch, step, images = found
        where = f"in its step {step + 1}"
        layer = first_layer(loop.network, images, training=True)
    else:
        epoch, where = epochs[-1], "in none of its steps, taken again, but by what comes after them"
        layers = (first_layer(loop.network, images, training=False) for images, _ in tests)
        layer = next(filter(None, layers), None)
    path, value = largest_weight(loop.network)
    rate = mean_rate(flags, loop.steps, epoch)
    reason = (
        f"the loss of epoch {epoch + 1} is not finite: {where}, "
        + (f"{layer} is the first layer of such values" if layer else "but no layer's values")
        + f", after a largest weight of {value:.2g} ({path}); try a smaller --learning_rate "
        f"than {flags.learning_rate:g}{_decay_alone(flags, rate)}."
    )
    return Divergence(epoch + 1, layer, reason)


def _decay_alone(flags: Any, rate: float) -> str:
    """Words for a step that is too long for weight decay, even without a loss."""
    # Of gradient descent with momentum on a parabola of curvature `weight_decay`.
    if flags.optimizer != "sgd":
        return ""
    product, limit = rate * flags.weight_decay, 2 * (1 + flags.momentum)
    if product <= limit:
        return ""
    whose = "" if rate == flags.learning_rate else f" that epoch's, {rate:g},"
    verb = "it is" if not whose else "is"
    return (
        f":{whose} times --weight_decay {verb} {product:.3g}, and above 2 * (1 + --momentum) = "
        f"{limit:.3g} weight decay alone makes weights grow"
    )


def first_layer(network: keras.Model, images: Any, training: bool) -> str | None:
    """The first layer, from the inputs on, of whose outputs some are NaN or infinite.

    Args:
        network: A functional one.
        images: A batch.
        training: Whether batch normalization takes the moments of the batch, as a step does.

    Returns:
        Its name, None where all are finite.
    """
    layers = [layer for layer in network.layers if not isinstance(layer, keras.layers.InputLayer)]
    every = keras.Model(network.input, [layer.output for layer in layers])
    for layer, output in zip(layers, every(images, training=training), strict=True):
        if not np.isfinite(keras.ops.convert_to_numpy(output)).all():
            return layer.name
    return None


def largest_weight(network: keras.Model) -> tuple[str, float]:
    """The path of the trainable variable with the largest absolute value, and that value."""
    largest = {
        variable.path: float(keras.ops.max(keras.ops.abs(variable)))
        for variable in network.trainable_variables
    }
    path = max(largest, key=lambda name: largest[name])
    return path, largest[path]
