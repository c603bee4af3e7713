"""The kernels and bias of a weight layer, as the arithmetic that they are."""

import functools
import math
from typing import Any

import keras
import numpy as np

from keras_bnact.rewriting.graph import New, anew, values

_TRANSPOSED = (
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)
_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
_SEPARABLE = (keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)


class Weights:
    """A weight layer's kernels and bias in float64, into which scales and shifts can be folded.

    Args:
        layer: One that `is_weight_layer`. It stays as it is.

    Attributes:
        changed: Whether anything was folded in.
    """

    def __init__(self, layer: keras.layers.Layer):
        self.layer = layer
        self.changed = False

    @functools.cached_property
    def values(self) -> dict[str, np.ndarray]:
        """By name; copied once something is folded in, since kernels can be large."""
        return {name: value.astype("float64") for name, value in values(self.layer).items()}

    @property
    def channels_first(self) -> bool:
        """Whether the channels are the first axis of an example, and not the last."""
        return is_channels_first(self.layer)

    @property
    def takes_shifts(self) -> bool:
        """Whether a constant that is added to what it takes adds a constant to what it gives."""
        return not (self._pads or isinstance(self.layer, _TRANSPOSED))

    @property
    def _pads(self) -> bool:
        """Whether outputs at the border are products with zeros that the layer puts there."""
        padding = getattr(self.layer, "padding", "valid")
        return padding != "valid" and math.prod(self.layer.kernel_size) > 1

    @property
    def _bias(self) -> Any:
        return self.values.get("bias", 0.0)

    def scale_outputs(self, scale: np.ndarray, shift: np.ndarray | float) -> None:
        """Makes the layer give `scale * y + shift` in the place of y."""
        self.changed = True
        layer, values = self.layer, self.values
        if isinstance(layer, _SEPARABLE):
            values["pointwise_kernel"] *= scale
        elif isinstance(layer, _DEPTHWISE):
            values["kernel"] *= scale.reshape(values["kernel"].shape[-2:])
        elif isinstance(layer, _TRANSPOSED):
            values["kernel"] *= scale[:, None]
        else:
            values["kernel"] *= scale
        values["bias"] = self._bias * scale + shift

    def scale_inputs(self, scale: np.ndarray, shift: np.ndarray) -> None:
        """Makes the layer take x in the place of `scale * x + shift`.

        The shift must be of zeros unless the layer `takes_shifts`.
        """
        self.changed = True
        layer, values = self.layer, self.values
        if isinstance(layer, _TRANSPOSED):
            values["kernel"] *= scale
        elif isinstance(layer, _SEPARABLE):
            shifts = self._depthwise("depthwise_kernel", scale, shift)
            pointwise = values["pointwise_kernel"]
            values["bias"] = self._bias + shifts @ pointwise.reshape(pointwise.shape[-2:])
        elif isinstance(layer, _DEPTHWISE):
            values["bias"] = self._bias + self._depthwise("kernel", scale, shift)
        else:
            kernel = values["kernel"]
            # Each group of a convolution takes some of the channels, and gives some.
            groups = getattr(layer, "groups", 1)
            scale, shift = (
                np.repeat(x.reshape(groups, -1).T, kernel.shape[-1] // groups, axis=1)
                for x in (scale, shift)
            )
            shifts = (kernel * shift).sum(axis=tuple(range(kernel.ndim - 1)))
            values["bias"] = self._bias + shifts
            values["kernel"] = kernel * scale

    def _depthwise(self, name: str, scale: np.ndarray, shift: np.ndarray) -> np.ndarray:
        kernel = self.values[name]
        shifts = (kernel * shift[:, None]).sum(axis=tuple(range(kernel.ndim - 2)))
        self.values[name] = kernel * scale[:, None]
        return shifts.reshape(-1)

    def new(self) -> New:
        """The layer with these weights, and a bias."""
        config = self.layer.get_config() | {"use_bias": True}
        return New(anew(self.layer, config), self.values)


def is_channels_first(layer: keras.Operation) -> bool:
    """Whether a layer has its channels before the other axes of an example."""
    return getattr(layer, "data_format", None) == "channels_first"
