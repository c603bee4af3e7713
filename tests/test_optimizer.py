"""Optimizers, learning rates and losses that the flags name, against what papers write."""

import math

import keras
import numpy as np
import pytest
from digit_images import SMALL, digits

from keras_bnact.models import VGG16, ViT
from train import names, options
from train.data.image_set import ImageSet
from train.training import network
from train.training.loop import for_backend
from train.training.optimizer import make, mean_rate

STEPS = 10


def rates(arguments, epochs):
    """The learning rate of every step, as a step of training sees it."""
    flags = options.parse([f"--epochs={epochs}", *arguments])
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    optimizer, found = make(flags, STEPS, model), []
    optimizer.build(model.trainable_variables)
    for _ in range(epochs * STEPS):
        found.append(float(optimizer.learning_rate))
        optimizer.apply([np.zeros((1, 1), "float32"), np.zeros(1, "float32")])
    return flags, found


def test_steps_fall_to_a_tenth_after_their_epochs():
    flags, found = rates(["--learning_rate=0.3", "--learning_rate_drops=1,3"], epochs=4)
    expected = [0.3] * 10 + [0.03] * 20 + [0.003] * 10
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert [mean_rate(flags, STEPS, epoch) for epoch in range(4)] == [0.3, 0.03, 0.03, 0.003]


def test_a_rate_without_drops_stays():
    flags, found = rates(["--learning_rate=0.3"], epochs=2)
    np.testing.assert_allclose(found, 0.3, rtol=1e-6)
    assert mean_rate(flags, STEPS, 1) == 0.3


def test_a_warm_up_leaves_a_step():
    arguments = ["--learning_rate_schedule=cosine", "--warmup_fraction=0.99"]
    flags, found = rates(arguments, epochs=1)
    assert found[-1] == pytest.approx(0.01)
    assert mean_rate(flags, STEPS, 0) == pytest.approx(np.mean(found), rel=1e-5)


def test_a_checkpoint_has_all_that_a_step_changes_in_16_bits():
    keras.config.set_dtype_policy("mixed_float16")
    train = digits(64)
    mean, variance = train.channel_moments()
    images = ImageSet(train, train, classes=10, size=32, flip=False, mean=mean, variance=variance)
    loop = for_backend().make(options.parse([*SMALL, "--precision=float16"]), images)
    names = [variable.path for variable in loop.variables]
    if keras.backend.backend() == "tensorflow":
        assert any("dynamic_scale" in name for name in names)
        loop.model.train_on_batch(*next(iter(train.test_batches())))
        after = [*loop.model.variables, *loop.model.optimizer.variables]
        assert [variable.path for variable in after] == names


def test_a_cosine_goes_down_to_zero():
    arguments = ["--learning_rate=0.3", "--learning_rate_schedule=cosine"]
    flags, found = rates(arguments, epochs=4)
    expected = [0.15 * (1 + math.cos(math.pi * step / 40)) for step in range(40)]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-8)
    for epoch in range(4):
        mean = np.mean(expected[10 * epoch : 10 * epoch + 10])
        assert mean_rate(flags, STEPS, epoch) == pytest.approx(mean, rel=1e-5)


def test_a_warm_up_grows_from_zero():
    arguments = ["--learning_rate=0.3", "--learning_rate_schedule=cosine", "--warmup_fraction=0.2"]
    _, found = rates(arguments, epochs=5)
    warm = [0.3 * step / 10 for step in range(10)]
    cold = [0.15 * (1 + math.cos(math.pi * step / 40)) for step in range(40)]
    np.testing.assert_allclose(found, [*warm, *cold], rtol=1e-5, atol=1e-8)


def normalized():
    return keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(2), keras.layers.BatchNormalization()]
    )


def adamw(weight, gradients, rate, decay):
    """Algorithm 2 of Loshchilov and Hutter, arXiv:1711.05101, in Keras' convention.

    Its decay is multiplied by the learning rate, and epsilon stands beside the root.
    """
    first, second = np.zeros_like(weight), np.zeros_like(weight)
    for step, gradient in enumerate(gradients, start=1):
        weight = weight - rate * decay * weight
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        whole = math.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        weight = weight - rate * whole * first / (np.sqrt(second) + 1e-7)
    return weight


