"""Starts Keras and its backend: quietly, and as the flags ask for."""

import random
from typing import Any

from train import native_messages
from train.names import PRECISIONS


def start(flags: Any) -> None:
    """Imports both; sets devices, seed and precision.

    Raises:
        UsageError: If the devices cannot be had.
    """
    with native_messages.suppressed():
        from train.training import loop

        loop.for_backend().start(flags)

        import keras
    keras.config.set_dtype_policy(PRECISIONS[flags.precision])
    if flags.precision == "float64":
        # What losses and metrics are computed in.
        keras.config.set_floatx("float64")
    # What Keras' initializers take their seeds from; its own function would import TensorFlow on
    # JAX, too. All else is drawn from seeds of its own.
    random.seed(flags.seed)
