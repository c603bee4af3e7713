"""`BoundedBlock` and the layers it is made of."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import keras

from keras_bnact import activations
from keras_bnact._layer_kinds import ACTIVATION_LAYERS
from keras_bnact.normalization import BatchNormalization

ORDERS = ("swap", "convention", "nobn")
_register = keras.saving.register_keras_serializable("keras_bnact")

for _name in activations.names():
    _register(activations.get(_name))


class _NamedActivation(keras.layers.Activation):
    function: Callable

    def __init__(self, **kwargs: Any):
        super().__init__(type(self).function, **kwargs)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["activation"]
        return config


@_register
class Tanh(_NamedActivation):
    """`tanh(x)` as a layer, of bound 1.

    Args:
        **kwargs: `name`, `dtype`, `trainable`.

    Call arguments:
        inputs: Float tensor of any shape.

    Returns:
        A tensor of the shape of `inputs` in the layer's compute dtype.

    Example:

    >>> import numpy as np
    >>> from keras_bnact.layers import Tanh
    >>> float(Tanh()(np.zeros(1))[0])
    0.0
    """

    function = staticmethod(activations.tanh)


@_register
class LecunTanh(_NamedActivation):
    """`1.7159 * tanh(2 * x / 3)` as a layer, of bound 1.7159.

    Args:
        **kwargs: `name`, `dtype`, `trainable`.

    Call arguments:
        inputs: Float tensor of any shape.

    Returns:
        A tensor of the shape of `inputs` in the layer's compute dtype.

    Example:

    >>> import numpy as np
    >>> from keras_bnact.layers import LecunTanh
    >>> round(float(LecunTanh()(np.ones(1))[0]), 4)
    1.0
    """

    function = staticmethod(activations.lecun_tanh)


@_register
class Softsign(_NamedActivation):
    """`x / (1 + abs(x))` as a layer, of bound 1.

    Args:
        **kwargs: `name`, `dtype`, `trainable`.

    Call arguments:
        inputs: Float tensor of any shape.

    Returns:
        A tensor of the shape of `inputs` in the layer's compute dtype.

    Example:

    >>> import numpy as np
    >>> from keras_bnact.layers import Softsign
    >>> float(Softsign()(np.ones(1))[0])
    0.5
    """

    function = staticmethod(activations.softsign)


@_register
class DynamicTanh(keras.layers.Layer):
    """`gamma * tanh(alpha * x) + beta`, DyT: a bounded activation in the place of normalization.

    `alpha` is one number, `gamma` and `beta` have one for each channel, and all are trained. It
    takes the place of a LayerNormalization, of which it needs no statistics; what it computes is
    the same in training and at inference. Its tanh is an activation that `keras_bnact.measure`
    measures, under the layer's name.

    Args:
        axis: That of the channels. Default -1.
        alpha_initializer: Initializer of `alpha`. Default: 0.5, as published.
        gamma_initializer: Initializer of `gamma`. Default `"ones"`, as published.
        beta_initializer: Initializer of `beta`. Default `"zeros"`, as published.
        gamma_regularizer, beta_regularizer: Penalties of these. Default: none.
        **kwargs: `name`, `dtype`, `trainable`.

    Call arguments:
        inputs: Float tensor of rank 2 or more.

    Returns:
        A tensor of the shape of `inputs` in the layer's compute dtype.

    Example:

    >>> import numpy as np
    >>> from keras_bnact.layers import DynamicTanh
    >>> outputs = DynamicTanh()(np.ones((2, 3)))
    >>> outputs.shape, round(float(outputs[0, 0]), 4)
    (TensorShape([2, 3]), 0.4621)

    Reference: "Transformers without Normalization" (CVPR 2025), equation 1 and algorithm 1.
    """

    def __init__(
        self,
        axis: int = -1,
        alpha_initializer: Any = None,
        gamma_initializer: Any = "ones",
        beta_initializer: Any = "zeros",
        gamma_regularizer: Any = None,
        beta_regularizer: Any = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.axis = axis
        self.gamma_regularizer = keras.regularizers.get(gamma_regularizer)
        self.beta_regularizer = keras.regularizers.get(beta_regularizer)
        if alpha_initializer is None:
            alpha_initializer = keras.initializers.Constant(0.5)
        self.alpha_initializer = keras.initializers.get(alpha_initializer)
        self.gamma_initializer = keras.initializers.get(gamma_initializer)
        self.beta_initializer = keras.initializers.get(beta_initializer)
        # An attribute, and so one that is measured.
        self.activation = activations.tanh
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        rank = len(input_shape)
        if not -rank < self.axis < rank or self.axis == 0 or input_shape[self.axis] is None:
            raise ValueError(
                f"DynamicTanh has no channels along axis {self.axis} of inputs of shape "
                f"{tuple(input_shape)}: give another `axis`, of known size."
            )
        channels = (input_shape[self.axis],)
        self.alpha = self.add_weight(shape=(), initializer=self.alpha_initializer, name="alpha")
        self.gamma = self.add_weight(
            channels,
            initializer=self.gamma_initializer,
            regularizer=self.gamma_regularizer,
            name="gamma",
        )
        self.beta = self.add_weight(
            channels,
            initializer=self.beta_initializer,
            regularizer=self.beta_regularizer,
            name="beta",
        )

    def call(self, inputs: Any) -> Any:
        shape = [1] * len(inputs.shape)
        shape[self.axis] = -1
        gamma, beta = (keras.ops.reshape(x, shape) for x in (self.gamma, self.beta))
        return gamma * self.activation(self.alpha * inputs) + beta

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        names = ("alpha_initializer", "gamma_initializer", "beta_initializer")
        own = {name: keras.initializers.serialize(getattr(self, name)) for name in names}
        for name in ("gamma_regularizer", "beta_regularizer"):
            own[name] = keras.regularizers.serialize(getattr(self, name))
        return {**super().get_config(), "axis": self.axis, **own}


@_register
class BoundedBlock(keras.layers.Wrapper):
    """A weight layer, batch normalization and an activation, in the order of your choice.

    | order          | output                                    |
    | ---            | ---                                       |
    | `"swap"`       | `normalization(activation(layer(inputs)))` |
    | `"convention"` | `activation(normalization(layer(inputs)))` |
    | `"nobn"`       | `activation(layer(inputs))`                |

    The three steps are the attributes `layer`, `normalization` (None for `"nobn"`) and
    `activation` (a layer), and in order the list `steps`.

    The given layer is left as it is. Its bias is redundant in `"convention"`, where batch
    normalization removes it, and needed in `"swap"`, where it moves the activation off centre.

    In `"swap"` nothing normalizes what the activation is given, so the layer's initial weights
    decide how saturated training begins; in `"convention"` they hardly matter. Give the layer of a
    swapped block smaller ones than Keras' default, as in the example: kernels uniform in
    `+-1 / sqrt(fan_in)`. Of inputs of mean 0 and variance 1, as another block's normalization gives
    them, they make values of standard deviation `1 / sqrt(3)`, where `"he_normal"` makes values of
    `sqrt(2)` and `"glorot_uniform"` of 1 (with as many outputs as inputs; less with more).

    Args:
        layer: A Keras weight layer without an activation of its own (Conv1D, Conv2D,
            Conv3D, DepthwiseConv2D, SeparableConv2D, Dense, ...), or one in a wrapper
            (SpectralNormalization, TimeDistributed).
        activation: A name (`"tanh"`, `"lecun_tanh"`, `"softsign"`, `"relu"`, a registered
            one or one of Keras'), a function, or an activation layer, which keeps its own
            dtype policy. Default `"tanh"`.
        order: `"swap"` (default), `"convention"` or `"nobn"`.
        momentum: Momentum of the moving statistics, as in Keras. Default 0.9.
        epsilon: Added to the variance under the square root. Default 1e-5.
        center: Whether batch normalization has a `beta`. Default True.
        scale: Whether batch normalization has a `gamma`. Default True.
        beta_initializer: Initializer of `beta`. Default `"zeros"`.
        gamma_initializer: Initializer of `gamma`. Default `"ones"`.
        beta_regularizer: Regularizer of `beta`, for example
            `keras_bnact.regularizers.WeightDecay(5e-4)`. Default None.
        gamma_regularizer: Regularizer of `gamma`. Default None.
        synchronized: Whether the replicas of `tf.distribute` normalize with the statistics
            of the global batch (TensorFlow only). Default False.
        **kwargs: `name`, `dtype`, `trainable`. The dtype policy is the layer's by default.

    Call arguments:
        inputs: What the weight layer takes.
        training: Whether batch normalization uses, and learns from, the batch's statistics.
        mask: Optional mask of the inputs. It reaches batch normalization, and the next
            layer, where the weight layer supports masking.

    Returns:
        A tensor of the weight layer's output shape, in the compute dtype of the last step:
        the block's, unless that is an activation layer of another one.

    Raises:
        ValueError: For a layer that is no Keras layer, is a normalization, an activation or a
            block, has an activation of its own (also within a wrapper, or in the steps of a
            recurrent layer), or takes several inputs as arguments, and for an unknown activation
            or order.

    Example:

    >>> import keras, keras_bnact
    >>> weights = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
    >>> convolution = keras.layers.Conv2D(8, 3, kernel_initializer=weights)
    >>> block = keras_bnact.BoundedBlock(convolution, activation="tanh", order="swap")
    >>> block.compute_output_shape((None, 32, 32, 3))
    (None, 30, 30, 8)

    Reference: figure 2 of the paper; momentum and epsilon are not in the paper.
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        activation: str | Callable = "tanh",
        order: str = "swap",
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        synchronized: bool = False,
        **kwargs: Any,
    ):
        _check_weight_layer(layer)
        if order not in ORDERS:
            raise ValueError(f"Unknown order {order!r}: give one of {', '.join(ORDERS)}.")
        if kwargs.get("dtype") is None:
            kwargs["dtype"] = layer.dtype_policy
        super().__init__(layer, **kwargs)
        self.order = order
        self.activation = _activation_layer(activation, self.dtype_policy)
        self._normalization_config = {
            "momentum": momentum,
            "epsilon": epsilon,
            "center": center,
            "scale": scale,
            "beta_initializer": beta_initializer,
            "gamma_initializer": gamma_initializer,
            "beta_regularizer": beta_regularizer,
            "gamma_regularizer": gamma_regularizer,
            "synchronized": synchronized,
        }
        self.normalization: BatchNormalization | None = None
        if order != "nobn":
            self.normalization = BatchNormalization(
                axis=_channel_axis(layer),
                dtype=self.dtype_policy,
                name="normalization",
                **self._normalization_config,
            )

    @property
    def steps(self) -> list[keras.layers.Layer]:
        """The weight layer, the activation and the normalization, in the block's order."""
        after: dict[str, list[Any]] = {
            "swap": [self.activation, self.normalization],
            "convention": [self.normalization, self.activation],
            "nobn": [self.activation],
        }
        return [self.layer, *after[self.order]]

    def build(self, input_shape: Any = None) -> None:
        super().build(input_shape)
        shape = self.layer.compute_output_shape(input_shape)
        for step in self.steps[1:]:
            if not step.built:
                step.build(shape)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        outputs = self.layer(inputs)
        mask = self.compute_mask(inputs, mask)
        for step in self.steps[1:]:
            if isinstance(step, BatchNormalization):
                outputs = step(outputs, training=training, mask=mask)
            else:
                outputs = step(outputs)
        return outputs

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        if not self.layer.supports_masking:
            return None
        return self.layer.compute_mask(inputs, previous_mask)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self.layer.compute_output_shape(input_shape)

    def compute_output_spec(self, inputs: Any, **kwargs: Any) -> keras.KerasTensor:
        # Of each, where a layer takes a list of inputs.
        shape = self.compute_output_shape(keras.tree.map_structure(lambda x: x.shape, inputs))
        return keras.KerasTensor(shape, dtype=self.steps[-1].compute_dtype)

    def get_config(self) -> dict[str, Any]:
        own = {
            "activation": self.activation,
            "order": self.order,
            **self._normalization_config,
        }
        serialize = keras.saving.serialize_keras_object
        return {**super().get_config(), **{name: serialize(own[name]) for name in own}}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "BoundedBlock":
        deserialize = keras.saving.deserialize_keras_object
        objects = {
            name: deserialize(value, custom_objects=custom_objects)
            for name, value in config.items()
            if isinstance(value, dict)
        }
        return cls(**{**config, **objects})


