"""What a model's layers do, watched while the model is traced.

Nothing of the model is rewritten. While `Watch.installed` lasts, the `call` methods of its layers
and of the operations in a functional model, function-valued `activation` attributes and conversions
of inputs are wrapped on the instances, and put back however the block ends; in that time
`Watch.recording` collects what the current thread calls.
"""

import contextlib
import copy
import dataclasses
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras

from keras_bnact import _keras_internals
from keras_bnact._layer_kinds import (
    ACTIVATION_LAYERS,
    activation_of,
    has_own_code,
    is_left_out,
)
from keras_bnact.layers import BoundedBlock

# What these call is called once for every time step.
LOOPS = (keras.layers.RNN, keras.layers.TimeDistributed)
# Why what is called is not measured.
IN_A_LOOP = "in a loop over time steps"
TRACED_APART = "in a function that is traced by itself"
OWN_CODE = "what its own code calls beside layers"


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of a layer, of an operation, or of the function in a layer's `activation`.

    Args:
        layer: The layer or operation.
        path: The layers around it, from the outside, and itself.
        activation: The function, or the layer where that is an activation; None for others.
        inputs, outputs: The first argument, and what came back, or one tensor of that.
        tensors: All tensors among the arguments.
        training: The argument of that name, or None.
    """

    layer: keras.Operation
    path: tuple[keras.Operation, ...]
    activation: Callable | None
    inputs: Any
    outputs: Any
    tensors: tuple[Any, ...]
    training: bool | None


class Recording:
    """What a model's layers did in one pass.

    Args:
        scope: What `Watch.scope` gave at its start.
        perturb: Called with the input of every activation for what to give it instead.

    Attributes:
        calls: In the order in which they ended.
        path: The layers that are being called now, from the outside.
        unseen: Names of what was called and cannot be measured, with the reason.
    """

    def __init__(self, scope: Any, perturb: Callable[[Any], Any]):
        self.scope, self.perturb = scope, perturb
        self.calls: list[Call] = []
        self.path: list[keras.Operation] = []
        self.unseen: dict[str, str] = {}
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
        layers = _keras_internals.layers(model, include_self=False)
        self._in_blocks = {
            id(layer.activation) for layer in layers if isinstance(layer, BoundedBlock)
        }
        with contextlib.ExitStack() as originals:

            def replace(*arguments):
                originals.enter_context(_keras_internals.replaced(*arguments))

            for layer in layers:
                # What Keras calls in the place of `call` once a layer is quantized.
                quantized = getattr(layer, "quantization_mode", None) is not None
                name = "quantized_call" if quantized else "call"
                replace(layer, name, self._watched_call(layer, getattr(layer, name)))
                policy = self._watched_policy(layer.dtype_policy)
                replace(layer, _keras_internals.DTYPE_POLICY, policy)
            for layer in [model, *layers]:
                if self._has_activation(layer):
                    function = self._watched_function(layer, layer.activation)
                    replace(layer, "activation", function)
                functional = _keras_internals.functional(layer)
                # Other layers and models have none of these.
                casts = getattr(functional, _keras_internals.INPUT_CASTS, None)
                if casts is not None:
                    replace(functional, _keras_internals.INPUT_CASTS, self._watched_casts(casts))
                for operation in getattr(functional, "operations", ()):
                    if not isinstance(operation, keras.layers.Layer):
                        replace(operation, "call", self._watched_call(operation, operation.call))
            yield

    @contextlib.contextmanager
    def recording(self, perturb: Callable[[Any], Any] = lambda x: x) -> Iterator[Recording]:
        """Collects what this thread does."""
        self._local.recording = recording = Recording(self.scope(), perturb)
        try:
            yield recording
        finally:
            del self._local.recording

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

    def _watched_call(self, layer: keras.Operation, function: Callable) -> Callable:
        activation = layer if self._is_activation(layer) else activation_of(layer)

        def call(*arguments, **keywords):
            recording = self._recording
            if recording is None:
                return function(*arguments, **keywords)
            recording.path.append(layer)
            if is_traced(function):
                recording.unseen[path_name(recording.path)] = TRACED_APART
            elif has_own_code(layer):
                recording.unseen[type(layer).__name__] = OWN_CODE
            try:
                return self._called(recording, layer, activation, function, arguments, keywords)
            finally:
                recording.path.pop()

        return call

    def _watched_function(self, layer: keras.layers.Layer, function: Callable) -> Callable:
        def activation(*arguments, **keywords):
            recording = self._recording
            if recording is None:
                return function(*arguments, **keywords)
            return self._called(recording, layer, function, function, arguments, keywords)

        return activation

    def _called(self, recording, layer, activation, function, arguments, keywords) -> Any:
        """Calls the function and records that."""
        # The model itself is not among what it calls.
        path = tuple(recording.path) or (layer,)
        inputs = next(iter((*arguments, *keywords.values())), None)
        if activation is not None and not self._is_seen(recording, path):
            activation = None
        if self.scope() != recording.scope:
            return function(*arguments, **keywords)
        if activation is not None and hasattr(inputs, "shape"):
            inputs = recording.derive(recording.perturb(inputs), inputs)
            if arguments:
                arguments = (inputs, *arguments[1:])
            else:
                keywords = keywords | {next(iter(keywords)): inputs}
        outputs = function(*arguments, **keywords)
        if len(getattr(outputs, "shape", ())) < 2 or not hasattr(inputs, "shape"):
            activation = None
        tensors = keras.tree.flatten([arguments, keywords])
        tensors = tuple(tensor for tensor in tensors if hasattr(tensor, "shape"))
        training = keywords.get("training")
        for output in keras.tree.flatten(outputs):
            if hasattr(output, "shape"):
                call = Call(layer, path, activation, inputs, output, tensors, training)
                recording.calls.append(call)
        return outputs

    def _is_seen(self, recording, path) -> bool:
        """Whether the activation that is called now can be measured; notes where it cannot."""
        loop = next((n for n, layer in enumerate(path) if isinstance(layer, LOOPS)), None)
        if loop is not None:
            recording.unseen[path_name(path[: loop + 1])] = IN_A_LOOP
        elif self.scope() != recording.scope:
            recording.unseen[path_name(path)] = TRACED_APART
        else:
            # Of an activation within another the outer one is measured.
            return not any(map(self._is_activation, path[:-1]))
        return False

    def _is_activation(self, layer: keras.Operation) -> bool:
        known = isinstance(layer, ACTIVATION_LAYERS) or id(layer) in self._in_blocks
        return known and not is_left_out(getattr(layer, "activation", None))

    def _has_activation(self, layer: keras.layers.Layer) -> bool:
        """Whether the layer is no activation and calls one: a function, not another layer."""
        function = vars(layer).get("activation")
        return (
            callable(function)
            and not isinstance(function, keras.layers.Layer)
            and not self._is_activation(layer)
            and not is_left_out(function)
        )


def path_name(path: Iterable[keras.Operation]) -> str:
    """A layer's name after those of the layers around it."""
    return "/".join(layer.name for layer in path)


def is_traced(function: Callable) -> bool:
    """Whether it is a program, of `tf.function` or `jax.jit`, that runs without its Python code."""
    return hasattr(function, "get_concrete_function") or hasattr(function, "lower")
