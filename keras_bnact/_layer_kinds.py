"""What kinds of layers and operations there are, for those that look through models."""

import re
from collections.abc import Callable
from typing import Any

import keras

# Keras' layers that are activations alone, ours among their subclasses.
ACTIVATION_LAYERS = (
    keras.layers.Activation,
    keras.layers.ELU,
    keras.layers.LeakyReLU,
    keras.layers.PReLU,
    keras.layers.ReLU,
)
# At inference they give what they take, so that what follows them follows it directly.
TRANSPARENT = (
    keras.layers.ActivityRegularization,
    keras.layers.AlphaDropout,
    keras.layers.Dropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.Identity,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
)
# Whose outputs are a product of their inputs with kernels, and a bias if `use_bias`.
WEIGHT_LAYERS = (
    keras.layers.Conv1D,
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2D,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3D,
    keras.layers.Conv3DTranspose,
    keras.layers.Dense,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv1D,
    keras.layers.SeparableConv2D,
)
# Functions that are not what the paper means by an activation.
_NO_ACTIVATIONS = ("linear", "softmax", "log_softmax")


def has_own_code(layer: keras.Operation) -> bool:
    """Whether what a layer or model calls is neither Keras' code nor ours."""
    function = layer.function if isinstance(layer, keras.layers.Lambda) else type(layer).call
    return getattr(function, "__module__", "").split(".")[0] not in ("keras", "keras_bnact")


def is_left_out(activation: Any) -> bool:
    """Whether a function is none that the paper means by an activation: linear or softmax."""
    return getattr(activation, "__name__", None) in _NO_ACTIVATIONS


def activation_of(operation: keras.Operation) -> Callable | None:
    """The function of `keras.activations` that an operation of a functional model is, or None."""
    if isinstance(operation, keras.layers.Layer):
        return None
    kind = type(operation).__name__
    # `HardTanh` is hard_tanh, and `ReLU` relu.
    names = (re.sub(r"(?<!^)(?=[A-Z])", "_", kind).lower(), kind.lower())
    functions = (getattr(keras.activations, name, None) for name in names)
    function = next(filter(callable, functions), None)
    return None if is_left_out(function) else function


def is_activation(operation: keras.Operation) -> bool:
    """Whether it is an activation alone: a layer, or a function of `keras.activations`."""
    if isinstance(operation, ACTIVATION_LAYERS):
        return not is_left_out(getattr(operation, "activation", None))
    return activation_of(operation) is not None


def is_weight_layer(operation: keras.Operation) -> bool:
    """Whether it is one of `WEIGHT_LAYERS`, and computes with the kernel and bias it has."""
    return (
        isinstance(operation, WEIGHT_LAYERS)
        and not has_own_code(operation)
        and getattr(operation, "quantization_mode", None) is None
        and not getattr(operation, "lora_enabled", False)
    )


def is_linear(layer: keras.layers.Layer) -> bool:
    """Whether a weight layer applies no activation itself."""
    return layer.activation in (None, keras.activations.linear)
