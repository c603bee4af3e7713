"""`measure` against the paper's own algorithms, on a trained network."""

import algorithms
import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

from keras_bnact import measure
from keras_bnact.models import VGG16


@pytest.mark.tensorflow
@pytest.mark.parametrize(("order", "activation"), [("convention", "tanh"), ("swap", "lecun_tanh")])
def test_the_papers_algorithms_agree(order, activation):
    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8, 1).repeat(4, 1).repeat(4, 2).repeat(3, 3) / 8.0 - 1.0
    images = images.astype("float32")
    model = VGG16(8, activation, order, width=0.15)
    model.compile(
        keras.optimizers.SGD(0.01, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    history = model.fit(images, labels, batch_size=64, epochs=2, verbose=0).history
    assert history["accuracy"][-1] > 0.7
    images = images[:500]
    batches = [images[i : i + 64] for i in range(0, 500, 64)]
    get_activation, get_block = algorithms.getters(model)
    skewness = algorithms.algorithm_1(batches, get_activation, len(images))
    saturation, empirical = (
        algorithms.algorithm_2(
            batches, get_activation, get_block, len(images), empirical, activation == "lecun_tanh"
        )
        for empirical in (False, True)
    )
    layers = measure(model, images, batch_size=64)
    assert len(layers) == 7
    # The algorithms add up in float32.
    np.testing.assert_allclose([x.saturation for x in layers], saturation, rtol=1e-5)
    np.testing.assert_allclose([x.empirical_saturation for x in layers], empirical, rtol=1e-5)
    np.testing.assert_allclose([x.skewness for x in layers], skewness, rtol=1e-4)
