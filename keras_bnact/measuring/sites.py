"""Where a model's activations are, and the layers around them, from what was watched."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras

from keras_bnact import _keras_internals, activations
from keras_bnact._layer_kinds import TRANSPARENT
from keras_bnact.measuring.channel_axes import ChannelAxes
from keras_bnact.measuring.layer_names import matches
from keras_bnact.measuring.watching import Call, Recording, path_name

DENSE_LAYERS = (keras.layers.Dense, keras.layers.EinsumDense)
# Why these are left out.
DENSE = "dense without batch normalization"
MASKED = "as Keras' mask tells it"


@dataclasses.dataclass(frozen=True)
class Site:
    """One activation in one pass through a model.

    Args:
        name: Of the block or layer, with the names around it; unique in the model.
        activation: The activation's name.
        bounds: Its bounds, None where it has none or none are known.
        inputs, outputs: The activation's tensors.
        normalization: The batch normalization that follows directly, or None.
        by_batch: Whether that is called with `training=True`, whatever the model is called with.
        normalized: Whether batch normalization stands directly before or after.
        layer: The weight layer before the activation, or None.
        layer_inputs: What that layer took, or None.
        channel_axis: Of `outputs`; None where no layer tells it.
        mask: Keras' of `outputs`, which is True where it is no padding; or None.
    """

    name: str
    activation: str
    bounds: activations.Bounds | None
    inputs: Any
    outputs: Any
    normalization: keras.layers.BatchNormalization | None
    by_batch: bool
    normalized: bool
    layer: keras.layers.Layer | None
    layer_inputs: Any
    channel_axis: int | None
    mask: Any


def find(recording: Recording, training: bool) -> list[Site]:
    """The activations that were called, in order.

    Args:
        recording: Of a model's pass.
        training: Whether the model was called so: then what is random in training alone counts as
            what it is at inference.

    Raises:
        ValueError: Where there is none.
    """
    finder = _Finder(recording, training)
    sites = [
        finder.site(position)
        for position, call in enumerate(recording.calls)
        if call.activation is not None
    ]
    if not sites:
        unseen = "".join(f"; not seen is {name}, {why}" for name, why in recording.unseen.items())
        raise ValueError(
            "This model has no activation that can be measured: BoundedBlock, an activation layer, "
            f"a layer's `activation` argument or keras.ops in a functional model{unseen}."
        )
    return sites


def left_out(
    recording: Recording, sites: Sequence[Site], chosen: Sequence[Site], by_default: bool
) -> dict[str, str]:
    """What of a model is not measured, though nobody asked for that, with the reason.

    Args:
        recording: Of its pass.
        sites: All of its activations.
        chosen: Those that are measured.
        by_default: Whether they were chosen by default.
    """
    names = {site.name for site in chosen}
    dense = {site.name: DENSE for site in sites if by_default and site.name not in names}
    padding = {f"padding in {site.name}": MASKED for site in chosen if site.mask is not None}
    return recording.unseen | dense | padding


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
        ValueError: For a pattern that matches nothing.
    """
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


def with_channel_axis(site: Site, axis: int | None) -> Site:
    """The site with a known axis of channels: its own, or else the one that is given.

    Raises:
        ValueError: Where neither is known, or that is no axis of channels.
    """
    if site.channel_axis is not None:
        return site
    rank = len(site.outputs.shape)
    if axis is None:
        raise ValueError(
            f"Which axis of '{site.name}', of shape {tuple(site.outputs.shape)}, is that of the "
            "channels cannot be told from the layers around it: give `channel_axis`, such as 1 or "
            "-1."
        )
    if axis % rank == 0 or not -rank <= axis < rank:
        raise ValueError(
            f"'{site.name}' has {rank} axes, the first that of the examples, and no axis of "
            f"channels {axis}."
        )
    return dataclasses.replace(site, channel_axis=axis % rank)


def kernels(layer: keras.Operation) -> list[keras.Variable]:
    """A layer's own weights without its biases: those with two or more axes."""
    return [weight for weight in getattr(layer, "weights", ()) if len(weight.shape) >= 2]


class _Finder:
    """Makes sites of recorded calls."""

    def __init__(self, recording: Recording, training: bool):
        self.calls, self.origin = recording.calls, recording.origin
        self.producers: dict[int, Call] = {}
        self.normalizations: dict[int, Call] = {}
        self.taken: dict[int, Any] = {}
        self.names: set[str] = set()
        for call in self.calls:
            random = call.training and not training
            transparent = isinstance(call.layer, TRANSPARENT) and not random
            if transparent and call.inputs is not call.outputs:
                self.taken[id(self.origin(call.outputs))] = call.inputs
        for call in self.calls:
            # The innermost layer that gave a tensor ends first.
            self.producers.setdefault(self._key(call.outputs), call)
            if _is_normalization(call):
                self.normalizations.setdefault(self._key(call.inputs), call)
        self.axes = ChannelAxes(self.calls, self._key)

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
            bounds=_bounds(call.activation),
            inputs=call.inputs,
            outputs=call.outputs,
            normalization=after.layer if after else None,
            by_batch=bool(after and after.training and after.layer.trainable),
            normalized=normalization is not None,
            layer=weights.layer if weights else None,
            layer_inputs=weights.inputs if weights else None,
            channel_axis=(
                normalization.layer.axis % len(call.outputs.shape)
                if normalization
                else self.axes.of(call)
            ),
            mask=self._mask(call),
        )

    def _key(self, tensor: Any) -> int:
        """The same for a tensor, its casts and what a transparent layer made of it."""
        key = id(self.origin(tensor))
        return self._key(self.taken[key]) if key in self.taken else key

    def _producer(self, tensor: Any) -> Call | None:
        call = self.producers.get(self._key(tensor))
        return call if call is not None and call.activation is None else None

    def _mask(self, call: Call) -> Any:
        # Keras gives a layer's outputs theirs after the call, others never.
        masks = map(_keras_internals.mask, (call.outputs, call.inputs, self.origin(call.inputs)))
        return next((mask for mask in masks if mask is not None), None)

    def _owner(self, position: int) -> Call | None:
        """The call of the layer whose `activation` this is, which ends after it."""
        path = _owner_path(self.calls[position])
        return next((c for c in self.calls[position + 1 :] if c.path == path), None)

    def _name(self, call: Call) -> str:
        name = path = path_name(_owner_path(call))
        repeats = 1
        while name in self.names:
            repeats += 1
            name = f"{path}#{repeats}"
        self.names.add(name)
        return name


def _owner_path(call: Call) -> tuple[keras.Operation, ...]:
    """Up to the layer whose `activation` was called, or else to the layer itself."""
    path = call.path
    inside = len(path) > 1 and getattr(path[-2], "activation", None) is call.layer
    return path[:-1] if inside else path


def _is_normalization(call: Call) -> bool:
    return isinstance(call.layer, keras.layers.BatchNormalization)


def _activation_name(activation: Any) -> str:
    inner = getattr(activation, "activation", activation)
    return getattr(inner, "__name__", type(inner).__name__)


def _bounds(activation: Any) -> activations.Bounds | None:
    try:
        return activations.bounds(activation)
    except ValueError:
        return None
