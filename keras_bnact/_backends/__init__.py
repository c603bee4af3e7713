"""What differs between Keras' backends where models are measured: a `Backend` each."""

import importlib

import keras

from keras_bnact._backends.base import Backend

NAMES = ("tensorflow", "jax", "torch")


def current() -> Backend:
    """That of Keras.

    Raises:
        ValueError: For a backend on which models cannot be measured.
    """
    name = keras.backend.backend()
    if name not in NAMES:
        raise ValueError(
            f"Models are measured on {', '.join(NAMES[:-1])} or {NAMES[-1]}, and Keras' backend is "
            f"{name}: set KERAS_BACKEND to one of those."
        )
    return importlib.import_module(f"keras_bnact._backends.{name}").BACKEND
