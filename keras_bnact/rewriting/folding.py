"""Batch normalization as part of the weights before or after it, for inference."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from keras_bnact import _keras_internals, activations
from keras_bnact._layer_kinds import TRANSPARENT, activation_of, is_linear, is_weight_layer
from keras_bnact.layers import BoundedBlock
from keras_bnact.rewriting.graph import (
    Call,
    Graph,
    New,
    Replacement,
    check_graph,
    described,
    detour,
    graphs,
    in_own_code,
    rebuilt,
    values,
)
from keras_bnact.rewriting.report import Rewritten, check_changed
from keras_bnact.rewriting.weights import Weights, is_channels_first

MAX_POOLING = (
    keras.layers.GlobalMaxPooling1D,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.GlobalMaxPooling3D,
    keras.layers.MaxPooling1D,
    keras.layers.MaxPooling2D,
    keras.layers.MaxPooling3D,
)
# What these give are means of what they take, none of them with padding.
MEANS = (
    keras.layers.AveragePooling1D,
    keras.layers.AveragePooling2D,
    keras.layers.AveragePooling3D,
    keras.layers.Cropping1D,
    keras.layers.Cropping2D,
    keras.layers.Cropping3D,
    keras.layers.GlobalAveragePooling1D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalAveragePooling3D,
    keras.layers.UpSampling1D,
    keras.layers.UpSampling2D,
    keras.layers.UpSampling3D,
)
# These give what they take in another order.
MOVING = (keras.layers.Flatten, keras.layers.Permute, keras.layers.Reshape)


def fold_batch_normalization(model: keras.Model) -> Rewritten:
    """A model for inference that gives the same without batch normalization, where it can.

    At inference `BatchNormalization` is `scale * x + shift` for each channel, with `scale = gamma /
    sqrt(moving_variance + epsilon)` and `shift = beta - moving_mean * scale`. It is folded

    - into the weight layer before it, directly: `kernel * scale` and `bias * scale + shift`, as in
      the order "convention";
    - else into all of the weight layers after it, as in the order "swap": `scale * kernel`, for the
      channels that they take, and `bias + kernel @ shift`. In between may be pooling, flattening,
      `Reshape`, `Permute`, `Cropping`, `UpSampling` and dropout.

    Weight layers are Dense, Conv, DepthwiseConv, SeparableConv and ConvTranspose, those of
    `BoundedBlock`s among them, which become the layers that they are made of, with the block's name
    before theirs. A negative scale before max pooling changes the sign of the channel in the weight
    layer before, which needs an odd activation between them, such as tanh.

    Nothing is approximated. What cannot be folded is left, and the reason told. So it is with a
    shift before a convolution that pads with zeros (`padding="same"` and a kernel larger than 1),
    or a transposed one: at the border it takes zeros that were not shifted.

    Args:
        model: A functional or a built Sequential model. It stays as it is.

    Returns:
        A `Rewritten`: the new model, of the same outputs up to rounding, what was folded into
        which layer, and what was left and why. It prints as a table. The model is for inference:
        trained on, it trains as one without batch normalization.

    Raises:
        ValueError: For a subclassed model, one with nothing to fold, and a layer that its
            `get_config()` does not make anew.

    Example:

    >>> import keras, keras_bnact
    >>> layers = [keras.Input((8, 8, 3)), keras.layers.Conv2D(8, 3, name="conv")]
    >>> layers += [keras.layers.Activation("tanh"), keras.layers.BatchNormalization(name="bn")]
    >>> layers += [keras.layers.Flatten(), keras.layers.Dense(2, name="logits")]
    >>> folded, changed, left = keras_bnact.fold_batch_normalization(keras.Sequential(layers))
    >>> [layer.name for layer in folded.layers], changed, left
    (['conv', 'activation', 'flatten', 'logits'], {'bn': "folded into 'logits'"}, {})
    """
    _keras_internals.check()
    check_graph(model)
    blocks = {id(b): _steps(b) for b in _keras_internals.layers(model) if _is_open(b)}
    # Without another copy of a model that has none.
    opened = rebuilt(model, blocks) if blocks else model
    folding = _Folding()
    folding.read(opened)
    check_changed(model, "fold", folding.changed, folding.left)
    return Rewritten(rebuilt(opened, folding.replacements()), folding.changed, folding.left)


def _is_open(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, BoundedBlock) and is_weight_layer(layer.layer)


def _steps(block: BoundedBlock) -> Replacement:
    """The layers of a block, with its name before theirs."""
    return Replacement(
        [
            New(
                type(step).from_config(step.get_config() | {"name": f"{block.name}_{step.name}"}),
                values(step),
            )
            for step in block.steps
        ]
    )


class _LeftError(Exception):
    """Why a batch normalization is left."""


class _Folding:
    """Decides what is folded into what, and does the arithmetic."""

    def __init__(self) -> None:
        self.changed: dict[str, str] = {}
        self.left: dict[str, str] = {}
        self._weights: dict[int, Weights] = {}
        self._folded: set[int] = set()

    def replacements(self) -> dict[int, Replacement]:
        left_out = {normalization: Replacement() for normalization in self._folded}
        changed = {x: weights for x, weights in self._weights.items() if weights.changed}
        return left_out | {x: Replacement([changed[x].new()]) for x in changed}

    def read(self, model: keras.Model) -> None:
        for prefix, graph in graphs(model):
            self.left |= {prefix + x.name: in_own_code(x) for x in graph.normalizing}
            # Into what is before them first, so that what is left of a chain is known.
            for normalization in sorted(
                graph.normalizations, key=lambda x: not _follows_weights(graph, x)
            ):
                self._fold(graph, normalization, prefix)

    def _fold(self, graph: Graph, normalization: Any, prefix: str) -> None:
        name = prefix + normalization.name
        fold = self._backward if _follows_weights(graph, normalization) else self._forward
        try:
            layers = fold(graph, normalization)
        except _LeftError as why:
            self.left[name] = str(why)
        else:
            self._folded.add(id(normalization))
            names = (f"'{layer.name}'" for layer in layers)
            self.changed[name] = f"folded into {' and '.join(names)}"

    def _backward(self, graph: Graph, normalization: Any) -> list[keras.layers.Layer]:
        """Into the weight layer directly before."""
        scale, shift = _affine(graph, normalization)
        layers = {id(x.before[0].operation): x.before[0] for x in graph.calls_of(normalization)}
        if len(layers) > 1:
            raise _LeftError("after several layers, which share it")
        (before,) = layers.values()
        for call in graph.calls_of(before.operation):
            _go(call, [normalization])
        weights = self._weights_of(before.operation)
        _check_axis(normalization, weights, before)
        weights.scale_outputs(scale, shift)
        return [before.operation]

    def _forward(self, graph: Graph, normalization: Any) -> list[keras.layers.Layer]:
        """Into all weight layers that take what it gives."""
        scale, shift = _affine(graph, normalization)
        (call, *others) = graph.calls_of(normalization)
        if others:
            raise _LeftError("called several times")
        shape = [1] * (len(call.shape) - 1)
        shape[normalization.axis % len(call.shape) - 1] = -1
        paths = [*_paths(call, np.arange(scale.size).reshape(shape))]
        ends = []
        for path in paths:
            if len(graph.calls_of(path.layer)) > 1:
                raise _LeftError(f"before '{path.layer.name}', which is called several times")
            weights = self._weights_of(path.layer)
            if shift.any() and not weights.takes_shifts:
                raise _LeftError(
                    f"before {described(path.end)}, which takes zeros at its border that have no "
                    "shift"
                )
            ends.append((weights, _channels(path.positions, weights.channels_first, path.end)))
        if any(path.has_maxima for path in paths) and (scale < 0).any():
            sign = np.where(scale < 0, -1.0, 1.0)
            source = self._odd_source(graph, call)
            _check_axis(normalization, source, call)
            source.scale_outputs(sign, 0.0)
            scale = scale * sign
        for weights, channels in ends:
            weights.scale_inputs(scale[channels], shift[channels])
        return [path.layer for path in paths]

    def _weights_of(self, layer: keras.layers.Layer) -> Weights:
        if id(layer) not in self._weights:
            self._weights[id(layer)] = Weights(layer)
        return self._weights[id(layer)]

    def _odd_source(self, graph: Graph, call: Call) -> Weights:
        """The weight layer that an odd activation before a call takes alone."""
        before = call.before[0]
        steps = [call.operation]
        activation = getattr(before.operation, "activation", activation_of(before.operation))
        source = before
        if not is_weight_layer(before.operation):
            steps, source = [before.operation, *steps], before.before[0]
            if id(source.operation) in self._folded:
                steps, source = [source.operation, *steps], source.before[0]
        name = before.operation.name
        if not activations.is_odd(activation):
            raise _LeftError(
                f"before max pooling with negative scales, and after '{name}', which is not odd"
            )
        alone = is_weight_layer(source.operation) and len(graph.calls_of(source.operation)) == 1
        if not alone or (source is not before and not is_linear(source.operation)):
            raise _LeftError(
                f"before max pooling with negative scales, and after {described(source)}, whose "
                "signs cannot be changed"
            )
        _go(source, steps)
        return self._weights_of(source.operation)


@dataclasses.dataclass(frozen=True)
class _Path:
    """From a batch normalization to a weight layer.

    Args:
        end: The weight layer's call.
        positions: Which channel of the batch normalization stands where in one example of what the
            weight layer takes; of size 1 along axes where it is the same one.
        has_maxima: Whether max pooling is on the way.
    """

    end: Call
    positions: np.ndarray
    has_maxima: bool

    @property
    def layer(self) -> Any:
        return self.end.operation


def _paths(call: Call, positions: np.ndarray, has_maxima: bool = False) -> Iterator[_Path]:
    if call.is_output:
        raise _LeftError("before the model's output")
    for after in call.after:
        layer: Any = after.operation
        if is_weight_layer(layer):
            yield _Path(after, positions, has_maxima)
        elif isinstance(layer, TRANSPARENT) and not after.arguments.get("training"):
            yield from _paths(after, positions, has_maxima)
        elif isinstance(layer, (*MAX_POOLING, *MEANS)):
            maxima = has_maxima or isinstance(layer, MAX_POOLING)
            yield from _paths(after, _pooled(after, positions), maxima)
        elif isinstance(layer, MOVING):
            yield from _paths(after, _moved(call, after, positions), has_maxima)
        else:
            raise _LeftError(f"before {described(after)}")


def _pooled(call: Call, positions: np.ndarray) -> np.ndarray:
    first = is_channels_first(call.operation)
    shape = [1] * (len(call.shape) - 1)
    shape[0 if first else -1] = -1
    return _channels(positions, first, call).reshape(shape)


def _moved(call: Call, after: Call, positions: np.ndarray) -> np.ndarray:
    shape = [size for size in call.shape[1:] if size is not None]
    if len(shape) < len(call.shape) - 1:
        raise _LeftError(f"before {described(after)}, which takes what is of no known size")
    moved = after.operation(np.broadcast_to(positions, shape)[None].astype("int32"))
    return keras.ops.convert_to_numpy(moved)[0]


def _channels(positions: np.ndarray, channels_first: bool, call: Call) -> np.ndarray:
    """Which channel stands where along one axis, if that is the same all along the others."""
    axis = 0 if channels_first else -1
    rows = np.moveaxis(positions, axis, -1).reshape(-1, positions.shape[axis])
    if (rows != rows[0]).any():
        raise _LeftError(f"before {described(call)}, which has its channels along another axis")
    return rows[0]


def _go(call: Call, steps: Sequence[keras.Operation]) -> None:
    why = detour(call, steps)
    if why:
        raise _LeftError(why)


def _check_axis(normalization: Any, weights: Weights, call: Call) -> None:
    rank = len(call.shape)
    if normalization.axis % rank != (1 if weights.channels_first else rank - 1):
        raise _LeftError(
            f"over axis {normalization.axis}, which is not that of the channels of "
            f"'{weights.layer.name}'"
        )


def _follows_weights(graph: Graph, normalization: Any) -> bool:
    before = graph.calls_of(normalization)[0].before[0].operation
    return is_weight_layer(before) and is_linear(before)


def _affine(graph: Graph, normalization: Any) -> tuple[np.ndarray, np.ndarray]:
    """Of inference, by channel."""
    if any(call.arguments.get("training") for call in graph.calls_of(normalization)):
        raise _LeftError("called with training=True")
    known = {name: value.astype("float64") for name, value in values(normalization).items()}
    scale = 1 / np.sqrt(known["moving_variance"] + normalization.epsilon)
    scale = scale * known.get("gamma", 1.0)
    return scale, known.get("beta", 0.0) - known["moving_mean"] * scale
