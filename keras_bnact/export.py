"""A SavedModel that a program without Keras or this package can serve."""

import os
from typing import Any

import keras
from keras import ops


def export_saved_model(model: keras.Model, path: str | os.PathLike) -> None:
    """Writes an image classifier as a SavedModel (TensorFlow backend only).

    The signature `serving_default` takes `images`, float32 of shape
    `(batch, *model.input_shape[1:])` with any batch size, and returns `{"logits": ...}`,
    float32 under every dtype policy. `tf.saved_model.load(path)` in a process that has
    TensorFlow and nothing of ours answers the same through `serve(images)`.

    Args:
        model: A built model with one image input and one output.
        path: Folder to write. Its parent must exist.

    Raises:
        ValueError: On another backend than TensorFlow, or for a model that has not one
            input of known shape beside the batch.

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
    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple) or None in shape[1:]:
        raise ValueError(
            f"A SavedModel needs a model with one input of known shape beside the batch; "
            f"model '{model.name}' has input shape {shape}."
        )
    import tensorflow as tf

    images = tf.TensorSpec((None, *shape[1:]), "float32", name="images")

    def serve(images: Any) -> dict[str, Any]:
        return {"logits": ops.cast(model(images, training=False), "float32")}

    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", serve, input_signature=[images])
    archive.write_out(os.fspath(path), verbose=False)
