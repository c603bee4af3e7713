"""Where a model's activations are: found by watching its layers while the model is traced.

Nothing of the model is rewritten. While `Watch.installed` lasts, its layers' `call` methods and
function-valued `activation` attributes are wrapped on the instances, and put back however the
block ends; in that time `Watch.recording` collects what the current thread calls.
"""

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras

from keras_bnact import activations
from keras_bnact._names import matches
from keras_bnact.layers import BoundedBlock

ACTIVATION_LAYERS = (
    keras.layers.Activation,
    keras.layers.ELU,
    keras.layers.LeakyReLU,
    keras.layers.PReLU,
    keras.layers.ReLU,
)
# Functions that are not what the paper means by an activation.
LEFT_OUT = ("linear", "softmax", "log_softmax")
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
# What these call is called once for every time step.
LOOPS = (keras.layers.RNN, keras.layers.TimeDistributed)
DENSE_LAYERS = (keras.layers.Dense, keras.layers.EinsumDense)


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of a layer, or of the function in a layer's `activation`.

    Args:
        layer: The layer.
        path: The layers around it, from the outside, and itself.
        activation: The function, or the layer where that is an activation; None for others.
        inputs, outputs: The first argument, and what came back.
        training: The argument of that name, or None.
    """

    layer: keras.layers.Layer
    path: tuple[keras.layers.Layer, ...]
    activation: Callable | None
    inputs: Any
    outputs: Any
    training: bool | None


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


class Watch:
    """Watches what a model's layers do.

    Args:
        model: A Keras model.
        scope: Called for the graph that is being made. What a layer does in another one than
            its model does, such as the body of a loop, cannot be measured and is passed over.
        origin: Called with a tensor for the one that it is a cast of.
    """

    def __init__(self, model: keras.Model, scope: Callable[[], Any], origin: Callable[[Any], Any]):
        self.scope, self.origin = scope, origin
        self._model = model
        self._layers = model._flatten_layers(include_self=False)
        self._in_blocks = {
            id(layer.activation) for layer in self._layers if isinstance(layer, BoundedBlock)
        }
        self._local = threading.local()

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Wraps what is watched; puts everything back at the end of the block."""
        with contextlib.ExitStack() as originals:
            for layer in self._layers:
                # What Keras calls in the place of `call` once a layer is quantized.
                quantized = getattr(layer, "quantization_mode", None) is not None
                name = "quantized_call" if quantized else "call"
                watched = self._watched_call(layer, getattr(layer, name))
                originals.enter_context(_replaced(layer, name, watched))
            for layer in [self._model, *self._layers]:
                if self._has_activation(layer):
                    function = self._watched_function(layer, layer.activation)
                    originals.enter_context(_replaced(layer, "activation", function))
            yield

    @contextlib.contextmanager
    def recording(self) -> Iterator[list[Call]]:
        """Collects the calls of this thread, in the order in which they end."""
        self._local.path, self._local.scope = [], self.scope()
        self._local.calls = calls = []
        try:
            yield calls
        finally:
            del self._local.calls

    def sites(self, calls: Sequence[Call]) -> list[Site]:
        """The activations among recorded calls, in order."""
        finder = _Finder(calls, self.origin)
        return [
            finder.site(position)
            for position, call in enumerate(calls)
            if call.activation is not None
        ]

    def _watched_call(self, layer: keras.layers.Layer, function: Callable) -> Callable:
        activation = layer if self._is_activation(layer) else None

        def call(*arguments, **keywords):
            if not hasattr(self._local, "calls"):
                return function(*arguments, **keywords)
            self._local.path.append(layer)
            try:
                outputs = function(*arguments, **keywords)
                self._record(layer, activation, arguments, keywords, outputs)
            finally:
                self._local.path.pop()
            return outputs

        return call

    def _watched_function(self, layer: keras.layers.Layer, function: Callable) -> Callable:
        def activation(*arguments, **keywords):
            outputs = function(*arguments, **keywords)
            if hasattr(self._local, "calls") and not isinstance(layer, LOOPS):
                self._record(layer, function, arguments, keywords, outputs)
            return outputs

        return activation

    def _is_activation(self, layer: keras.layers.Layer) -> bool:
        known = isinstance(layer, ACTIVATION_LAYERS) or id(layer) in self._in_blocks
        return known and not _left_out(getattr(layer, "activation", None))

    def _has_activation(self, layer: keras.layers.Layer) -> bool:
        """Whether the layer is no activation and calls one: a function, not another layer."""
        function = vars(layer).get("activation")
        return (
            callable(function)
            and not isinstance(function, keras.layers.Layer)
            and not self._is_activation(layer)
            and not _left_out(function)
        )

    def _record(self, layer, activation, arguments, keywords, outputs) -> None:
        inputs = next(iter((*arguments, *keywords.values())), None)
        if not hasattr(outputs, "shape") or not hasattr(inputs, "shape"):
            return
        if self.scope() != self._local.scope:
            return
        # The model itself is not among what it calls.
        path = tuple(self._local.path) or (layer,)
        if any(isinstance(o, LOOPS) or self._is_activation(o) for o in path[:-1]):
            activation = None
        if len(outputs.shape) < 2:
            activation = None
        training = keywords.get("training")
        self._local.calls.append(Call(layer, path, activation, inputs, outputs, training))


class _Finder:
    """Makes sites of recorded calls."""

    def __init__(self, calls: Sequence[Call], origin: Callable[[Any], Any]):
        self.calls, self.origin = calls, origin
        self.producers: dict[int, Call] = {}
        self.normalizations: dict[int, Call] = {}
        self.taken: dict[int, Any] = {}
        self.names: set[str] = set()
        for call in calls:
            if isinstance(call.layer, TRANSPARENT) and call.inputs is not call.outputs:
                self.taken[id(origin(call.outputs))] = call.inputs
        for call in calls:
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


def select(sites: Sequence[Site], patterns: Sequence[str] | None) -> list[Site]:
    """The sites whose names match one of the patterns.

    By default a dense layer without batch normalization is left out of a model that normalizes
    others, as the paper leaves them out (figure 9).

    Args:
        sites: A model's.
        patterns: As `_names.patterns` gives them; None for the default.

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


@contextlib.contextmanager
def _replaced(layer: keras.layers.Layer, name: str, value: Any) -> Iterator[None]:
    # Past Keras' own __setattr__, which would track the value.
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


def _owner_path(call: Call) -> tuple[keras.layers.Layer, ...]:
    """Up to the layer whose `activation` was called, or else to the layer itself."""
    path = call.path
    inside = len(path) > 1 and getattr(path[-2], "activation", None) is call.layer
    return path[:-1] if inside else path


def _is_normalization(call: Call) -> bool:
    return isinstance(call.layer, keras.layers.BatchNormalization)


def _left_out(activation: Any) -> bool:
    return getattr(activation, "__name__", None) in LEFT_OUT


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
