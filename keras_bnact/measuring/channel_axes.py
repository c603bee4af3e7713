"""Which axis of an activation is that of its channels, as the layers around it tell."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras

from keras_bnact._layer_kinds import ACTIVATION_LAYERS, TRANSPARENT, activation_of
from keras_bnact.layers import DynamicTanh
from keras_bnact.measuring.watching import Call

# These have their channels along the axis that they name.
OVER_AN_AXIS = (
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    DynamicTanh,
)
# These take, or give, the channels last.
CHANNELS_LAST = (
    keras.layers.Attention,
    keras.layers.Dense,
    keras.layers.EinsumDense,
    keras.layers.Embedding,
    keras.layers.GroupQueryAttention,
    keras.layers.MultiHeadAttention,
    keras.layers.RNN,
    keras.layers.Bidirectional,
)
# What these give has the axes of what they take.
ELEMENT_BY_ELEMENT = (
    *ACTIVATION_LAYERS,
    *TRANSPARENT,
    keras.layers.Add,
    keras.layers.Average,
    keras.layers.Concatenate,
    keras.layers.LayerNormalization,
    keras.layers.Masking,
    keras.layers.Maximum,
    keras.layers.Minimum,
    keras.layers.Multiply,
    keras.layers.RMSNormalization,
    keras.layers.Rescaling,
    keras.layers.Softmax,
    keras.layers.Subtract,
    keras.layers.UnitNormalization,
)
# The same of the functions of `keras.ops` in a functional model.
OPERATIONS = (
    *("Abs", "Absolute", "Add", "Cast", "Clip", "Divide", "Exp", "Log", "Maximum", "Minimum"),
    *("Multiply", "Negative", "Power", "Sqrt", "Square", "Subtract", "TrueDivide", "Where"),
)


class ChannelAxes:
    """Follows the channels of one pass through a model.

    Args:
        calls: Those of the pass.
        key: From a tensor to what is the same for its casts.
    """

    def __init__(self, calls: Sequence[Call], key: Callable[[Any], int]):
        self.key = key
        self.producers: dict[int, Call] = {}
        self.consumers: dict[int, list[Call]] = {}
        for call in calls:
            # The innermost layer that gave a tensor ends first.
            self.producers.setdefault(key(call.outputs), call)
            for tensor in call.tensors:
                self.consumers.setdefault(key(tensor), []).append(call)
        self.always_last = keras.config.image_data_format() == "channels_last" and all(
            _told(call.layer, len(call.outputs.shape)) in (None, len(call.outputs.shape) - 1)
            for call in calls
            if len(call.outputs.shape) > 2
        )

    def of(self, call: Call) -> int | None:
        """The axis of what an activation gave, counted from the front; None if it is not known.

        It is looked for in the layer itself, in those before it and in those after it, as far as
        these give what has the axes of what they take. Where none of them tells, it is the last
        one if no layer of the model has its channels elsewhere, nor has `keras.config`.
        """
        rank = len(call.outputs.shape)
        if rank == 2:
            return 1
        last = rank - 1 if self.always_last else None
        found = _told(call.layer, rank)
        if found is None:
            found = self._search(call.inputs, rank, self._before, set())
        if found is None:
            found = self._search(call.outputs, rank, self._after, set())
        return last if found is None else found

    def _search(self, tensor: Any, rank: int, neighbours: Callable, seen: set[int]) -> int | None:
        if self.key(tensor) in seen:
            return None
        seen.add(self.key(tensor))
        for call, others in neighbours(tensor):
            found = _told(call.layer, rank)
            if found is None and _element_by_element(call):
                further = (
                    self._search(other, rank, neighbours, seen)
                    for other in others
                    if len(other.shape) == rank
                )
                found = next((axis for axis in further if axis is not None), None)
            if found is not None:
                return found
        return None

    def _before(self, tensor: Any) -> Iterable[tuple[Call, Sequence[Any]]]:
        call = self.producers.get(self.key(tensor))
        return [(call, call.tensors)] if call else []

    def _after(self, tensor: Any) -> Iterable[tuple[Call, Sequence[Any]]]:
        calls = self.consumers.get(self.key(tensor), ())
        return [(call, [call.outputs]) for call in calls if len(tensor.shape) > 1]


def _told(layer: Any, rank: int) -> int | None:
    """The axis that a layer has for the channels of what it takes and gives."""
    if rank == 2:
        return 1
    if isinstance(layer, OVER_AN_AXIS):
        return layer.axis % rank
    if isinstance(layer, CHANNELS_LAST):
        return rank - 1
    data_format = getattr(layer, "data_format", None)
    # Flatten has Keras' default wherever the channels are, unless it is told to move them.
    if data_format is None or isinstance(layer, keras.layers.Flatten):
        return None
    return 1 if data_format == "channels_first" else rank - 1


def _element_by_element(call: Call) -> bool:
    layer = call.layer
    return (
        call.activation is not None
        or isinstance(layer, ELEMENT_BY_ELEMENT)
        or type(layer).__name__ in OPERATIONS
        or activation_of(layer) is not None
    )
