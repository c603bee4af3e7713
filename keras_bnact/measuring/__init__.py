"""Measuring a model: what its layers do is watched while one pass over a batch is compiled.

From `measure` to a figure: `batches` reads the data; `programs` keeps a compiled pass for each kind
of batch; while one is traced, `watching` records what layers call and `sites` finds the activations
in that; `sums` and `histograms` reduce each activation, in the program; the results of batches and
replicas are merged, and `keras_bnact.statistics` makes figures of them. `forward` is that pass,
`gradients` the one of training.
"""

from keras_bnact.measuring.forward import measure
from keras_bnact.measuring.gradients import (
    LayerGradients,
    ModelGradients,
    measure_gradients,
)
from keras_bnact.measuring.histograms import Histogram

__all__ = ["Histogram", "LayerGradients", "ModelGradients", "measure", "measure_gradients"]
