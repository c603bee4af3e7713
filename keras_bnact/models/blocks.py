"""What the networks have in common: how their blocks are made, one after another."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import keras

from keras_bnact import activations
from keras_bnact.layers import BoundedBlock
from keras_bnact.normalization import BatchNormalization
from keras_bnact.regularizers import WeightDecay

# Uniform in +-1/sqrt(fan_in), with which layers without normalization before their activation do
# not begin saturated; a configuration, since an object would be one for all models.
KERNEL_INITIALIZER = {
    "class_name": "VarianceScaling",
    "config": {"scale": 1 / 3, "mode": "fan_in", "distribution": "uniform"},
}


@dataclasses.dataclass(frozen=True)
class Blocks:
    """How every block of a network is made; the fields are the models' arguments."""

    activation: str | Callable
    order: str
    width: float
    kernel_initializer: Any
    bias_initializer: Any
    weight_decay: float
    gamma_weight_decay: float | None
    beta_weight_decay: float | None
    momentum: float
    epsilon: float
    synchronized: bool

    def __post_init__(self):
        if not 0.0 < self.width < float("inf"):
            raise ValueError(f"width must be positive and finite; got {self.width}.")

    def conv(self, filters: int, kernel_size: int, strides: int = 1, *, name: str) -> BoundedBlock:
        return self._block(self.bare_conv(filters, kernel_size, strides), self.order, name)

    def bare_conv(
        self, filters: int, kernel_size: Any, strides: Any = 1, *, name: str = "conv"
    ) -> keras.layers.Conv2D:
        """Without normalization and activation, which come next or elsewhere."""
        return keras.layers.Conv2D(
            self._scaled(filters),
            kernel_size,
            strides,
            padding="same",
            use_bias=self.order != "convention",
            **self._weights,
            name=name,
        )

    def pre_activation(self, name: str) -> Callable[[Any], Any]:
        """Normalization and activation of a sum, in the order; the activation has the name."""
        activation = keras.layers.Activation(activations.get(self.activation), name=name)
        normalization = BatchNormalization(
            momentum=self.momentum,
            epsilon=self.epsilon,
            synchronized=self.synchronized,
            **self.scale_and_shift,
            name=f"{name}_normalization",
        )
        steps = {
            "convention": (normalization, activation),
            "swap": (activation, normalization),
            "nobn": (activation,),
        }[self.order]
        return lambda x: functools.reduce(lambda value, step: step(value), steps, x)

    def depthwise(self, kernel_size: int, strides: int = 1, *, name: str) -> BoundedBlock:
        layer = keras.layers.DepthwiseConv2D(
            kernel_size,
            strides,
            padding="same",
            use_bias=self.order != "convention",
            depthwise_initializer=_fresh(self.kernel_initializer),
            bias_initializer=_fresh(self.bias_initializer),
            depthwise_regularizer=_decay(self.weight_decay),
            bias_regularizer=_decay(self.weight_decay),
            name="depthwise_conv",
        )
        return self._block(layer, self.order, name)

    def dense(self, units: int, *, normalized: bool, name: str) -> BoundedBlock:
        order = self.order if normalized else "nobn"
        layer = keras.layers.Dense(
            self._scaled(units), use_bias=order != "convention", **self._weights, name="dense"
        )
        return self._block(layer, order, name)

    def bare_dense(self, units: int, *, name: str) -> keras.layers.Dense:
        """Without normalization and activation."""
        return keras.layers.Dense(self._scaled(units), **self._weights, name=name)

    def attention(self, heads: int, units: int, *, name: str) -> keras.layers.MultiHeadAttention:
        return keras.layers.MultiHeadAttention(heads, units // heads, **self._weights, name=name)

    def logits(self, classes: int) -> keras.layers.Dense:
        half = keras.config.dtype_policy().compute_dtype in ("float16", "bfloat16")
        dtype = "float32" if half else None
        return keras.layers.Dense(classes, **self._weights, dtype=dtype, name="logits")

    @property
    def scale_and_shift(self) -> dict[str, Any]:
        """Regularizers of a normalization's gamma and beta."""
        gamma = self.weight_decay if self.gamma_weight_decay is None else self.gamma_weight_decay
        beta = self.weight_decay if self.beta_weight_decay is None else self.beta_weight_decay
        return {"gamma_regularizer": _decay(gamma), "beta_regularizer": _decay(beta)}

    @property
    def _weights(self) -> dict[str, Any]:
        """Of a kernel and a bias: initializers, made anew for each layer, and regularizers."""
        return {
            "kernel_initializer": _fresh(self.kernel_initializer),
            "bias_initializer": _fresh(self.bias_initializer),
            "kernel_regularizer": _decay(self.weight_decay),
            "bias_regularizer": _decay(self.weight_decay),
        }

    def _scaled(self, filters: int) -> int:
        return max(1, round(filters * self.width))

    def _block(self, layer: keras.layers.Layer, order: str, name: str) -> BoundedBlock:
        return BoundedBlock(
            layer,
            activation=self.activation,
            order=order,
            momentum=self.momentum,
            epsilon=self.epsilon,
            synchronized=self.synchronized,
            **self.scale_and_shift,
            name=name,
        )


def functional_model(
    layers: list[keras.layers.Layer],
    input_shape: tuple[int, int, int],
    preprocessing: keras.layers.Layer | None,
    name: str,
) -> keras.Model:
    """A functional model that applies `preprocessing` and then the layers in turn."""
    inputs = keras.Input(input_shape, name="images")
    outputs: Any = inputs
    for layer in ([] if preprocessing is None else [preprocessing]) + layers:
        outputs = layer(outputs)
    return keras.Model(inputs, outputs, name=name)


def _fresh(initializer: Any) -> Any:
    """Another one of the same distribution.

    Keras' initializers draw the same values at every call unless they are seeded by a generator,
    so that layers of one shape that shared one would begin with the same weights.
    """
    if isinstance(initializer, keras.initializers.Initializer):
        config = initializer.get_config()
        if config.get("seed") is None:
            return type(initializer).from_config(config)
    return keras.initializers.get(initializer)


def _decay(weight_decay: float) -> WeightDecay | None:
    return WeightDecay(weight_decay) if weight_decay else None
