"""Running models in programs that are compiled once and kept as long as the model."""

import contextlib
import dataclasses
import functools
import inspect
import itertools
import weakref
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any

import keras

from keras_bnact import _backends, _keras_internals
from keras_bnact.measuring.watching import Watch, is_traced

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
    model: keras.Model, stream: Iterable[Any], key: Hashable, make: Callable[["Signature"], Any]
) -> Iterator[tuple[Any, list[Any]]]:
    """The arrays of each batch of a stream, with what `make` gave for its `Signature`.

    See `compiled_once`. Where the backend's programs take any length, lengths that have differed,
    in this stream or an earlier one, may be any from then on.
    """
    widest = compiled_once(model, (key, "signatures"), dict)
    for batch in stream:
        arrays = [leaf for leaf in keras.tree.flatten(batch) if leaf is not None]
        signature = Signature.of(batch)
        if _backends.current().any_length:
            kind = signature.kind
            signature = widest[kind] = signature.widened(widest.get(kind))
        make_one = functools.partial(make, signature)
        yield compiled_once(model, (key, str(signature)), make_one), arrays


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
        self.settings += [_backends.current().placement(model), model.run_eagerly]

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

    @classmethod
    def of(cls, array: Any) -> "Spec":
        kind = getattr(array.dtype, "kind", "")
        dtype = "string" if kind in ("O", "S", "U") else array.dtype
        return cls(tuple(array.shape), keras.backend.standardize_dtype(dtype))


@dataclasses.dataclass(frozen=True)
class Signature:
    """What a program is made for.

    Args:
        specs: Of a batch's arrays, in order.
        nesting: The batch with their numbers in their place, and None where it has that.
    """

    specs: list[Spec]
    nesting: Any

    @classmethod
    def of(cls, batch: Any) -> "Signature":
        numbers = itertools.count()
        leaves = keras.tree.flatten(batch)
        # Not `map_structure`, which takes a dict in another order than `flatten` on PyTorch.
        nesting = keras.tree.pack_sequence_as(
            batch, [None if leaf is None else next(numbers) for leaf in leaves]
        )
        return cls([Spec.of(leaf) for leaf in leaves if leaf is not None], nesting)

    @property
    def kind(self) -> str:
        """The same where lengths alone differ."""
        return str((self.nesting, [(len(spec.shape), spec.dtype) for spec in self.specs]))

    def widened(self, other: "Signature | None") -> "Signature":
        """The same with None for the number of examples and every length that has differed."""

        def spec(one, another):
            same = (a if a == b else None for a, b in zip(one.shape, another.shape, strict=True))
            return Spec((None, *itertools.islice(same, 1, None)), one.dtype)

        return Signature(list(map(spec, self.specs, (other or self).specs)), self.nesting)

    def nested(self, arrays: Sequence[Any]) -> Any:
        """The batch of these arrays."""
        return keras.tree.map_structure(
            lambda number: None if number is None else arrays[number], self.nesting
        )


def forward(model: keras.Model, batch: Any, training: bool) -> Any:
    """The model's outputs, also if its `call` takes no `training`."""
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
    check_called(model, "measure one of them")
    if not model.built:
        raise ValueError(
            f"Model '{model.name}' is not built: call it on a batch, or give it an input shape, "
            "before it is measured."
        )
    if is_traced(model.call):
        raise ValueError(
            f"The `call` of model '{model.name}' is a function that is traced by itself, in which "
            "its layers are not seen: take tf.function or jax.jit off it; Keras compiles fit, "
            "evaluate and predict."
        )
    _keras_internals.check()


def check_called(model: keras.Model, advice: str) -> None:
    """Refuses a model that others are trained by, as a GAN may be, and that has no `call`."""
    if type(model).call is keras.Model.call:
        parts = [layer.name for layer in model.layers if isinstance(layer, keras.Model)]
        raise ValueError(
            f"Model '{model.name}' has no `call` and so no activations of its own, but the models "
            f"{', '.join(parts) or '(none)'}: {advice}."
        )


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
