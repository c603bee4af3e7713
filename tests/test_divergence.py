"""Where values first are not finite, in a network that is made so."""

import numpy as np
import pytest
from digit_images import SMALL, digits

from keras_bnact.models import VGG16
from train import options
from train.data.image_set import ImageSet
from train.training import divergence, loop


def made(rate):
    train, test = digits(200), digits(77)
    mean, variance = train.channel_moments()
    images = ImageSet(train, test, classes=10, size=32, flip=False, mean=mean, variance=variance)
    flags = options.parse([*SMALL, f"--learning_rate={rate}"])
    return loop.for_backend().make(flags, images)


@pytest.mark.parametrize("name", ["conv2", "logits"])
def test_the_first_layer_is_named(name, rng):
    network = VGG16(8, width=0.05)
    images = rng.normal(size=(4, 32, 32, 3)).astype("float32")
    assert divergence.first_layer(network, images, training=True) is None
    variable = network.get_layer(name).trainable_variables[0]
    variable.assign(np.full(variable.shape, np.nan))
    assert divergence.first_layer(network, images, training=True) == name


def test_the_largest_weight_is_named():
    network = VGG16(8, width=0.05)
    kernel = network.get_layer("conv3").trainable_variables[0]
    kernel.assign(kernel * 0.0 - 3e7)
    path, value = divergence.largest_weight(network)
    assert (path, value) == (kernel.path, pytest.approx(3e7))


def test_training_again_stops_before_the_step():
    training = made(1e38)
    epoch, step, images = training.train_until_not_finite(range(3))
    # What the first step makes of the weights cannot be squared.
    assert (epoch, step) == (0, 1)
    assert images.shape == (32, 32, 32, 3)
    before = [np.array(variable) for variable in training.model.trainable_variables]
    assert 1e30 < max(np.abs(value).max() for value in before) < np.inf
    # From there on, that it is the first is known.
    epoch, step, again = training.train_until_not_finite(range(3), steps=1)
    assert (epoch, step) == (0, 1)
    np.testing.assert_array_equal(again, images)


def test_training_again_to_the_end_finds_nothing():
    training = made(0.01)
    assert training.train_until_not_finite(range(1)) is None


def test_what_goes_wrong_after_the_steps_is_found_on_the_test_images():
    training = made(0.01)
    logits = training.model.get_layer("logits").trainable_variables[0]
    train_one_by_one = training.train_until_not_finite

    def and_then_lose_a_weight(epochs, steps):
        assert train_one_by_one(epochs, steps) is None
        logits.assign(np.full(logits.shape, np.inf))

    training.train_until_not_finite = and_then_lose_a_weight
    tests = training.images.test.test_batches()
    found = divergence.find(training.flags, training, range(2), tests)
    assert (found.epoch, found.layer) == (2, "logits")
    assert "in none of its steps, taken again, but by what comes after them" in found.reason
    assert "after a largest weight of inf (logits/kernel)" in found.reason
    assert "weight decay alone" not in found.reason
