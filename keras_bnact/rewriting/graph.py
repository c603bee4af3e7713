"""A model's graph: which layers take what others give, and the same graph of other layers."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_bnact import _keras_internals
from keras_bnact._layer_kinds import has_own_code


@dataclasses.dataclass(frozen=True, eq=False)
class Call:
    """One call of an operation in a functional or Sequential model.

    Args:
        operation: The layer, or the operation of `keras.ops`.
        before: The calls whose outputs it takes, in order.
        arguments: What it was called with beside its inputs, by name.
        shape: That of its first output.
        is_output: Whether the model returns an output of it.
        after: The calls that take an output of it.
    """

    operation: keras.Operation
    before: list["Call"]
    arguments: Mapping[str, Any]
    shape: tuple[int | None, ...]
    is_output: bool
    after: list["Call"] = dataclasses.field(default_factory=list)

    @property
    def next(self) -> "Call | None":
        """The one call that takes what this one gives; None if there is not exactly one."""
        return self.after[0] if len(self.after) == 1 and not self.is_output else None


class Graph:
    """The calls of a model, from its inputs to its outputs; a model within it is one layer.

    Args:
        model: One that `is_graph`.
    """

    def __init__(self, model: keras.Model):
        functional = _keras_internals.functional(model)
        outputs = {id(tensor) for tensor in functional.outputs}
        makers: dict[int, Call] = {}
        self._calls_of: dict[int, list[Call]] = {}
        for node in _keras_internals.nodes(functional):
            call = Call(
                operation=node.operation,
                before=[makers[id(tensor)] for tensor in node.input_tensors],
                arguments=_arguments(node),
                shape=tuple(node.outputs[0].shape),
                is_output=any(id(tensor) in outputs for tensor in node.outputs),
            )
            makers |= {id(tensor): call for tensor in node.outputs}
            for other in call.before:
                other.after.append(call)
            self._calls_of.setdefault(id(node.operation), []).append(call)

    @property
    def operations(self) -> list[keras.Operation]:
        """Once each, in the order of their first calls."""
        return [calls[0].operation for calls in self._calls_of.values()]

    @property
    def normalizations(self) -> list[keras.layers.BatchNormalization]:
        """The batch normalizations among the operations."""
        return [x for x in self.operations if isinstance(x, keras.layers.BatchNormalization)]

    @property
    def normalizing(self) -> list[keras.layers.Layer]:
        """The layers that normalize within, in code of their own: blocks, wrappers, subclasses."""
        return [
            layer
            for layer in self.operations
            if isinstance(layer, keras.layers.Layer)
            and not is_graph(layer)
            and any(
                isinstance(inner, keras.layers.BatchNormalization)
                for inner in _keras_internals.layers(layer, include_self=False)
            )
        ]

    def calls_of(self, operation: keras.Operation) -> list[Call]:
        """All calls of an operation, several where it is shared."""
        return self._calls_of[id(operation)]


def _arguments(node: Any) -> dict[str, Any]:
    # Only tensors are given by position.
    inputs = node.input_tensors[:1]
    return {
        name: value
        for name, value in node.arguments.kwargs.items()
        if value is not None and not any(value is tensor for tensor in inputs)
    }


def graphs(model: keras.Model) -> Iterator[tuple[str, Graph]]:
    """The graph of a model and those of the models within it, each once.

    Args:
        model: One that `is_graph`.

    Yields:
        What stands before the names of a graph's layers where they are told, and the graph.

    Raises:
        ValueError: For a layer that several of them call themselves, so that it cannot be replaced
            for one and not for the other.
    """
    owners: dict[int, str] = {}
    models = [("", model)]
    for prefix, one in models:
        graph = Graph(one)
        for operation in graph.operations:
            if id(operation) not in owners:
                owners[id(operation)] = one.name
                if is_graph(operation):
                    models.append((f"{prefix}{operation.name}/", operation))
            elif not is_graph(operation) and not isinstance(operation, keras.layers.InputLayer):
                raise ValueError(
                    f"Layer '{operation.name}' is called by model '{one.name}' and by model "
                    f"'{owners[id(operation)]}', which are in one another: give each a layer of "
                    "its own."
                )
        yield prefix, graph


def is_graph(layer: Any) -> bool:
    """Whether a layer is a model whose layers' calls are known: functional, or Sequential."""
    return (
        isinstance(layer, keras.Model)
        and hasattr(_keras_internals.functional(layer), "operations")
        and not has_own_code(layer)
    )


