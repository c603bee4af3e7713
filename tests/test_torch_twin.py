"""The network that `benchmarks.training` times on PyTorch, against Keras' steps."""

import functools

import keras
import pytest

if keras.backend.backend() != "torch":
    pytest.skip("of PyTorch: make test-torch", allow_module_level=True)

from benchmarks.torch_twin import Twin, evaluation_step, training_step
from keras_bnact import models

VGG = functools.partial(models.VGG16, 9)


@pytest.mark.parametrize(
    ("network", "order", "tolerance"),
    [
        # Batch normalization of fc1's nearly constant channels amplifies rounding.
        (VGG, "swap", 3e-4),
        (VGG, "convention", 1e-5),
        (VGG, "nobn", 1e-5),
        (models.MobileNet, "swap", 1e-5),
        (models.MobileNet, "convention", 1e-5),
        (models.MobileNet, "nobn", 1e-5),
    ],
)
def test_it_trains_and_evaluates_as_keras(network, order, tolerance, rng):
    model = network(order=order, width=0.1, classes=5)
    images = rng.normal(size=(24, 32, 32, 3)).astype("float32")
    labels = rng.integers(0, 5, 24)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.001, momentum=0.9), loss)
    twin = Twin(model)
    step = training_step(twin, images, labels, rate=0.001, momentum=0.9)
    for _ in range(4):
        model.reset_metrics()
        loss = float(model.train_on_batch(images, labels))
        assert step() == pytest.approx(loss, abs=tolerance)
    # PyTorch's moving variance is the unbiased one, of 24 elements a channel in dense layers.
    tolerance = 1e-3 if network is VGG and order != "nobn" else 1e-5
    evaluated = evaluation_step(twin, images, labels)()
    assert evaluated == pytest.approx(model.evaluate(images, labels, verbose=0), abs=tolerance)


def test_a_layer_without_a_twin_is_named():
    model = keras.Sequential([keras.Input((4,)), keras.layers.GaussianNoise(0.1, name="noise")])
    with pytest.raises(NotImplementedError, match="'noise' has no twin"):
        Twin(keras.Model(model.inputs, model.outputs))
