"""The network that a run's flags name."""

import inspect
import types

import keras
import numpy as np
import pytest
from keras import layers

from keras_bnact import BoundedBlock, models
from train import names, options
from train.training.network import build, operations_per_image


def test_operations_are_those_counted_by_hand():
    model = keras.Sequential([keras.Input((8, 8, 3))])
    convolution = layers.Conv2D(4, 3, strides=2, padding="same")
    model.add(BoundedBlock(convolution, "tanh", "swap"))
    model.add(layers.DepthwiseConv2D(3))
    model.add(layers.Flatten())
    model.add(layers.Dense(5))
    # 27 weights for each of 4 channels at 16 places; 9 for each of 4 at 4; 16 for each of 5.
    assert operations_per_image(model) == 2 * (27 * 4 * 16 + 9 * 4 * 4 + 16 * 5)


def test_operations_of_vgg16_11():
    # 200 epochs of 50,000 images, three passes: the 12.6 PFLOP that its flagfiles name.
    operations = operations_per_image(models.VGG16(11, classes=100))
    assert 3 * operations * 50_000 * 200 == pytest.approx(12.6e15, rel=0.01)


# Of a kernel with 9 * 16 inputs and 9 * 32 outputs.
DEVIATIONS = {
    "fan_in_uniform": (1 / (3 * 144)) ** 0.5,
    "glorot_uniform": (2 / (144 + 288)) ** 0.5,
    "glorot_normal": (2 / (144 + 288)) ** 0.5,
    "he_uniform": (2 / 144) ** 0.5,
    "he_normal": (2 / 144) ** 0.5,
    "lecun_uniform": (1 / 144) ** 0.5,
    "lecun_normal": (1 / 144) ** 0.5,
    # Columns of length 1.
    "orthogonal": (1 / 144) ** 0.5,
    "small_normal": 0.01,
}


@pytest.mark.parametrize("name", names.KERNEL_INITIALIZERS)
def test_initial_weights_are_those_that_the_flag_names(name):
    flags = options.parse([f"--kernel_initializer={name}", "--width=0.25", "--model=vgg16_8"])
    images = types.SimpleNamespace(mean=np.zeros(3), variance=np.ones(3), size=32, classes=10)
    kernel = build(flags, images).get_layer("conv3").layer.kernel
    assert kernel.shape == (3, 3, 16, 32)
    std = np.std(keras.ops.convert_to_numpy(kernel), dtype="float64")
    assert std == pytest.approx(DEVIATIONS[name], rel=0.05)


@pytest.mark.parametrize(
    ("name", "mean", "std"), [("zeros", 0, 0), ("ones", 1, 0), ("small_normal", 0, 0.01)]
)
def test_initial_biases_are_those_that_the_flag_names(name, mean, std):
    flags = options.parse([f"--bias_initializer={name}", "--width=0.25", "--model=vgg16_8"])
    images = types.SimpleNamespace(mean=np.zeros(3), variance=np.ones(3), size=32, classes=10)
    model = build(flags, images)
    biases = [model.get_layer(layer).layer.bias for layer in ("conv1", "conv3", "fc1")]
    values = np.concatenate([keras.ops.convert_to_numpy(bias) for bias in biases])
    # Of 176 values.
    assert values.mean() == pytest.approx(mean, abs=0.003)
    assert values.std() == pytest.approx(std, rel=0.25)


def test_initial_weights_are_the_networks_by_default():
    flags, signature = options.parse([]), inspect.signature(models.VGG16)
    for name, known in (
        ("kernel_initializer", names.KERNEL_INITIALIZERS),
        ("bias_initializer", names.BIAS_INITIALIZERS),
    ):
        assert known[flags[name].value] == signature.parameters[name].default
