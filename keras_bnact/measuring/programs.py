"""Running models in programs that are compiled once and kept as long as the model."""

import contextlib
import dataclasses
import functools
import inspect
import itertools
import weakref
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any

import keras

from keras_bnact import _backends, _keras_internals
from keras_bnact.measuring.watching import Watch

# For each model what it was made of, and by key what was compiled for that.
_COMPILED: weakref.WeakKeyDictionary[keras.Model, tuple["_Parts", dict[Hashable, Any]]] = (
    weakref.WeakKeyDictionary()
)


def compiled_once(model: keras.Model, key: Hashable, make: Callable[[], Any]) -> Any:
    """What `make` gave when it was first called for this model and key.

    It is made anew once `model.compile` was called, or the model has other layers or weights, or
    a layer another `activation`, dtype policy, quantization or `trainable`. It must not refer to
    the model, which would then never be freed.
    """
    parts = _Parts(model)
    known, made = _COMPILED.get(model, (None, {}))
    if known is None or not known.same_as(parts):
        made = {}
        _COMPILED[model] = parts, made
    if key not in made:
        made[key] = make()
    return made[key]


def programs(
    model: keras.Model, stream: Iterable[Any], key: Hashable, make: Callable[[Any], Any]
) -> Iterator[tuple[Any, Any]]:
    """Each batch of a stream with what `make` gave for its `signature`, see `compiled_once`.

    Where the backend's programs take any length, lengths that have differed, in this stream or an
    earlier one, may be any from then on.
    """
    widest = compiled_once(model, (key, "signatures"), dict)
    for batch in stream:
        specs = signature(batch)
        if _backends.current().any_length:
            kind = str(keras.tree.map_structure(lambda spec: (len(spec.shape), spec.dtype), specs))
            specs = widest[kind] = _widened(specs, widest.get(kind))
        yield compiled_once(model, (key, str(specs)), functools.partial(make, specs)), batch


class _Parts:
    """What a model's compiled functions depend on."""

    def __init__(self, model: keras.Model):
        layers = _keras_internals.layers(model)
        activations = [vars(layer).get("activation") for layer in layers]
        objects = [*layers, *model.weights, *filter(callable, activations)]
        # A method is a new object each time.
        objects += [part.__self__ for part in objects if inspect.ismethod(part)]
        objects = [getattr(part, "__func__", part) for part in objects]
        # Made anew by `model.compile`.
        objects += [_keras_internals.compiled_loss(model), getattr(model, "optimizer", None)]
        # Weak: the parts of a model may refer to it.
        self.objects = [weakref.ref(part) for part in objects if part is not None]
        self.settings: list[Any] = [
            (layer.dtype_policy.name, getattr(layer, "quantization_mode", None), layer.trainable)
            for layer in layers
        ]
        self.settings += [name for name in activations if isinstance(name, str)]
        self.settings.append(_backends.current().placement(model))

    def same_as(self, others: "_Parts") -> bool:
        """Whether these are still there and the same."""
        return (
            self.settings == others.settings
            and len(self.objects) == len(others.objects)
            and all(a() is b() for a, b in zip(self.objects, others.objects, strict=True))
        )


@dataclasses.dataclass(frozen=True)
class Spec:
    """Shape, with None for any length, and type of an array."""

    shape: tuple[int | None, ...]
    dtype: str


def signature(batch: Any) -> Any:
    """The `Spec`s of a batch's arrays or tensors, in its nesting."""
    return keras.tree.map_structure(
        lambda array: Spec(tuple(array.shape), keras.backend.standardize_dtype(array.dtype)), batch
    )


def _widened(specs: Any, other: Any) -> Any:
    """The same with None for the number of examples and for every length that has differed.

    Args:
        specs: A batch's.
        other: Those of earlier batches, in the same nesting, or None.
    """

    def widened(spec, old):
        same = (a if a == b else None for a, b in zip(spec.shape, old.shape, strict=True))
        return Spec((None, *itertools.islice(same, 1, None)), spec.dtype)

    return keras.tree.map_structure(widened, specs, specs if other is None else other)


def forward(model: keras.Model, batch: Any, training: bool) -> Any:
    """The model's outputs, also if its `call` takes no `training`."""
    expected = getattr(model, "inputs", None)
    given = keras.tree.flatten(batch)
    if expected and len(given) != len(expected):
        raise ValueError(
            f"Model '{model.name}' takes {len(expected)} inputs, and a batch of the data has "
            f"{len(given)}. A list is taken for several inputs, not for batches."
        )
    if "training" in inspect.signature(model.call).parameters:
        return model(batch, training=training)
    return model(batch)


def check_built(model: keras.Model) -> None:
    """Refuses what is no model or has no weights yet, and a Keras that is not known."""
    if not isinstance(model, keras.Model):
        raise ValueError(
            f"Give a Keras model; got {type(model).__name__}. A saved one is loaded by "
            "keras.saving.load_model."
        )
    if not model.built:
        raise ValueError(
            f"Model '{model.name}' is not built: call it on a batch, or give it an input shape, "
            "before it is measured."
        )
    _keras_internals.check()


@contextlib.contextmanager
def watched(watch: Watch, model: keras.Model) -> Iterator[None]:
    """Has a model's layers watched, and its penalties left out, for the length of the block."""
    with watch.installed(model), _without_penalties(model):
        yield


@contextlib.contextmanager
def _without_penalties(model: keras.Model) -> Iterator[None]:
    """Takes weight and activity regularizers off the model for the length of the block."""
    holders = [(variable, "regularizer") for variable in model.weights]
    holders += [(layer, "activity_regularizer") for layer in _keras_internals.layers(model)]
    old = [(holder, name, getattr(holder, name, None)) for holder, name in holders]
    try:
        for holder, name, regularizer in old:
            if regularizer is not None:
                setattr(holder, name, None)
        yield
    finally:
        for holder, name, regularizer in old:
            if regularizer is not None:
                setattr(holder, name, regularizer)
