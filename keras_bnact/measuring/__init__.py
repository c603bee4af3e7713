"""Measuring a model: what its layers do is watched while one pass over a batch is compiled.

From `measure` to a statistic: `batches` reads the data; `programs` keeps a compiled pass for each
kind of batch; while one is traced, `watching` records what layers call and `sites` finds the
activations in that; `sums` and `histograms` reduce each activation, in the program, by what
`keras_bnact._backends` has for it; the results of batches and replicas are merged, and
`keras_bnact.statistics` makes saturation, skewness and sparsity of them. `forward` is that pass,
`gradients` the one of training. In a run, `train.training.driver` calls both and writes CSV files,
which `analysis` reads and draws.
"""

from keras_bnact.measuring.forward import measure
from keras_bnact.measuring.gradients import (
    LayerGradients,
    ModelGradients,
    measure_gradients,
)
from keras_bnact.measuring.histograms import Histogram

__all__ = ["Histogram", "LayerGradients", "ModelGradients", "measure", "measure_gradients"]
