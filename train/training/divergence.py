"""Where the values of a network first are not finite."""

from typing import Any

import keras
import numpy as np


class NotFiniteError(Exception):
    """Ends the training of a run: the figures of an epoch are NaN or infinite.

    Args:
        epoch: The epoch's number, counted from 0.
    """

    def __init__(self, epoch: int):
        super().__init__(f"the loss of epoch {epoch + 1} is not finite")
        self.epoch = epoch


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
