"""The network that a run's flags name."""

import keras
import pytest
from keras import layers

from keras_bnact import BoundedBlock, models
from train.network import operations_per_image


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
