"""`examples.full_scale`: its epochs against NumPy and TensorFlow, and its command."""

import dataclasses
import json

import keras
import numpy as np
import pytest

if keras.backend.backend() != "jax":
    pytest.skip("of JAX: make test-jax", allow_module_level=True)

import jax
from PIL import Image
from sklearn.datasets import load_digits

from analysis import results
from examples.full_scale import augmentation, images, plan, run, runs, training
from examples.full_scale.images import Images
from keras_bnact import measure
from train import network, options
from train.datasets import ImageSet
from train.run_directory import RunDirectory

SMALL = ["--model=vgg16_8", "--width=0.05", "--batch_size=32", "--dataset=image_folder"]


def digits(count, size=32):
    """Handwritten digits as RGB images of so many pixels."""
    pixels, labels = load_digits(return_X_y=True)
    pixels = (pixels[:count] * 15.9375).astype("uint8").reshape(-1, 8, 8, 1)
    pixels = pixels.repeat(size // 8, 1).repeat(size // 8, 2).repeat(3, 3)
    return Images(pixels, labels[:count])


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


# The data


def test_an_epoch_takes_every_image_once():
    key = images.epoch_key(jax.random.key(3), 0)
    order, keys = images.epoch_order(key, 100, 32)
    assert order.shape == (3, 32)
    assert len(np.unique(order)) == 96
    assert len(np.unique(jax.random.key_data(keys), axis=0)) == 3
    again, _ = images.epoch_order(key, 100, 32)
    np.testing.assert_array_equal(order, again)
    other, _ = images.epoch_order(images.epoch_key(jax.random.key(3), 1), 100, 32)
    assert (np.asarray(order) != np.asarray(other)).any()


def test_crops_are_numpys(rng):
    pixels = rng.integers(0, 256, (5, 8, 8, 3)).astype("uint8")
    offsets = np.array([[0, 0], [4, 4], [2, 2], [1, 3], [3, 0]])
    mirrored = np.array([False, False, True, True, False])
    crops = augmentation.crop(pixels, offsets, mirrored, padding=2)
    padded = np.pad(pixels, [(0, 0), (2, 2), (2, 2), (0, 0)])
    for crop, image, (row, column), mirror in zip(crops, padded, offsets, mirrored, strict=True):
        expected = image[row : row + 8, column : column + 8]
        np.testing.assert_array_equal(crop, expected[:, ::-1] if mirror else expected)


def test_every_offset_and_mirror_image_is_drawn():
    # One white pixel tells where the crop was taken.
    pixels = np.zeros((4000, 16, 16, 3), "uint8")
    pixels[:, 8, 6] = 255
    found = {}
    for flip in (False, True):
        crops = np.asarray(augmentation.pad_crop_flip(pixels, jax.random.key(0), flip))
        assert crops.dtype == np.uint8
        found[flip] = {tuple(place) for place in np.argwhere(crops[..., 0])[:, 1:]}
    plain = {(8 + row, 6 + column) for row in range(-2, 3) for column in range(-2, 3)}
    assert found[False] == plain
    assert found[True] == plain | {(row, 15 - column) for row, column in plain}


@pytest.fixture
def folder(tmp_path):
    """A folder of PNG images of three digits; those to test on are larger."""
    for part, count, size in (("train", 120, 32), ("test", 50, 48)):
        source = digits(count, size)
        for number, (pixels, label) in enumerate(zip(source.images, source.labels, strict=True)):
            if label < 3:
                place = tmp_path / "images" / part / f"digit{label}"
                place.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(place / f"{number}.png")
    return tmp_path / "images"


def test_images_are_read_from_a_folder(folder):
    flags = options.parse(
        [*SMALL, "--batch_size=16", f"--data_dir={folder}", "--validation_fraction=0.2"]
    )
    loaded = images.load(flags)
    assert (loaded.classes, loaded.size) == (3, 32)
    whole = digits(120)
    known = {
        (pixels.tobytes(), label) for pixels, label in zip(whole.images, whole.labels, strict=True)
    }
    for part in (loaded.train, loaded.validation):
        for pixels, label in zip(part.images, part.labels, strict=True):
            assert (pixels.tobytes(), label) in known
    assert len(loaded.train) + len(loaded.validation) == (whole.labels < 3).sum()
    assert loaded.test.images.shape[1:] == (32, 32, 3)
    # Half of a digit's pixels at 48 pixels a side is between that at 32.
    assert loaded.test.images.mean() == pytest.approx(digits(50).images.mean(), rel=0.1)
    expected = loaded.train.images.reshape(-1, 3).mean(axis=0)
    np.testing.assert_allclose(loaded.mean, expected, rtol=1e-6)


# Training


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
    figures = trainer.evaluate(trainer.state(), trainer.tested)
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


def test_what_a_run_writes_is_what_its_network_shows(image_set, tmp_path):
    flags = options.parse([*SMALL, "--learning_rate=0.01", "--epochs=4"])
    held_out, test = (image_set.test.take(np.arange(*part)) for part in ((0, 40), (40, 77)))
    parts = dataclasses.replace(image_set, validation=held_out, test=test)
    trainer = runs.make_trainer(flags, parts)
    directory = RunDirectory(tmp_path / "run", options.as_text(flags))
    summary = runs.run(flags, directory, trainer, parts, peak=1.0)
    for name, part in (("validation", held_out), ("test", test)):
        logits = trainer.model.predict(part.images, verbose=0)
        accuracy = (logits.argmax(axis=1) == part.labels).mean()
        assert summary[name]["accuracy"] == pytest.approx(accuracy, abs=1e-6)
    measured = measure(trainer.model, test.images)
    assert summary["statistics"] == pytest.approx(measured.means(), rel=1e-5)
    # It has learned: these are not the figures of a new network.
    assert summary["train"]["accuracy"] > 0.3


# The command


def command(folder, runs, *arguments):
    small = [f"--data_dir={folder}", f"--runs={runs}", *SMALL[:3], "--epochs=2"]
    return [*small, "--learning_rate_drops=", "--cells=table2/tanh_swap", *arguments]


def test_runs_are_written_and_gone_on_with(folder, tmp_path, run_python):
    runs = tmp_path / "runs"

    def train():
        arguments = command(folder, runs, "--grid=seed=0,1", "--statistics_every=1")
        finished = run_python("-m", "examples.full_scale.run", *arguments)
        assert finished.returncode == 0, finished.stderr
        return finished.stdout

    assert "2 runs, 0 of them finished" in train()
    places = [runs / "table2-tanh_swap" / f"seed={seed}" for seed in (0, 1)]
    found, problems = results.read(runs)
    assert (sorted(result.path for result in found), problems) == (places, [])
    assert [len(result.history) for result in found] == [2, 2]
    weightless = {"channels.npz", "environment.json", "flags.txt", "gradients.csv", "history.csv"}
    weightless |= {"statistics.csv", "summary.json", ".lock"}
    assert {path.name for path in places[0].iterdir()} == weightless
    summary = json.loads((places[0] / "summary.json").read_text())
    last = found[0].history[-1]
    assert summary["test"]["accuracy"] == last["test_accuracy"]
    assert summary["statistics"]["saturation"] == pytest.approx(last["saturation"], rel=1e-6)

    # As if killed in the second run: the first is kept, and the second comes out the same.
    before = [(place / "history.csv").read_text() for place in places]
    kept = (places[0] / "summary.json").stat().st_mtime_ns
    (places[1] / "summary.json").unlink()
    assert "2 runs, 1 of them finished" in train()
    assert (places[0] / "summary.json").stat().st_mtime_ns == kept
    assert [(place / "history.csv").read_text() for place in places] == before
    assert before[0] != before[1]
    assert train() == "2 runs, 2 of them finished\n"


@pytest.fixture
def planned(monkeypatch):
    """What the command with these arguments would train, and where."""

    def plan_of(arguments):
        pending = []
        with monkeypatch.context() as patched:
            patched.setattr(plan, "carry_out", lambda runs, precision: pending.extend(runs))
            assert run.main(arguments) == 0
        return [directory for directory, _ in pending]

    return plan_of


def test_a_run_that_is_in_use_keeps_no_other_from_being_made(folder, tmp_path, run_python, planned):
    runs = tmp_path / "runs"
    arguments = ["--validation_fraction=0.2", "--early_stopping_patience=1", "--epochs=9"]
    arguments += ["--learning_rate=1e-7", "--batch_size=16", "--grid=seed=0,1"]
    arguments = command(folder, runs, *arguments)
    places = [runs / "table2-tanh_swap" / f"seed={seed}" for seed in (0, 1)]
    taken, _ = planned(arguments)
    taken.create(overwrite=False)
    finished = run_python("-m", "examples.full_scale.run", *arguments)
    assert finished.returncode == 1, finished.stderr
    assert "in use" in finished.stdout
    ((result,), _) = results.read(runs)
    assert result.path == places[1]
    # It stopped as soon as the held-out images showed nothing better.
    accuracies = [row["val_accuracy"] for row in result.history]
    assert 2 <= len(accuracies) < 9
    assert accuracies[-1] <= max(accuracies[:-1])
    assert result.summary["validation"]["accuracy"] == accuracies[-1]
    assert {row["epoch"] for row in result.statistics} == {len(accuracies)}


def test_seeds_are_next_to_one_another(folder, tmp_path, planned):
    grids = ["--grid=seed=0,1", "--grid=order=swap,convention"]
    assert [directory.path.name for directory in planned(command(folder, tmp_path, *grids))] == [
        f"seed={seed},order={order}" for order in ("swap", "convention") for seed in (0, 1)
    ]


def test_an_image_that_cannot_be_read_is_one_sentence(folder, tmp_path, run_python):
    damaged = next((folder / "test" / "digit1").iterdir())
    damaged.write_bytes(damaged.read_bytes()[:200])
    arguments = command(folder, tmp_path / "runs", "--grid=seed=0,1")
    finished = run_python("-m", "examples.full_scale.run", *arguments)
    assert finished.returncode == 2
    said = f"examples.full_scale.run: {damaged} is no JPEG or PNG image: repair or remove it.\n"
    assert finished.stderr == said
    assert not (tmp_path / "runs").exists()


def test_a_run_is_made_again_from_its_flags(folder, tmp_path, run_python):
    runs = tmp_path / "runs"
    precision = "--precision=float32"
    first = run_python("-m", "examples.full_scale.run", *command(folder, runs, precision))
    assert first.returncode == 0, first.stderr
    place = runs / "table2-tanh_swap" / "run"
    described = json.loads((place / "environment.json").read_text())
    assert (described["compute_dtype"], described["matmul_precision"]) == ("float32", "highest")
    again = ["--cells=table2/tanh_swap", f"--flagfile={place / 'flags.txt'}", f"--runs={runs}"]
    finished = run_python("-m", "examples.full_scale.run", *again)
    assert finished.stdout == "1 runs, 1 of them finished\n", finished.stderr


def test_tensorflow_is_not_needed(folder, tmp_path, run_python):
    code = (
        "import sys; from examples.full_scale import run; status = run.main(sys.argv[1:]); "
        "assert not status; assert 'tensorflow' not in sys.modules"
    )
    arguments = command(folder, tmp_path / "runs", "--precision=bfloat16", "--model=mobilenet")
    finished = run_python("-c", code, *arguments)
    assert finished.returncode == 0, finished.stderr
    place = tmp_path / "runs" / "table2-tanh_swap" / "run"
    assert "--mixed_precision=bfloat16" in (place / "flags.txt").read_text()
    assert json.loads((place / "environment.json").read_text())["compute_dtype"] == "bfloat16"
    other = run_python("-m", "examples.full_scale.run", *arguments, "--precision=float32")
    assert other.returncode == 2
    assert "--precision (bfloat16 there, float32 here)" in other.stderr


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["--cells=table2/tanh_swop"], "table2/tanh_swap"),
        (["--cells="], "--cells is missing"),
        (["--precision=float64"], "float64"),
        (["--mixed_precision=float16"], "--mixed_precision=float16 is train.run's"),
        (["--dataset=digits"], "--dataset=digits"),
        (["--image_size=224"], "--image_size=224"),
        (["--data_dir=nowhere"], "nowhere"),
        (["--grid=sead=0"], "sead"),
        (["--final=seed=0"], "--final"),
        (["--workers=2"], "--workers"),
        (["--overwrite"], "--overwrite"),
        (["--deterministic"], "--deterministic"),
        (["--grid=seed=0,1", "--seed=3"], "--seed"),
        (["--cells=table2/tanh_swap,table2/tanh_swap"], "twice"),
        (["--learning_rat=0.1"], "learning_rat"),
    ],
)
def test_mistakes_are_one_sentence(arguments, answer, folder, tmp_path, capsys):
    assert run.main(command(folder, tmp_path / "runs", *arguments)) == 2
    error = capsys.readouterr().err
    assert answer in error
    assert error.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_help_is_quick(run_python):
    finished = run_python("-X", "importtime", "-m", "examples.full_scale.run", "--help")
    assert finished.returncode == 0
    assert "--cells" in finished.stdout
    assert not {"jax", "keras", "numpy"} & {
        line.split("|")[-1].strip() for line in finished.stderr.splitlines()
    }
