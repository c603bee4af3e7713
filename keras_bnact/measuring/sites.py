"""Where a model's activations are, and the layers around them, from what was watched."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras

from keras_bnact import activations
from keras_bnact.measuring.layer_names import matches
from keras_bnact.measuring.watching import Call, Recording

# At inference they give what they take, so that what follows them follows it directly.
TRANSPARENT = (
    keras.layers.Dropout,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
    keras.layers.AlphaDropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.ActivityRegularization,
    keras.layers.Identity,
)
DENSE_LAYERS = (keras.layers.Dense, keras.layers.EinsumDense)


@dataclasses.dataclass(frozen=True)
class Site:
    """One activation in one pass through a model.

    Args:
        name: Of the block or layer, with the names around it; unique in the model.
        activation: The activation's name.
        bound: Its bound, None where it has none or none is known.
        inputs, outputs: The activation's tensors.
        normalization: The batch normalization that follows directly, or None.
        by_batch: Whether that is called with `training=True`, whatever the model is called with.
        normalized: Whether batch normalization stands directly before or after.
        layer: The weight layer before the activation, or None.
        layer_inputs: What that layer took, or None.
        channel_axis: Of `outputs`.
    """

    name: str
    activation: str
    bound: float | None
    inputs: Any
    outputs: Any
    normalization: keras.layers.BatchNormalization | None
    by_batch: bool
    normalized: bool
    layer: keras.layers.Layer | None
    layer_inputs: Any
    channel_axis: int


def find(recording: Recording) -> list[Site]:
    """The activations that were called, in order."""
    finder = _Finder(recording)
    return [
        finder.site(position)
        for position, call in enumerate(recording.calls)
        if call.activation is not None
    ]


def select(sites: Sequence[Site], patterns: Sequence[str] | None) -> list[Site]:
    """The sites whose names match one of the patterns.

    By default a dense layer without batch normalization is left out of a model that normalizes
    others, as the paper leaves them out (figure 9).

    Args:
        sites: A model's.
        patterns: As `layer_names.patterns` gives them; None for the default.

    Returns:
        Some of the sites, in their order.

    Raises:
        ValueError: For a pattern that matches nothing, or where nothing can be measured.
    """
    if not sites:
        raise ValueError(
            "This model has no activation that can be measured: BoundedBlock, an activation layer "
            "or a layer's `activation` argument; a function called in a layer's code is not seen."
        )
    if patterns is None:
        some_normalized = any(site.normalized for site in sites)
        return [
            site
            for site in sites
            if site.normalized or not some_normalized or not isinstance(site.layer, DENSE_LAYERS)
        ]
    for pattern in patterns:
        if not any(matches(site.name, [pattern]) for site in sites):
            raise ValueError(
                f"No layer that can be measured is called {pattern!r}: there are "
                f"{', '.join(site.name for site in sites)}."
            )
    return [site for site in sites if matches(site.name, patterns)]


def kernels(layer: keras.layers.Layer) -> list[keras.Variable]:
    """A layer's own weights without its biases: those with two or more axes."""
    return [weight for weight in layer.weights if len(weight.shape) >= 2]


class _Finder:
    """Makes sites of recorded calls."""

    def __init__(self, recording: Recording):
        self.calls, self.origin = recording.calls, recording.origin
        self.producers: dict[int, Call] = {}
        self.normalizations: dict[int, Call] = {}
        self.taken: dict[int, Any] = {}
        self.names: set[str] = set()
        for call in self.calls:
            if isinstance(call.layer, TRANSPARENT) and call.inputs is not call.outputs:
                self.taken[id(self.origin(call.outputs))] = call.inputs
        for call in self.calls:
            # The innermost layer that gave a tensor ends first.
            self.producers.setdefault(self._key(call.outputs), call)
            if _is_normalization(call):
                self.normalizations.setdefault(self._key(call.inputs), call)

    def site(self, position: int) -> Site:
        call = self.calls[position]
        after = self.normalizations.get(self._key(call.outputs))
        before, weights = None, self._producer(call.inputs)
        if weights is not None and _is_normalization(weights):
            before, weights = weights, self._producer(weights.inputs)
        if weights is None:
            weights = self._owner(position)
        if weights is not None and not kernels(weights.layer):
            weights = None
        normalization = after or before
        return Site(
            name=self._name(call),
            activation=_activation_name(call.activation),
            bound=_bound(call.activation),
            inputs=call.inputs,
            outputs=call.outputs,
            normalization=after.layer if after else None,
            by_batch=bool(after and after.training and after.layer.trainable),
            normalized=normalization is not None,
            layer=weights.layer if weights else None,
            layer_inputs=weights.inputs if weights else None,
            channel_axis=_channel_axis(
                len(call.outputs.shape),
                normalization.layer if normalization else None,
                weights.layer if weights else None,
            ),
        )

    def _key(self, tensor: Any) -> int:
        """The same for a tensor, its casts and what a transparent layer made of it."""
        key = id(self.origin(tensor))
        return self._key(self.taken[key]) if key in self.taken else key

    def _producer(self, tensor: Any) -> Call | None:
        call = self.producers.get(self._key(tensor))
        return call if call is not None and call.activation is None else None

    def _owner(self, position: int) -> Call | None:
        """The call of the layer whose `activation` this is, which ends after it."""
        path = _owner_path(self.calls[position])
        return next((c for c in self.calls[position + 1 :] if c.path == path), None)

    def _name(self, call: Call) -> str:
        path = _owner_path(call)
        name = path_name = "/".join(layer.name for layer in path)
        repeats = 1
        while name in self.names:
            repeats += 1
            name = f"{path_name}#{repeats}"
        self.names.add(name)
        return name


def _owner_path(call: Call) -> tuple[keras.layers.Layer, ...]:
    """Up to the layer whose `activation` was called, or else to the layer itself."""
    path = call.path
    inside = len(path) > 1 and getattr(path[-2], "activation", None) is call.layer
    return path[:-1] if inside else path


def _is_normalization(call: Call) -> bool:
    return isinstance(call.layer, keras.layers.BatchNormalization)


def _activation_name(activation: Any) -> str:
    inner = getattr(activation, "activation", activation)
    return getattr(inner, "__name__", type(inner).__name__)


def _bound(activation: Any) -> float | None:
    try:
        return activations.bound(activation)
    except ValueError:
        return None


def _channel_axis(rank: int, normalization: Any, weight_layer: Any) -> int:
    if normalization is not None:
        return normalization.axis % rank
    data_format = getattr(weight_layer, "data_format", None)
    if data_format is None and weight_layer is None and rank == 4:
        data_format = keras.config.image_data_format()
    return 1 if data_format == "channels_first" else rank - 1
