"""What differs between Keras' backends where models are measured: a module each, of equal names.

| name | what it is |
| --- | --- |
| `ANY_LENGTH` | whether one program takes batches of any length |
| `scope()` | identifies the program that is being made |
| `explore(function, within, model, specs)` | calls the function on no values, for what it notes |
| `compiled(function, within, model, specs, *arguments)` | a program that returns NumPy arrays |
| `channel_sums(terms, x, vectors, largest_batch)` | float64 sums over all axes but the last |
| `bincount(x, length)` | how often each integer below `length` is in `x` |
| `gradients(function, model)` | of a scalar by tensors within and by variables |
| `ordinary()` | a block in which a model computes as it does elsewhere |
| `placement(model)` | on which devices the model's variables are, as far as programs depend on it |
| `state_restored(model)` | a block after which the model's state is as it was |
| `replicas(model)` | on how many shares of a batch the function is called |
| `replicas_agree(model)` | whether all replicas have the same state |
| `sum_over_replicas(x)` | of what all replicas hold as `x` |

TensorFlow's have the docstrings.
"""

import importlib
from types import ModuleType

import keras

NAMES = ("tensorflow", "jax", "torch")


def current() -> ModuleType:
    """The module of Keras' backend.

    Raises:
        ValueError: For a backend on which models cannot be measured.
    """
    name = keras.backend.backend()
    if name not in NAMES:
        raise ValueError(
            f"Models are measured on {', '.join(NAMES[:-1])} or {NAMES[-1]}, and Keras' backend is "
            f"{name}: set KERAS_BACKEND to one of those."
        )
    return importlib.import_module(f"keras_bnact._backends.{name}")


def state(model: keras.Model) -> list[keras.Variable]:
    """What running a model in training changes: all variables but weights, also frozen ones."""
    layers = model._flatten_layers()
    weights = {id(weight) for layer in layers for weight in layer._trainable_variables}
    variables = [v for v in model.non_trainable_variables if id(v) not in weights]
    return variables + model.metrics_variables
