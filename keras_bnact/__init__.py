"""Batch normalization in the right place for bounded activations, in Keras 3.

Reference: "Batch Normalization and Bounded Activation Functions".

Importing this package imports Keras, with the backend that `KERAS_BACKEND` names, and registers its
layers, so that `keras.saving.load_model` finds them with no `custom_objects`.
"""

from keras_bnact import (
    activations,
    callbacks,
    layers,
    models,
    records,
    regularizers,
    reports,
    statistics,
)
from keras_bnact.exporting import export
from keras_bnact.layers import BoundedBlock
from keras_bnact.measuring import Histogram, measure, measure_gradients
from keras_bnact.rewriting import fold_batch_normalization, reorder

__version__ = "0.1.0"

__all__ = [
    "BoundedBlock",
    "Histogram",
    "activations",
    "callbacks",
    "export",
    "fold_batch_normalization",
    "layers",
    "measure",
    "measure_gradients",
    "models",
    "records",
    "regularizers",
    "reorder",
    "reports",
    "statistics",
]
