"""Where a model's activations are: found by watching its layers while the model is traced.

Nothing of the model is rewritten. While `Watch.installed` lasts, its layers' `call` methods,
function-valued `activation` attributes and conversions of inputs are wrapped on the instances, and
put back however the block ends; in that time `Watch.recording` collects what the current thread
calls.
"""

import contextlib
import copy
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
# With which functional models cast what they are called with.
FUNCTIONAL_CASTS = "_convert_inputs_to_tensors"
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


class Recording:
    """What a model's layers did in one pass.

    Args:
        scope: What `Watch.scope` gave at its start.
        perturb: Called with the input of every activation for what to give it instead.

    Attributes:
        calls: In the order in which they ended.
        path: The layers that are being called now, from the outside.
    """

    def __init__(self, scope: Any, perturb: Callable[[Any], Any]):
        self.scope, self.perturb = scope, perturb
        self.calls: list[Call] = []
        self.path: list[keras.layers.Layer] = []
        # With what was made itself, whose id nothing else must get.
        self._origins: dict[int, tuple[Any, Any]] = {}

    def derive(self, made: Any, tensor: Any) -> Any:
        """Notes that `made` stands for the tensor: is a cast of it, say."""
        if made is not tensor and hasattr(tensor, "shape"):
            self._origins[id(made)] = made, tensor
        return made

    def origin(self, tensor: Any) -> Any:
        """What the tensor was derived from, in however many steps."""
        while id(tensor) in self._origins:
            _, tensor = self._origins[id(tensor)]
        return tensor


class Watch:
    """Watches what models' layers do.

    Args:
        scope: Called for what identifies the program that is being made. What a layer does in
            another one than its model does, such as the body of a loop, cannot be measured and is
            passed over.
    """

    def __init__(self, scope: Callable[[], Any]):
        self.scope = scope
        self._in_blocks: set[int] = set()
        self._local = threading.local()

    @property
    def _recording(self) -> Recording | None:
        return getattr(self._local, "recording", None)

    @contextlib.contextmanager
    def installed(self, model: keras.Model) -> Iterator[None]:
        """Wraps what is watched of a model; puts everything back at the end of the block."""
        layers = model._flatten_layers(include_self=False)
        self._in_blocks = {
            id(layer.activation) for layer in layers if isinstance(layer, BoundedBlock)
        }
        with contextlib.ExitStack() as originals:

            def replace(*arguments):
                originals.enter_context(_replaced(*arguments))

            for layer in layers:
                # What Keras calls in the place of `call` once a layer is quantized.
                quantized = getattr(layer, "quantization_mode", None) is not None
                name = "quantized_call" if quantized else "call"
                replace(layer, name, self._watched_call(layer, getattr(layer, name)))
                replace(layer, "_dtype_policy", self._watched_policy(layer.dtype_policy))
            for layer in [model, *layers]:
                if self._has_activation(layer):
                    function = self._watched_function(layer, layer.activation)
                    replace(layer, "activation", function)
                # A Sequential model has one within.
                functional = getattr(layer, "_functional", layer)
                casts = getattr(functional, FUNCTIONAL_CASTS, None)
                if casts is not None:
                    replace(functional, FUNCTIONAL_CASTS, self._watched_casts(casts))
            yield

    @contextlib.contextmanager
    def recording(self, perturb: Callable[[Any], Any] = lambda x: x) -> Iterator[Recording]:
        """Collects what this thread does."""
        self._local.recording = Recording(self.scope(), perturb)
        try:
            yield self._recording
        finally:
            del self._local.recording

    def sites(self, recording: Recording) -> list[Site]:
        """The activations that were called, in order."""
        finder = _Finder(recording)
        return [
            finder.site(position)
            for position, call in enumerate(recording.calls)
            if call.activation is not None
        ]

    def _watched_policy(self, policy: keras.DTypePolicy) -> keras.DTypePolicy:
        """One of the layer's own, since other models may have the same."""
        own, convert = copy.copy(policy), policy.convert_input

        def convert_input(x, *arguments, **keywords):
            made = convert(x, *arguments, **keywords)
            return made if self._recording is None else self._recording.derive(made, x)

        own.convert_input = convert_input
        return own

    def _watched_casts(self, function: Callable) -> Callable:
        def convert(tensors):
            made = function(tensors)
            if self._recording is not None:
                for one, tensor in zip(made, tensors, strict=True):
                    self._recording.derive(one, tensor)
            return made

        return convert

    def _watched_call(self, layer: keras.layers.Layer, function: Callable) -> Callable:
        activation = layer if self._is_activation(layer) else None

        def call(*arguments, **keywords):
            if self._recording is None:
                return function(*arguments, **keywords)
            self._recording.path.append(layer)
            try:
                return self._called(layer, activation, function, arguments, keywords)
            finally:
                self._recording.path.pop()

        return call

    def _watched_function(self, layer: keras.layers.Layer, function: Callable) -> Callable:
        def activation(*arguments, **keywords):
            if self._recording is None or isinstance(layer, LOOPS):
                return function(*arguments, **keywords)
            return self._called(layer, function, function, arguments, keywords)

        return activation

    def _called(self, layer, activation, function, arguments, keywords) -> Any:
        """Calls the function and records that."""
        recording = self._recording
        # The model itself is not among what it calls.
        path = tuple(recording.path) or (layer,)
        inputs = next(iter((*arguments, *keywords.values())), None)
        if not hasattr(inputs, "shape") or self.scope() != recording.scope:
            return function(*arguments, **keywords)
        if any(isinstance(o, LOOPS) for o in path) or any(map(self._is_activation, path[:-1])):
            activation = None
        if activation is not None:
            inputs = recording.derive(recording.perturb(inputs), inputs)
            if arguments:
                arguments = (inputs, *arguments[1:])
            else:
                keywords = keywords | {next(iter(keywords)): inputs}
        outputs = function(*arguments, **keywords)
        if hasattr(outputs, "shape"):
            if len(outputs.shape) < 2:
                activation = None
            training = keywords.get("training")
            recording.calls.append(Call(layer, path, activation, inputs, outputs, training))
        return outputs

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
