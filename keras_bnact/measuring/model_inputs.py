"""What a model takes of a batch: refused is what Keras' `predict` refuses."""

from typing import Any

import keras

from keras_bnact import _keras_internals


def model_inputs(model: keras.Model, x: Any, shares: int = 1) -> Any:
    """Those of `x` that the model takes, of shapes that it takes.

    Args:
        model: A built model. One that does not say what it takes, a subclassed one, gets all.
        x: An array, or a nesting of arrays; a dict may have more than the model takes.
        shares: How many replicas share it.

    Returns:
        `x`, or the part of the dict, in the nesting of the model's own inputs.

    Raises:
        ValueError: For another number of inputs, a missing name, or another shape.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> from keras_bnact.measuring.model_inputs import model_inputs
    >>> model = keras.Sequential([keras.Input((2,), name="x"), keras.layers.Dense(1)])
    >>> model_inputs(model, {"x": np.ones((1, 2)), "id": np.ones(1)})
    array([[1., 1.]])
    """
    functional = _keras_internals.functional(model)
    expected = getattr(functional, "inputs", None)
    if not expected:
        return x
    if isinstance(x, dict):
        x = _by_name(model, x, functional.input)
    given = keras.tree.flatten(x)
    if len(given) != len(expected):
        raise ValueError(
            f"Model '{model.name}' takes {len(expected)} inputs, and a batch of the data has "
            f"{len(given)}. A list is taken for several inputs, not for batches."
        )
    for array, tensor in zip(given, expected, strict=True):
        if array is not None:
            _check_shape(model, tuple(array.shape), tensor, shares)
    return x


def _by_name(model: keras.Model, x: dict[str, Any], own: Any) -> Any:
    named = own if isinstance(own, dict) else {t.name: t for t in keras.tree.flatten(own)}
    missing = [name for name in named if name not in x]
    if missing:
        raise ValueError(
            f"Model '{model.name}' takes inputs named {', '.join(named)}, and the data has none "
            f"called '{missing[0]}': it has {', '.join(map(str, x))}."
        )
    chosen = {name: x[name] for name in named}
    return chosen if isinstance(own, dict) else keras.tree.pack_sequence_as(own, chosen.values())


def _check_shape(model: keras.Model, given: tuple[int, ...], tensor: Any, shares: int) -> None:
    wanted = tuple(tensor.shape)
    # As Keras does, which adds and takes away a last axis of one.
    if len(given) == len(wanted) + 1 and given[-1] == 1:
        given = given[:-1]
    if len(given) == len(wanted) - 1 and wanted[-1] == 1:
        given = (*given, 1)
    fits = len(given) == len(wanted) and all(
        length in (None, own) for length, own in zip(wanted[1:], given[1:], strict=True)
    )
    if not fits:
        hint = ""
        if wanted[1:] == given:
            hint = " One example needs an axis of the examples before its own: x[None]."
        raise ValueError(
            f"Model '{model.name}' takes arrays of shape {wanted} for its input '{tensor.name}', "
            f"and a batch of the data has shape {given}.{hint}"
        )
    # A model that data has built may have that batch's size, which binds none but these.
    stateful = any(getattr(layer, "stateful", False) for layer in _keras_internals.layers(model))
    if stateful and wanted[0] is not None and given[0] != (size := wanted[0] * shares):
        each = f" on each of {shares} replicas" * (shares > 1)
        raise ValueError(
            f"Model '{model.name}' has states for {wanted[0]} examples{each}, and a batch of the "
            f"data has {given[0]}: give a multiple of {size} examples, in batches of {size}."
        )
