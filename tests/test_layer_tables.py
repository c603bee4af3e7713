"""What a run measures of every network that it can train."""

import numpy as np
import pytest

from keras_bnact import measure, models
from train.names import MODELS
from train.training import layer_tables


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("vgg16_8", 32),
        ("vgg16_9", 64),
        ("vgg16_10", 64),
        ("vgg16_11", 32),
        ("mobilenet", 32),
        ("resnet20", 32),
    ],
)
def test_the_histograms_of_a_run_are_of_layers_that_it_measures(name, side):
    function, arguments = MODELS[name]
    network = getattr(models, function)(**arguments, width=0.02, input_shape=(side, side, 3))
    wanted = layer_tables.histograms(network)
    assert wanted == layer_tables.histograms(network)
    layers = measure(network, np.zeros((2, side, side, 3)), histograms=wanted)
    assert all(len(layer.histograms) >= 2 for layer in layers)
    shown = {h.layers for h in wanted if h.channels not in (None, "all")}
    assert len(shown) == (1 if name in ("vgg16_8", "vgg16_9", "vgg16_10") else 2)
