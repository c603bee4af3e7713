"""The loop of JAX against NumPy and TensorFlow."""

import dataclasses
import json

import keras
import numpy as np
import pytest

if keras.backend.backend() != "jax":
    pytest.skip("of JAX: make test-jax", allow_module_level=True)

import jax
from digit_images import SMALL, digits

from train import options
from train.data.image_set import ImageSet
from train.data.images import ArraySource
from train.training import jax_loop
from train.training.jax_loop import JaxLoop


@pytest.fixture
def image_set(rng):
    train, test = digits(200), digits(77)
    # Where neighbours are alike, rounding decides which of them a pooling takes.
    noise = rng.integers(0, 128, train.images.shape)
    train = ArraySource((train.images // 2 + noise).astype("uint8"), train.labels)
    mean, variance = train.channel_moments()
    return ImageSet(train, test, classes=10, size=32, flip=False, mean=mean, variance=variance)


class Recorder:
    """Of epochs, which it has no end for but the last."""

    over = False

    def __init__(self, loop):
        self.loop, self.figures = loop, []

    def begin_step(self):
        self.before = [np.array(variable) for variable in self.loop.variables]

    def end_step(self, part):
        # An epoch changes them at once, between the two.
        pairs = zip(self.before, self.loop.variables, strict=True)
        assert any((before != np.array(after)).any() for before, after in pairs)
        assert part.steps == self.loop.steps

    def end_epoch(self, epoch, figures, began, trained):
        assert began < trained
        self.loop.update()
        self.figures.append(figures)
        return {"epoch": epoch + 1, **figures}


def trained(loop, epochs):
    """The figures of its epochs."""
    recorder = Recorder(loop)
    loop.train(epochs, recorder)
    return recorder.figures


def test_an_epoch_in_one_program_is_its_steps_one_by_one(image_set):
    # Without max pooling, which decides near ties by rounding.
    flags = options.parse([*SMALL, "--model=mobilenet", "--learning_rate=0.01", "--seed=7"])
    loops = [JaxLoop(flags, image_set, whole_epochs=whole) for whole in (True, False)]
    figures = []
    for loop in loops:
        loop.begin(7)
        figures.append(trained(loop, range(2)))
    for one, other in zip(*figures, strict=True):
        assert one == pytest.approx(other, rel=1e-4)
    for one, other in zip(*(loop.variables for loop in loops), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_an_epoch_trains_on_the_batches_that_gradients_are_measured_on(image_set):
    flags = options.parse([*SMALL, "--learning_rate=0.01", "--seed=7"])
    loop = JaxLoop(flags, dataclasses.replace(image_set, flip=True))
    state, step, losses = jax.tree.map(np.array, loop._values()), jax.jit(loop.step), []
    for batch in image_set.train.training_batches(32, range(3, 4), seed=7, flip=True):
        state, figures = step(state, *batch)
        losses.append(figures.loss)
    (figures,) = trained(loop, range(3, 4))
    assert figures["loss"] == pytest.approx(np.mean(losses), rel=1e-5)


def test_runs_that_differ_in_their_seeds_take_the_same_programs(image_set):
    made = {}
    for seed in (0, 1, 0):
        flags = options.parse([*SMALL, "--learning_rate=0.01", f"--seed={seed}"])
        loop = jax_loop.make(flags, image_set)
        figures = trained(loop, range(2))
        assert made.setdefault(seed, (loop, figures)) == (loop, figures)
    (one, of_one), (other, of_other) = made.values()
    assert one is other
    assert of_one != of_other
    other_flags = options.parse([*SMALL, "--learning_rate=0.02"])
    assert jax_loop.make(other_flags, image_set) is not one


def test_a_loop_goes_on_where_its_variables_are(image_set):
    flags = options.parse([*SMALL, "--epochs=3", "--learning_rate_drops=1"])
    loop = jax_loop.make(flags, image_set)
    whole = trained(loop, range(3))
    loop.begin(flags.seed)
    begun = trained(loop, range(1))
    values = [np.array(variable) for variable in loop.variables]
    # Another run of the process meanwhile.
    loop.begin(flags.seed + 1)
    trained(loop, range(2))
    for variable, value in zip(loop.variables, values, strict=True):
        variable.assign(value)
    loop.update()
    kernels = [np.array(weight) for weight in loop.network.trainable_weights]
    for kernel, value in zip(kernels, values, strict=False):
        np.testing.assert_array_equal(kernel, value)
    loop.seed = flags.seed
    assert begun + trained(loop, range(1, 3)) == whole


# All 77 at once, and batches of which the last is padded.
@pytest.mark.parametrize("batch_size", [500, 20])
def test_figures_on_the_test_images_are_numpys(batch_size, image_set, monkeypatch):
    monkeypatch.setattr(jax_loop, "TEST_BATCH_SIZE", batch_size)
    flags = options.parse([*SMALL, "--weight_decay=0.01"])
    loop = JaxLoop(flags, image_set)
    logits = np.asarray(loop.model(image_set.test.images), "float64")
    labels = image_set.test.labels
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponents / exponents.sum(axis=1, keepdims=True)
    cross_entropy = -np.log(probabilities[np.arange(len(labels)), labels]).mean()
    penalty = sum(
        0.005 * np.square(np.asarray(w, "float64")).sum() for w in loop.model.trainable_weights
    )
    figures = loop.evaluate("test")
    assert figures["cross_entropy"] == pytest.approx(cross_entropy, rel=1e-5)
    assert figures["loss"] == pytest.approx(cross_entropy + penalty, rel=1e-5)
    assert figures["accuracy"] == pytest.approx((logits.argmax(axis=1) == labels).mean(), rel=1e-5)


TENSORFLOW = """
import json, sys
import keras, numpy as np
from train import options
from train.training import network
from train.data.image_set import ImageSet
from train.training.schedule import learning_rate

given = np.load(sys.argv[1])
flags = options.parse(json.loads(sys.argv[2]))
moments = {name: tuple(given[name]) for name in ("mean", "variance")}
images = ImageSet(train=None, test=None, classes=10, size=32, flip=False, **moments)
model = network.build(flags, images)
if flags.optimizer == "sgd":
    optimizer = keras.optimizers.SGD(0.0, momentum=flags.momentum)
else:
    optimizer = keras.optimizers.AdamW(0.0, weight_decay=flags.weight_decay)
network.set_loss(model, optimizer, flags.label_smoothing)
model.set_weights([given[f"weight{i}"] for i in range(len(model.weights))])
losses = []
for step, (x, y) in enumerate(zip(given["x"], given["y"])):
    if flags.learning_rate_schedule == "steps":
        rate = learning_rate(flags.learning_rate, flags.learning_rate_drops, step // 10)
    elif step < 4:
        rate = flags.learning_rate * step / 4
    else:
        rate = flags.learning_rate * (1 + np.cos(np.pi * (step - 4) / 16)) / 2
    model.optimizer.learning_rate = rate
    model.reset_metrics()
    losses.append(float(model.train_on_batch(x, y, return_dict=True)["loss"]))
print(json.dumps(losses))
"""


# Rounding decides which of two equal neighbours a pooling takes, one window in some ten steps: from
# there on networks go apart. MobileNet has no pooling.
@pytest.mark.parametrize(("network_name", "steps"), [("mobilenet", 20), ("vgg16_8", 2)])
@pytest.mark.parametrize(
    ("order", "training"),
    [
        ("swap", ["--learning_rate_drops=1"]),
        ("convention", ["--learning_rate_drops=1"]),
        (
            "swap",
            [
                *("--optimizer=adamw", "--weight_decay=0.5", "--label_smoothing=0.1"),
                *("--learning_rate_schedule=cosine", "--warmup_fraction=0.2"),
            ],
        ),
    ],
)
def test_steps_are_those_of_tensorflow(
    order, training, network_name, steps, image_set, tmp_path, rng, run_python
):
    # Ten steps an epoch, after the first of which the learning rate falls.
    arguments = [*SMALL, f"--model={network_name}", f"--order={order}", "--width=0.15"]
    arguments += ["--epochs=2", "--learning_rate=0.0005", *training]
    flags = options.parse(arguments)
    loop = JaxLoop(flags, image_set)
    loop.optimizer = jax_loop.make_optimizer(flags, 10, loop.model)
    loop.optimizer.build(loop.model.trainable_variables)
    order = rng.integers(0, len(image_set.train), (steps, 32))
    x, y = image_set.train.images[order], image_set.train.labels[order]
    weights = {f"weight{i}": w for i, w in enumerate(loop.model.get_weights())}
    moments = {"mean": image_set.mean, "variance": image_set.variance}
    np.savez(tmp_path / "given.npz", x=x, y=y, **weights, **moments)
    state, step, losses = loop._values(), jax.jit(loop.step), []
    for batch in zip(x, y, strict=True):
        state, figures = step(state, *batch)
        losses.append(float(figures.loss))
    finished = run_python(
        *("-c", TENSORFLOW, tmp_path / "given.npz", json.dumps(arguments)),
        KERAS_BACKEND="tensorflow",
    )
    assert finished.returncode == 0, finished.stderr
    expected = json.loads(finished.stdout.splitlines()[-1])
    assert losses[-1] < losses[0]
    np.testing.assert_allclose(losses, expected, rtol=0, atol=1e-4 if steps > 2 else 1e-5)
