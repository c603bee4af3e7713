"""What a model became, and what was left as it was."""

from collections.abc import Mapping
from typing import NamedTuple

import keras

from keras_bnact.records import aligned

# Of a deep network, of as many layers as a person reads on.
TOLD = 5


def check_changed(
    model: keras.Model, what: str, changed: Mapping[str, str], left: Mapping[str, str]
) -> None:
    """Refuses a model of which nothing was changed.

    Raises:
        ValueError: With what was left, and why, of the first few layers.
    """
    if not changed:
        told = [f"; {name}: {why}" for name, why in left.items()]
        others = f"; and {len(told) - TOLD} more" if len(told) > TOLD else ""
        reasons = "".join(told[:TOLD]) + others
        raise ValueError(f"Model '{model.name}' has no batch normalization to {what}{reasons}.")


class Rewritten(NamedTuple):
    """A model that was made of another one; prints as what was changed, and what was not.

    Attributes:
        model: The new model, not compiled.
        changed: What was done, by the name of the layer that it was done to; of one in a model
            within the model with that model's name before it.
        left: Why something was left as it is, by the name of the layer.

    Example:

    >>> import keras, keras_bnact
    >>> layers = [keras.Input((8,)), keras.layers.Dense(4, name="hidden")]
    >>> layers += [keras.layers.BatchNormalization(name="bn"), keras.layers.Activation("tanh")]
    >>> print(keras_bnact.reorder(keras.Sequential(layers)))
    changed   bn   hidden, bn, activation -> hidden, activation, bn
    """

    model: keras.Model
    changed: dict[str, str]
    left: dict[str, str]

    def __str__(self) -> str:
        rows = [["changed", name, what] for name, what in self.changed.items()]
        rows += [["left", name, why] for name, why in self.left.items()]
        return aligned(rows, text_columns=3)