def check_graph(model: Any) -> None:
    """Refuses what is no functional or built Sequential model.

    Raises:
        ValueError: For that.
    """
    if not isinstance(model, keras.Model):
        raise ValueError(f"Give a Keras model; got {model!r}.")
    if isinstance(model, keras.Sequential) and not model.built:
        raise ValueError(
            f"Model '{model.name}' is not built: give it a keras.Input, or call it on data first."
        )
    if not is_graph(model):
        raise ValueError(
            f"Model '{model.name}' is subclassed, and only of functional and Sequential models "
            "does Keras know how the layers are connected: give those that are within it, or use "
            "keras_bnact.BoundedBlock in its code."
        )


def described(call: Call) -> str:
    """What is called, for a sentence."""
    return f"'{call.operation.name}' ({type(call.operation).__name__})"


def in_own_code(layer: keras.layers.Layer) -> str:
    """Why the batch normalization of a layer that is `normalizing` is left."""
    return f"normalizes in its own code ({type(layer).__name__})"


def detour(call: Call, steps: Sequence[keras.Operation | None]) -> str | None:
    """Where what a call gives goes instead of through the steps alone, or None."""
    for step in steps:
        if call.next is None or call.next.operation is not step:
            goes = [f"'{other.operation.name}'" for other in call.after]
            goes += ["the model's output"] if call.is_output else []
            return f"'{call.operation.name}' goes to {' and '.join(goes)}"
        call = call.next
    return None


@dataclasses.dataclass(frozen=True)
class New:
    """A layer that a model did not have.

    Args:
        layer: Not built.
        values: Its variables' values, by their names; others begin as the layer makes them.
    """

    layer: keras.layers.Layer
    values: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Replacement:
    """What takes the place of a layer wherever it is called.

    Args:
        layers: Called in turn: new ones, and the model's own. None at all leaves the layer out.
        absorbed: The number of calls right after, one after another, that are left out as well.
    """

    layers: Sequence[New | keras.Operation] = ()
    absorbed: int = 0


def rebuilt(model: keras.Model, replacements: Mapping[int, Replacement]) -> keras.Model:
    """A model of the same graph and variables, but for some layers; it is not compiled.

    Args:
        model: One that `is_graph`; those within it are made anew as well.
        replacements: By the `id` of the layer that is replaced.

    Raises:
        ValueError: For a layer that its configuration does not make anew.
    """
    return _Rebuilding(replacements).model(model)


