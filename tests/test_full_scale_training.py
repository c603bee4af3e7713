"""The epochs and runs of `examples.full_scale` against NumPy and TensorFlow."""

import dataclasses
import json

import keras
import numpy as np
import pytest

if keras.backend.backend() != "jax":
    pytest.skip("of JAX: make test-jax", allow_module_level=True)

import jax
from digit_images import SMALL, digits

from examples.full_scale import runs, training
from examples.full_scale.images import Images
from keras_bnact import measure
from train import network, options
from train.datasets import ImageSet
from train.run_directory import RunDirectory


@pytest.fixture
def image_set(rng):
    train, test = digits(200), digits(77)
    # Where neighbours are alike, rounding decides which of them a pooling takes.
    noise = rng.integers(0, 128, train.images.shape)
    train = Images((train.images // 2 + noise).astype("uint8"), train.labels)
    mean, variance = train.channel_moments()
    return ImageSet(train, test, classes=10, size=32, flip=False, mean=mean, variance=variance)


def make_trainer(flags, image_set, **keywords):
    model = network.build(flags, image_set)
    steps = len(image_set.train) // flags.batch_size
    optimizer = training.make_optimizer(flags, steps)
    return training.Trainer(model, optimizer, image_set, flags.batch_size, **keywords)


def test_an_epoch_in_one_program_is_its_steps_one_by_one(image_set):
    flags = options.parse([*SMALL, "--learning_rate=0.01"])
    keras.utils.set_random_seed(1)
    trainers = [make_trainer(flags, image_set, whole_epochs=whole) for whole in (True, False)]
    trainers[1].model.set_weights(trainers[0].model.get_weights())
    states = [trainer.state() for trainer in trainers]
    for epoch in range(2):
        pairs = [
            trainer.epoch(state, 7, epoch) for trainer, state in zip(trainers, states, strict=True)
        ]
        states = [state for state, _ in pairs]
        (one, other) = (figures for _, figures in pairs)
        np.testing.assert_allclose(one, other, rtol=1e-4)
    for one, other in zip(*map(jax.tree.leaves, states), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_an_epoch_trains_on_the_batches_that_gradients_are_measured_on(image_set):
    flags = options.parse([*SMALL, "--learning_rate=0.01"])
    trainer = make_trainer(flags, dataclasses.replace(image_set, flip=True))
    state, step, losses = trainer.state(), jax.jit(trainer.step), []
    for batch in image_set.train.training_batches(32, range(3, 4), seed=7, flip=True):
        state, figures = step(state, *batch)
        losses.append(figures.loss)
    _, figures = trainer.epoch(trainer.state(), seed=7, number=3)
    assert figures.loss == pytest.approx(np.mean(losses), rel=1e-5)


# All 77 at once, and batches of which the last is padded.
@pytest.mark.parametrize("batch_size", [500, 20])
def test_figures_on_the_test_images_are_numpys(batch_size, image_set, monkeypatch):
    monkeypatch.setattr(training, "TEST_BATCH_SIZE", batch_size)
    flags = options.parse([*SMALL, "--weight_decay=0.01"])
    trainer = make_trainer(flags, image_set)
    logits = np.asarray(trainer.model(image_set.test.images), "float64")
    labels = image_set.test.labels
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponents / exponents.sum(axis=1, keepdims=True)
    cross_entropy = -np.log(probabilities[np.arange(len(labels)), labels]).mean()
    penalty = sum(
        0.005 * np.square(np.asarray(w, "float64")).sum() for w in trainer.model.trainable_weights
    )
    figures = trainer.evaluate(trainer.state(), trainer.judged)
    assert figures.cross_entropy == pytest.approx(cross_entropy, rel=1e-5)
    assert figures.loss == pytest.approx(cross_entropy + penalty, rel=1e-5)
    assert figures.accuracy == pytest.approx((logits.argmax(axis=1) == labels).mean(), rel=1e-5)


TENSORFLOW = """
import json, sys
import keras, numpy as np
from train import network, options
from train.datasets import ImageSet
from train.schedule import learning_rate

given = np.load(sys.argv[1])
flags = options.parse(json.loads(sys.argv[2]))
images = ImageSet(None, None, 10, 32, False, None, tuple(given["mean"]), tuple(given["variance"]))
model = network.build(flags, images)
network.set_loss(model, keras.optimizers.SGD(0.0, momentum=flags.momentum))
model.set_weights([given[f"weight{i}"] for i in range(len(model.weights))])
losses = []
for step, (x, y) in enumerate(zip(given["x"], given["y"])):
    model.optimizer.learning_rate = learning_rate(
        flags.learning_rate, flags.learning_rate_drops, step // 10
    )
    model.reset_metrics()
    losses.append(float(model.train_on_batch(x, y, return_dict=True)["loss"]))
print(json.dumps(losses))
"""


# Rounding decides which of two equal neighbours a pooling takes, one window in some ten steps: from
# there on networks go apart. MobileNet has no pooling.
@pytest.mark.parametrize(("network_name", "steps"), [("mobilenet", 20), ("vgg16_8", 2)])
@pytest.mark.parametrize("order", ["swap", "convention"])
def test_steps_are_those_of_tensorflow(
    order, network_name, steps, image_set, tmp_path, rng, run_python
):
    # Ten steps an epoch, after the first of which the learning rate falls.
    arguments = [*SMALL, f"--model={network_name}", f"--order={order}", "--width=0.15"]
    arguments += ["--epochs=2", "--learning_rate=0.0005", "--learning_rate_drops=1"]
    flags = options.parse(arguments)
    trainer = make_trainer(flags, image_set)
    trainer.optimizer = training.make_optimizer(flags, steps=10)
    trainer.optimizer.build(trainer.model.trainable_variables)
    order = rng.integers(0, len(image_set.train), (steps, 32))
    x, y = image_set.train.images[order], image_set.train.labels[order]
    weights = {f"weight{i}": w for i, w in enumerate(trainer.model.get_weights())}
    moments = {"mean": image_set.mean, "variance": image_set.variance}
    np.savez(tmp_path / "given.npz", x=x, y=y, **weights, **moments)
    state, step, losses = trainer.state(), jax.jit(trainer.step), []
    for batch in zip(x, y, strict=True):
        state, figures = step(state, *batch)
        losses.append(float(figures.loss))
    finished = run_python(
        *("-c", TENSORFLOW, tmp_path / "given.npz", json.dumps(arguments)),
        KERAS_BACKEND="tensorflow",
    )
    expected = json.loads(finished.stdout.splitlines()[-1])
    assert losses[-1] < losses[0]
    np.testing.assert_allclose(losses, expected, rtol=0, atol=1e-4 if steps > 2 else 1e-5)


@pytest.mark.parametrize("holds_out", [True, False])
def test_what_a_run_writes_is_what_its_network_shows(holds_out, image_set, tmp_path):
    flags = options.parse([*SMALL, "--learning_rate=0.01", "--epochs=4"])
    held_out, test = (image_set.test.take(np.arange(*part)) for part in ((0, 40), (40, 77)))
    parts = dataclasses.replace(image_set, validation=held_out if holds_out else None, test=test)
    trainer = runs.make_trainer(flags, parts)
    directory = RunDirectory(tmp_path / "run", options.as_text(flags))
    summary = runs.run(flags, directory, trainer, parts, peak=1.0)
    assert ("validation" in summary) == holds_out
    for name, part in (("validation", held_out), ("test", test))[not holds_out :]:
        logits = trainer.model.predict(part.images, verbose=0)
        accuracy = (logits.argmax(axis=1) == part.labels).mean()
        assert summary[name]["accuracy"] == pytest.approx(accuracy, abs=1e-6)
    measured = measure(trainer.model, test.images)
    assert summary["statistics"] == pytest.approx(measured.means(), rel=1e-5)
    # It has learned: these are not the figures of a new network.
    assert summary["train"]["accuracy"] > 0.3
