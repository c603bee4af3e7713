"""Which backend of Keras trains, and what it is asked for that it lacks; known without Keras."""

import os
from typing import Any

from train.errors import UsageError

NAMES = ("tensorflow", "jax")
# What only TensorFlow's loop can do, with the values that ask for nothing of the kind.
OF_TENSORFLOW = {
    "strategy": ("auto", "single"),
    "replicas": (None,),
    "deterministic": (False,),
    "checkpoint_every": (None,),
    "precision": ("float32", "tf32", "bfloat16"),
    "export": (None, "none"),
}
# Keras exports on JAX by means of TensorFlow, which need not be there.
DEFAULT_EXPORT = {"tensorflow": "saved_model", "jax": "none"}


def name() -> str:
    """That of `KERAS_BACKEND`; TensorFlow where nothing is said, also to Keras.

    Raises:
        UsageError: For one that no network is trained on.
    """
    chosen = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if chosen not in NAMES:
        raise UsageError(
            f"networks are trained on {' or '.join(NAMES)}, and KERAS_BACKEND is {chosen}: set it "
            "to one of those."
        )
    return chosen


def check(flags: Any) -> None:
    """Refuses flags that the backend has nothing for.

    Raises:
        UsageError: Naming the first.
    """
    if name() == "tensorflow":
        return
    for flag, accepted in OF_TENSORFLOW.items():
        if flags[flag].value not in accepted:
            given = f"--{flag}" if flags[flag].boolean else f"--{flag}={flags[flag].value}"
            raise UsageError(
                f"{given} goes with TensorFlow, and KERAS_BACKEND is {name()}: leave the flag out."
            )


def check_streaming(what: str) -> None:
    """Refuses images that do not fit in memory where they have to.

    Raises:
        UsageError: Which begins with `what`.
    """
    if name() != "tensorflow":
        raise UsageError(
            f"{what}: images of this size are read while training, which only TensorFlow does, "
            f"and KERAS_BACKEND is {name()}."
        )