class _Rebuilding:
    """Makes a model, and the models within it, by calling other layers in the same graph."""

    def __init__(self, replacements: Mapping[int, Replacement]):
        self.replacements = replacements
        self.copies: dict[int, keras.Operation] = {}
        # Tensors after which so many calls more are left out.
        self.absorbing: dict[int, tuple[Any, int]] = {}
        self.valued: set[int] = set()

    def model(self, model: keras.Model) -> keras.Model:
        functional = _keras_internals.functional(model)
        # Else Keras would compile the new one from a configuration, which not every loss has.
        with _keras_internals.replaced(functional, "compiled", False):
            made = keras.models.clone_model(
                functional,
                input_tensors=_inputs(functional),
                clone_function=lambda operation: operation,
                call_function=self._call,
            )
        if functional is not model:
            made = keras.Sequential(made.layers, name=model.name)
        if not model.trainable:
            made.trainable = False
        return made

    def _call(self, operation: keras.Operation, *arguments: Any, **keywords: Any) -> Any:
        first = next(iter((*arguments, *keywords.values())), None)
        _, absorbed = self.absorbing.pop(id(first), (None, 0))
        if absorbed:
            return self._absorb(first, absorbed - 1)
        replacement = self.replacements.get(id(operation))
        if replacement is None:
            return self._called(operation, *arguments, **keywords)
        outputs = first
        for layer in replacement.layers:
            outputs = self._called(layer, outputs)
        return self._absorb(outputs, replacement.absorbed)

    def _absorb(self, tensor: Any, absorbed: int) -> Any:
        if absorbed:
            # With the tensor, whose id nothing else must get.
            self.absorbing[id(tensor)] = tensor, absorbed
        return tensor

    def _called(self, layer: Any, *arguments: Any, **keywords: Any) -> Any:
        made = layer.layer if isinstance(layer, New) else self._copy(layer)
        outputs = made(*arguments, **keywords)
        if id(made) not in self.valued:
            self.valued.add(id(made))
            if isinstance(layer, New):
                _give(made, layer.values)
            elif not is_graph(layer):
                _carry_over(layer, made)
        return outputs

    def _copy(self, operation: keras.Operation) -> keras.Operation:
        if id(operation) not in self.copies:
            copied = self.model(operation) if is_graph(operation) else anew(operation)
            self.copies[id(operation)] = copied
        return self.copies[id(operation)]


def values(layer: keras.layers.Layer) -> dict[str, np.ndarray]:
    """A layer's variables' values by their names within it, such as "kernel" or "conv/kernel"."""
    return {
        name: keras.ops.convert_to_numpy(variable.value)
        for name, variable in _variables(layer).items()
    }


def _variables(layer: keras.layers.Layer) -> dict[str, Any]:
    return {_name_within(layer, variable.path): variable for variable in layer.variables}


def _name_within(layer: keras.layers.Layer, path: str) -> str:
    # What stands before depends on when the layer was built.
    *_, owner, name = f"/{path}".split("/")
    return name if owner in ("", layer.name) else f"{owner}/{name}"


def _give(layer: keras.layers.Layer, values: Mapping[str, np.ndarray]) -> None:
    variables = _variables(layer)
    for name, value in values.items():
        variables[name].assign(value)


def _carry_over(old: keras.Operation, new: keras.Operation) -> None:
    olds, news = (getattr(layer, "variables", ()) for layer in (old, new))
    if [x.shape for x in olds] != [x.shape for x in news]:
        raise ValueError(
            f"Layer '{old.name}' ({type(old).__name__}) made anew from its get_config() has other "
            f"variables than it has: {len(news)} in place of {len(olds)}, or of other shapes."
        )
    for variable, made in zip(olds, news, strict=True):
        # On JAX one array would be the value of both, and gone when the first one trains.
        made.assign(keras.ops.copy(variable.value))


def anew(operation: keras.Operation, config: dict[str, Any] | None = None) -> keras.Operation:
    """Another one of the same configuration, or of the one that is given.

    Raises:
        ValueError: For one that its configuration does not make.
    """
    try:
        return type(operation).from_config(operation.get_config() if config is None else config)
    except Exception as error:
        raise ValueError(
            f"Layer '{operation.name}' ({type(operation).__name__}) cannot be made anew from its "
            f"get_config(): {error}"
        ) from error


def _inputs(model: keras.Model) -> Any:
    layers = {id(x.output): x for x in model.layers if isinstance(x, keras.layers.InputLayer)}

    def input_like(tensor: Any) -> Any:
        # A part of another model begins at tensors that no such layer gives.
        layer = layers.get(id(tensor))
        return keras.Input(
            batch_shape=tensor.shape,
            dtype=tensor.dtype,
            sparse=tensor.sparse,
            name=layer.name if layer else tensor.name,
            optional=bool(layer and layer.optional),
        )

    return keras.tree.map_structure(input_like, model.input)