# What a block adds itself.
_STEPS = (
    *ACTIVATION_LAYERS,
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.RMSNormalization,
    keras.layers.UnitNormalization,
    keras.layers.Softmax,
    BoundedBlock,
    DynamicTanh,
)


def _check_weight_layer(layer: Any) -> None:
    parts = [*_unwrapped(layer)]
    steps = [part for part in parts if isinstance(part, _STEPS)]
    if steps or not isinstance(layer, keras.layers.Layer):
        raise ValueError(
            "BoundedBlock takes a Keras weight layer such as keras.layers.Conv2D(64, 3), and adds "
            f"normalization and activation itself; got {[*steps, layer][0]!r}."
        )
    for part in parts:
        own = getattr(part, "activation", None)
        if own is not None and own is not keras.activations.linear:
            recurrent = any(isinstance(part, keras.layers.RNN) for part in parts)
            raise _own_activation(layer if recurrent else part, own, recurrent)
    parameters = inspect.signature(layer.call).parameters.values()
    named = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.default is p.empty]
    # The others are Keras' to fill in.
    needed = [p.name for p in named if p.name not in ("training", "mask")]
    if len(needed) > 1:
        raise ValueError(
            f"BoundedBlock takes a layer of one argument, but layer '{layer.name}' needs "
            f"{' and '.join(needed)}: use it without a block, and keras.layers.Activation and "
            "keras.layers.BatchNormalization after it."
        )