@pytest.mark.parametrize("gamma_decay", [None, "0"])
def test_adamw_decays_weights_apart_from_the_gradient(gamma_decay, rng):
    arguments = ["--optimizer=adamw", "--learning_rate=0.1", "--weight_decay=0.5"]
    arguments += [] if gamma_decay is None else [f"--gamma_weight_decay={gamma_decay}"]
    model = normalized()
    optimizer = make(options.parse(arguments), STEPS, model)
    optimizer.build(model.trainable_variables)
    before = [np.array(variable, "float64") for variable in model.trainable_variables]
    gradients = [[rng.normal(size=value.shape) for value in before] for _ in range(4)]
    for of_step in gradients:
        optimizer.apply([gradient.astype("float32") for gradient in of_step])
    for place, variable in enumerate(model.trainable_variables):
        free = variable.name == "gamma" and gamma_decay is not None
        of_steps = [of_step[place] for of_step in gradients]
        expected = adamw(before[place], of_steps, rate=0.1, decay=0.0 if free else 0.5)
        np.testing.assert_allclose(np.array(variable), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in names.OPTIMIZERS if name != "sgd"])
def test_weights_without_gradients_shrink_by_their_decay_alone(name):
    flags = options.parse([f"--optimizer={name}", "--learning_rate=0.1", "--weight_decay=0.5"])
    model = normalized()
    optimizer = make(flags, STEPS, model)
    optimizer.build(model.trainable_variables)
    before = [np.array(variable) for variable in model.trainable_variables]
    optimizer.apply([np.zeros(value.shape, "float32") for value in before])
    for variable, value in zip(model.trainable_variables, before, strict=True):
        np.testing.assert_allclose(np.array(variable), 0.95 * value, rtol=1e-6)


def test_what_has_no_penalty_does_not_decay_either():
    flags = options.parse(["--optimizer=adamw", "--weight_decay=0.5"])
    model = ViT("dynamic_tanh", depth=1, width=0.1)
    optimizer = make(flags, STEPS, model)
    optimizer.build(model.trainable_variables)
    before = {variable.path: np.array(variable) for variable in model.trainable_variables}
    optimizer.apply([np.zeros(value.shape, "float32") for value in before.values()])
    same = {v.name for v in model.trainable_variables if (np.array(v) == before[v.path]).all()}
    # Biases are zero, and stay.
    assert same - {"bias", "beta"} == {"alpha", "embeddings"}


def test_a_decay_is_either_a_penalty_or_the_optimizers():
    moments = {"mean": (0.0,) * 3, "variance": (1.0,) * 3}
    images = ImageSet(train=None, test=None, classes=10, size=32, flip=False, **moments)
    # By hand: half of the decay times all squares.
    built = network.build(options.parse([*SMALL, "--weight_decay=0.01"]), images)
    squares = sum(np.square(np.array(w, "float64")).sum() for w in built.trainable_weights)
    assert float(sum(built.losses)) == pytest.approx(0.005 * squares, rel=1e-5)
    assert network.build(options.parse([*SMALL, "--optimizer=adamw"]), images).losses == []


@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_the_loss_spreads_labels_over_all_classes(label_smoothing, rng):
    logits, labels = rng.normal(size=(6, 5)), rng.integers(5, size=6)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    targets = (1 - label_smoothing) * np.eye(5)[labels] + label_smoothing / 5
    expected = -(targets * np.log(shares)).sum(axis=1)
    loss = network.CrossEntropy(label_smoothing)
    given = labels, logits.astype("float32")
    np.testing.assert_allclose(keras.ops.convert_to_numpy(loss.call(*given)), expected, rtol=1e-5)
    assert float(loss(*given)) == pytest.approx(expected.mean(), rel=1e-5)


def test_metrics_are_without_label_smoothing(rng):
    model = VGG16(8, width=0.05)
    network.set_loss(model, None, label_smoothing=0.3)
    images, labels = rng.normal(size=(8, 32, 32, 3)).astype("float32"), np.arange(8)
    found = model.evaluate(images, labels, verbose=0, return_dict=True)
    logits = np.array(model(images), "float64")
    of_labels = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(8), labels]
    of_all = np.log(np.exp(logits).sum(axis=1)) - logits.mean(axis=1)
    assert found["cross_entropy"] == pytest.approx(of_labels.mean(), rel=1e-4)
    assert found["loss"] == pytest.approx((0.7 * of_labels + 0.3 * of_all).mean(), rel=1e-4)
