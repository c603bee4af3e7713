"""A SavedModel that a program without Keras or this package can serve."""

import os
from typing import Any

import keras
from keras import ops, tree

from keras_bnact import _keras_internals


def export_saved_model(model: keras.Model, path: str | os.PathLike) -> None:
    """Writes a model as a SavedModel (TensorFlow backend only).

    The signature `serving_default` takes the model's inputs by the names of its `keras.Input`s, of
    their dtypes and shapes with any batch size, and returns a dictionary: the model's own if it
    returns one, else its outputs by the names of the layers that make them. With the networks of
    `keras_bnact.models` these are `images` and `logits`. Floats that come out are float32 under
    every dtype policy. `tf.saved_model.load(path)` in a process that has TensorFlow and nothing of
    ours answers the same through `serve(inputs)`, called as the model is.

    Args:
        model: A functional or a built Sequential model.
        path: Folder to write. Its parent must exist.

    Raises:
        ValueError: On another backend than TensorFlow, for a subclassed model or one that is not
            built, and for outputs of the same name.

    Example:

    >>> import tempfile
    >>> import numpy as np
    >>> import tensorflow as tf
    >>> import keras_bnact
    >>> model = keras_bnact.models.VGG16(8, width=0.05)
    >>> path = tempfile.mkdtemp()
    >>> keras_bnact.export_saved_model(model, path)
    >>> served = tf.saved_model.load(path).signatures["serving_default"]
    >>> served(images=tf.zeros((2, 32, 32, 3)))["logits"].shape
    TensorShape([2, 10])
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"A SavedModel is TensorFlow's; the backend is {keras.backend.backend()}: "
            "save the model as .keras and export it with KERAS_BACKEND=tensorflow."
        )
    functional = _keras_internals.functional(model)
    # Which a model that is not functional lacks, as a Sequential one does until it is built.
    names = getattr(functional, "output_names", None)
    if names is None:
        raise ValueError(
            f"A SavedModel needs a functional or a built Sequential model, and model "
            f"'{model.name}' is neither: give it a keras.Input, or call its own export(path)."
        )
    if not isinstance(functional.output, dict) and len({*names}) < len(names):
        raise ValueError(
            f"Outputs of model '{model.name}' have the same name ({', '.join(names)}): give the "
            "model a dictionary of outputs."
        )
    import tensorflow as tf

    def serve(inputs: Any) -> dict[str, Any]:
        outputs = model(inputs, training=False)
        if not isinstance(outputs, dict):
            outputs = dict(zip(names, tree.flatten(outputs), strict=True))
        return tree.map_structure(_float32, outputs)

    specs = tree.map_structure(
        lambda x: tf.TensorSpec((None, *x.shape[1:]), x.dtype, name=x.name), functional.input
    )
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", serve, input_signature=[specs])
    archive.write_out(os.fspath(path), verbose=False)


def _float32(output: Any) -> Any:
    return ops.cast(output, "float32") if keras.backend.is_float_dtype(output.dtype) else output