def _own_activation(layer: keras.layers.Layer, activation: Any, recurrent: bool) -> ValueError:
    name = getattr(activation, "__name__", activation)
    if recurrent:
        return ValueError(
            f"BoundedBlock applies the activation after the layer, but recurrent layer "
            f"'{layer.name}' needs its own {name!r} in every step: use it without a block, and "
            "keras.layers.BatchNormalization after it for the order 'swap'."
        )
    return ValueError(
        f"BoundedBlock applies the activation itself, but layer '{layer.name}' has {name!r}: give "
        "the layer activation=None."
    )


def _unwrapped(layer: Any) -> Iterator[Any]:
    """The layer and, from the outside, what it wraps or does its steps with."""
    yield layer
    inner: list[Any] = []
    if isinstance(layer, keras.layers.Wrapper):
        inner = [layer.layer]
    elif isinstance(layer, keras.layers.Bidirectional):
        inner = [layer.forward_layer, layer.backward_layer]
    elif isinstance(layer, keras.layers.RNN):
        inner = [layer.cell]
    elif isinstance(layer, keras.layers.StackedRNNCells):
        inner = layer.cells
    for part in inner:
        yield from _unwrapped(part)


def _channel_axis(layer: keras.layers.Layer) -> int:
    parts = [*_unwrapped(layer)]
    if not any(getattr(part, "data_format", None) == "channels_first" for part in parts):
        return -1
    # The time comes before the channels.
    return 1 + sum(isinstance(part, keras.layers.TimeDistributed) for part in parts)


def _activation_layer(activation: Any, dtype: Any) -> keras.layers.Layer:
    if isinstance(activation, keras.layers.Layer):
        return activation
    return keras.layers.Activation(activations.get(activation), dtype=dtype, name="activation")
