"""Batch normalization in the right place for bounded activations, in Keras 3.

Reference: "Batch Normalization and Bounded Activation Functions".

Importing this package imports neither Keras nor TensorFlow. Its names load when
they are first used, and its layers register themselves as soon as Keras is there,
so that `keras.saving.load_model` finds them with no `custom_objects`.
"""

import importlib
import importlib.abc
import importlib.util
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_bnact import (
        activations,
        callbacks,
        layers,
        models,
        records,
        regularizers,
        statistics,
    )
    from keras_bnact.export import export_saved_model
    from keras_bnact.gradients import measure_gradients
    from keras_bnact.histograms import Histogram
    from keras_bnact.layers import BoundedBlock
    from keras_bnact.measuring import measure

__version__ = "0.1.0"

__all__ = [
    "BoundedBlock",
    "Histogram",
    "activations",
    "callbacks",
    "export_saved_model",
    "layers",
    "measure",
    "measure_gradients",
    "models",
    "records",
    "regularizers",
    "statistics",
]

_MODULE_OF = {
    "BoundedBlock": "keras_bnact.layers",
    "Histogram": "keras_bnact.histograms",
    "export_saved_model": "keras_bnact.export",
    "measure": "keras_bnact.measuring",
    "measure_gradients": "keras_bnact.gradients",
}


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(importlib.import_module(_MODULE_OF[name]), name)
    if name in __all__:
        return importlib.import_module(f"keras_bnact.{name}")
    raise AttributeError(f"module 'keras_bnact' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _RegisterAfterKeras(importlib.abc.MetaPathFinder):
    """Imports what Keras must know of us right after Keras itself is imported."""

    searching = False

    def find_spec(self, fullname, path=None, target=None):
        if fullname != "keras" or self.searching:
            return None
        self.searching = True
        try:
            spec = importlib.util.find_spec("keras")
        finally:
            self.searching = False
        if spec is not None:
            execute = spec.loader.exec_module

            def execute_and_register(module):
                execute(module)
                sys.meta_path.remove(self)
                _register()

            spec.loader.exec_module = execute_and_register
        return spec


def _register() -> None:
    for module in ("layers", "regularizers"):
        importlib.import_module(f"keras_bnact.{module}")


if "keras" in sys.modules:
    _register()
else:
    sys.meta_path.insert(0, _RegisterAfterKeras())
