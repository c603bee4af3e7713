"""What is used of Keras that it does not document: here alone, and checked before it is used."""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

# What Keras looks up on a layer, or on the functional model in a Sequential one, when it calls it.
DTYPE_POLICY = "_dtype_policy"
INPUT_CASTS = "_convert_inputs_to_tensors"


def layers(model: keras.Model, include_self: bool = True) -> list[keras.layers.Layer]:
    """The model, unless it is left out, and all layers within it, however deep, once each."""
    return model._flatten_layers(include_self=include_self)


def compiled_loss(model: keras.Model) -> Any:
    """The object that `model.compile` has made of the loss; None where there is none."""
    return model._compile_loss


def mask(tensor: Any) -> Any:
    """Keras' mask of a tensor, which is True where it is no padding; None where it has none."""
    return keras.src.backend.get_keras_mask(tensor)


def functional(model: keras.layers.Layer) -> keras.layers.Layer:
    """The functional model within a Sequential one; itself of any other layer."""
    return getattr(model, "_functional", model)


def nodes(model: keras.layers.Layer) -> list[Any]:
    """The calls in a functional model's graph, each after those whose outputs it takes."""
    return [
        node for _, depth in sorted(model._nodes_by_depth.items(), reverse=True) for node in depth
    ]


def strategy(model: keras.Model) -> Any:
    """The `tf.distribute.Strategy` that a model was made under, on TensorFlow."""
    return model.distribute_strategy


@contextlib.contextmanager
def replaced(layer: keras.layers.Layer, name: str, value: Any) -> Iterator[None]:
    """Gives a layer another attribute for the length of the block, past Keras' tracking of it."""
    own = vars(layer)
    absent = object()
    old = own.get(name, absent)
    own[name] = value
    try:
        yield
    finally:
        if old is absent:
            del own[name]
        else:
            own[name] = old


@functools.cache
def check() -> None:
    """Tries all of it on a small model.

    Raises:
        RuntimeError: Where this Keras does not do what is thought of it.
    """
    # A layout of the user's weights need not fit those of the small model.
    distribution = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        _check()
    finally:
        keras.distribution.set_distribution(distribution)


def _check() -> None:
    for what, holds in (
        ("tells a model's layers", _layers_are_told),
        ("looks up what it calls on the layer", _calls_are_looked_up),
        ("keeps the compiled loss", _loss_is_kept),
        ("keeps masks with tensors", _masks_are_kept),
        ("tells how layers are connected", _connections_are_told),
    ):
        try:
            known = holds()
        except Exception as error:
            known, what = False, f"{what} ({type(error).__name__}: {error})"
        if not known:
            raise RuntimeError(
                f"Keras {keras.__version__} is not known well enough to measure models: it no "
                f"longer {what} as Keras 3.15 does; install that, or a newer keras_bnact."
            )


def _model() -> tuple[keras.Model, keras.layers.Layer]:
    # With names and without random weights: else a user's next layers would be called otherwise,
    # and have other weights. Of another type than its input, which Keras has to cast then.
    dense = keras.layers.Dense(1, kernel_initializer="zeros", name="dense", dtype="bfloat16")
    return keras.Sequential([keras.Input((1,), name="input"), dense], name="checked"), dense


def _layers_are_told() -> bool:
    model, dense = _model()
    nested = keras.Sequential([keras.Input((1,), name="input"), model], name="nested")
    return {id(layer) for layer in layers(nested)} >= {
        id(nested),
        id(model),
        id(dense),
    } and not any(layer is nested for layer in layers(nested, include_self=False))


def _calls_are_looked_up() -> bool:
    model, dense = _model()
    called = []

    def noting(name, function):
        def noted(*arguments, **keywords):
            called.append(name)
            return function(*arguments, **keywords)

        return noted

    policy = keras.DTypePolicy(dense.dtype_policy.name)
    policy.convert_input = noting("policy", policy.convert_input)
    within = functional(model)
    with (
        replaced(within, INPUT_CASTS, noting("casts", getattr(within, INPUT_CASTS))),
        replaced(dense, DTYPE_POLICY, policy),
        replaced(dense, "call", noting("call", dense.call)),
        replaced(dense, "activation", noting("activation", dense.activation)),
    ):
        model(np.zeros((1, 1), "float32"))
    return {*called} == {"casts", "policy", "call", "activation"}


def _loss_is_kept() -> bool:
    model, _ = _model()
    before = compiled_loss(model)
    model.compile(loss="mse")
    return before is None and compiled_loss(model) is not None


def _connections_are_told() -> bool:
    model, dense = _model()
    first, second = nodes(functional(model))
    return (
        first.is_input
        and not first.input_tensors
        and second.operation is dense
        and second.input_tensors == first.outputs
        and second.outputs == functional(model).outputs
        and second.arguments.kwargs == {}
    )


def _masks_are_kept() -> bool:
    masked = keras.layers.Masking(name="masked")(np.array([[[1.0], [0.0]]], "float32"))
    values = keras.ops.convert_to_numpy(mask(masked)).tolist()
    return values == [[True, False]] and mask(keras.ops.ones((1, 2))) is None
