"""Running models in programs that are compiled once and kept as long as the model."""

import dataclasses
import inspect
import weakref
from collections.abc import Callable, Hashable
from typing import Any

import keras

# For each model its layers, and by key what was compiled for them.
_COMPILED: weakref.WeakKeyDictionary[keras.Model, tuple[Any, dict[Hashable, Any]]] = (
    weakref.WeakKeyDictionary()
)


def compiled_once(model: keras.Model, key: Hashable, make: Callable[[], Any]) -> Any:
    """What `make` gave when it was first called for this model and key.

    It is made anew once the model has other layers, or layers another `activation`. It must
    not refer to the model, which would then never be freed.
    """
    layers = [(id(layer), id(vars(layer).get("activation"))) for layer in model._flatten_layers()]
    known, made = _COMPILED.get(model, (None, {}))
    if layers != known:
        made = {}
        _COMPILED[model] = layers, made
    if key not in made:
        made[key] = make()
    return made[key]


@dataclasses.dataclass(frozen=True)
class Spec:
    """Shape, with None for any length, and type of an array."""

    shape: tuple[int | None, ...]
    dtype: str


def signature(batch: Any, other: Any = None) -> Any:
    """What a batch has in common with all batches to be expected.

    Args:
        batch: Arrays or tensors, in any nesting.
        other: The signature of earlier batches, in the same nesting.

    Returns:
        `Spec`s in the nesting of `batch`, whose number of examples is None, and so is every
        length that has differed.
    """

    def spec(array, old=None):
        shape = (None, *array.shape[1:])
        if old is not None:
            shape = tuple(a if a == b else None for a, b in zip(shape, old.shape, strict=True))
        return Spec(shape, keras.backend.standardize_dtype(array.dtype))

    return keras.tree.map_structure(spec, batch, *([] if other is None else [other]))


def forward(model: keras.Model, batch: Any, training: bool) -> Any:
    """The model's outputs, also if its `call` takes no `training`."""
    if "training" in inspect.signature(model.call).parameters:
        return model(batch, training=training)
    return model(batch)


def check_built(model: keras.Model) -> None:
    """Refuses a model that has no weights yet, or whose backend cannot be measured on."""
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"Models are measured on TensorFlow, and Keras' backend is "
            f"{keras.backend.backend()}: set KERAS_BACKEND=tensorflow."
        )
    if not model.built:
        raise ValueError(
            f"Model '{model.name}' is not built: call it on a batch, or give it an input shape, "
            "before it is measured."
        )
