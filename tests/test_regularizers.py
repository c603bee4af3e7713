import keras
import numpy as np
import pytest
from differentiation import gradients

from keras_bnact.regularizers import WeightDecay


def test_gradient_is_weight_decay_times_the_parameter(rng):
    parameter = rng.normal(0, 1, (3, 4)).astype("float32")
    (gradient,) = gradients(WeightDecay(0.3), [parameter])
    np.testing.assert_allclose(gradient, 0.3 * parameter, rtol=1e-6)


def test_is_half_of_keras_l2(rng):
    parameter = rng.normal(0, 1, (3, 4)).astype("float32")
    ours = float(WeightDecay(0.3)(parameter))
    assert ours == pytest.approx(float(keras.regularizers.L2(0.15)(parameter)), rel=1e-6)


def test_is_restored_from_its_config():
    config = keras.regularizers.serialize(WeightDecay(0.3))
    assert keras.regularizers.deserialize(config).weight_decay == 0.3


@pytest.mark.parametrize("value", [-1e-4, float("nan"), float("inf")])
def test_a_wrong_coefficient_is_named(value):
    with pytest.raises(ValueError, match=f"got {value}"):
        WeightDecay(value)
