"""`python -m train.run` as a user meets it, each time in a process of its own."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
from conftest import ROOT
from conftest import SMALL_RUN as SMALL
from test_options import MISTAKES

from keras_bnact import measure
from train import errors, native_messages, options, run, run_directory
from train.run_directory import RunDirectory
from train.training import schedule

pytestmark = pytest.mark.runs

MEASURED = ["--epochs=4", "--statistics_every=3"]


def read_history(run_dir):
    with open(run_dir / "history.csv") as file:
        return list(csv.DictReader(file))


def weights_of(run_dir):
    return keras.saving.load_model(run_dir / "model.keras").get_weights()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run of four epochs, and what it printed."""
    run_dir = tmp_path_factory.mktemp("run") / "one"
    process = subprocess.run(
        [sys.executable, "-m", "train.run", *SMALL, *MEASURED, f"--run_dir={run_dir}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if k != native_messages.LOG_LEVEL},
    )
    assert process.returncode == 0, process.stderr
    return run_dir, process


def test_learns_and_says_so_without_noise(finished):
    run_dir, process = finished
    assert process.stderr == ""
    assert "250 images to train on, 99 to test, 10 classes" in process.stdout
    assert "Epoch 4/4" in process.stdout
    assert str(run_dir) in process.stdout
    # No progress bar in a log.
    assert "\b" not in process.stdout
    history = read_history(run_dir)
    assert [row["epoch"] for row in history] == ["1", "2", "3", "4"]
    assert float(history[-1]["test_accuracy"]) > 0.5
    assert float(history[-1]["cross_entropy"]) < float(history[0]["cross_entropy"])


def test_the_history_has_the_layers_means_of_measured_epochs(finished):
    run_dir, _ = finished
    records = RunDirectory(run_dir, "").read_csv("statistics.csv")
    told = {}
    for row in read_history(run_dir):
        of_epoch = [x for x in records if x["epoch"] == row["epoch"]]
        for name in ("saturation", "skewness", "sparsity"):
            mean = np.mean([float(x[name]) for x in of_epoch]) if of_epoch else None
            assert (float(row[name]) if row[name] else None) == (mean and pytest.approx(mean))
            told.setdefault(name, []).append(bool(row[name]))
    # The first, every third, and the last.
    assert told == {name: [True, False, True, True] for name in told}


def test_run_directory_is_complete(finished):
    run_dir, _ = finished
    assert {entry.name for entry in run_dir.iterdir()} - {".lock"} == {
        "channels.npz",
        "checkpoint.npz",
        "data.json",
        "environment.json",
        "flags.txt",
        "gradients.csv",
        "history.csv",
        "model.keras",
        "saved_model",
        "statistics.csv",
        "summary.json",
        "report.html",
        "tensorboard",
    }
    summary = json.loads((run_dir / "summary.json").read_text())
    last = read_history(run_dir)[-1]
    assert (summary["epochs"], summary["steps"]) == (4, 28)
    assert summary["test"]["accuracy"] == float(last["test_accuracy"])
    assert summary["train"]["loss"] == float(last["loss"])
    assert summary["images_per_second"] > 0
    environment = json.loads((run_dir / "environment.json").read_text())
    assert environment["seed"] == 0
    assert environment["devices"] == ["/device:CPU:0"]
    assert environment["keras"] == keras.__version__
    flags = options.parse([f"--flagfile={run_dir / 'flags.txt'}"])
    assert (flags.epochs, flags.width, flags.deterministic) == (4, 0.05, True)


def test_tensorboard_shows_the_history_the_layers_and_the_flags(finished):
    import tensorflow as tf
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2

    run_dir, _ = finished

    def reading(part):
        return EventAccumulator(str(run_dir / "tensorboard" / part)).Reload()

    def curve(part, tag):
        return [
            (event.step, pytest.approx(float(tf.make_ndarray(event.tensor_proto))))
            for event in reading(part).Tensors(tag)
        ]

    for part, column in (("train", "loss"), ("test", "test_loss"), ("train", "learning_rate")):
        rows = [(int(row["epoch"]), float(row[column])) for row in read_history(run_dir)]
        assert rows == curve(part, f"epoch_{column.removeprefix('test_')}")
    records = RunDirectory(run_dir, "").read_csv("statistics.csv")
    of_layer = [(int(x["epoch"]), float(x["sparsity"])) for x in records if x["layer"] == "conv2"]
    assert of_layer == curve("layers", "sparsity/conv2")
    assert "activation/conv2" in reading("layers").Tags()["tensors"]
    content = reading("").SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    told = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
    assert told["activation"].string_value == "tanh"
    assert told["width"].number_value == 0.05


def test_the_page_is_of_all_measured_epochs(finished):
    run_dir, _ = finished
    page = (run_dir / "report.html").read_text()
    records = RunDirectory(run_dir, "").read_csv("statistics.csv")
    for record in records:
        where = f"{record['layer']}, epoch {record['epoch']}"
        assert f"{where}: sparsity {float(record['sparsity']):.3f}" in page


def test_the_kept_models_answer_what_the_history_says(finished):
    import tensorflow as tf

    from train import data

    run_dir, _ = finished
    flags = options.parse([f"--flagfile={run_dir / 'flags.txt'}"])
    images, labels = next(data.load(flags).test.test_batches().as_numpy_iterator())
    loaded = keras.saving.load_model(run_dir / "model.keras")
    assert not loaded.compiled
    logits = loaded.predict(images, verbose=0)
    served = tf.saved_model.load(run_dir / "saved_model").signatures["serving_default"]
    answer = served(images=tf.constant(images, loaded.input.dtype))["logits"]
    np.testing.assert_allclose(answer, logits, rtol=0, atol=1e-5)
    accuracy = np.mean(logits.argmax(axis=1) == labels)
    assert accuracy == pytest.approx(float(read_history(run_dir)[-1]["test_accuracy"]), abs=1e-6)


def test_a_run_writes_the_formats_that_it_is_asked_for(train, tmp_path):
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    from train import data

    run_dir = tmp_path / "run"
    process = train(*SMALL, "--epochs=3", "--export=tflite_integer,onnx", f"--run_dir={run_dir}")
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    written = {entry.name for entry in run_dir.iterdir()} & {*run_directory.EXPORTS.values()}
    assert written == {"model_integer.tflite", "model.onnx"}
    flags = options.parse([f"--flagfile={run_dir / 'flags.txt'}"])
    images, _ = next(data.load(flags).test.test_batches().as_numpy_iterator())
    images = images.astype("float32")
    logits = keras.saving.load_model(run_dir / "model.keras").predict(images, verbose=0)
    session = onnxruntime.InferenceSession(run_dir / "model.onnx")
    (answer,) = session.run(["logits"], {"images": images})
    np.testing.assert_allclose(answer, logits, rtol=0, atol=1e-5)
    runner = litert.Interpreter(str(run_dir / "model_integer.tflite")).get_signature_runner()
    # Eight bits a weight and an activation; with ranges of other images it is far off.
    assert np.mean(runner(images=images)["logits"].argmax(1) == logits.argmax(1)) > 0.9


def test_what_a_format_lacks_costs_no_run(train, tmp_path):
    pytest.importorskip("tf2onnx")
    (tmp_path / "own_erf.py").write_text(
        "from keras import ops\n"
        "from keras_bnact import activations\n"
        "@activations.register(bounds=(-1.0, 1.0))\n"
        "def my_erf(x):\n    return ops.erf(x)\n"
    )
    run_dir = tmp_path / "run"
    flags = ["--activation=own_erf:my_erf", "--export=tflite,onnx", "--epochs=1"]
    process = train(*SMALL, *flags, f"--run_dir={run_dir}", PYTHONPATH=str(tmp_path))
    assert process.returncode == 0, process.stderr
    said = "model.tflite is not written: TFLite has no Erf, which model 'vgg16_8' computes: "
    assert process.stderr.startswith(said)
    assert process.stderr.count("\n") == 1
    names = {entry.name for entry in run_dir.iterdir()}
    assert {"model.onnx", "summary.json"} < names
    assert not [name for name in names if "tflite" in name]


def test_what_a_run_measures_is_what_its_network_shows(finished):
    from train import data

    run_dir, _ = finished
    flags = options.parse([f"--flagfile={run_dir / 'flags.txt'}"])
    network = keras.saving.load_model(run_dir / "model.keras")
    measured = measure(network, data.load(flags).test.test_batches())
    with open(run_dir / "statistics.csv") as file:
        rows = list(csv.DictReader(file))
    names = [f"conv{i}" for i in range(1, 6)] + ["fc1", "fc2"]
    assert [(row["epoch"], row["layer"]) for row in rows] == [
        (epoch, name) for epoch in ("1", "3", "4") for name in names
    ]
    channels = np.load(run_dir / "channels.npz")
    for row, layer in zip(rows[-7:], measured, strict=True):
        for figure in ("saturation", "skewness", "sparsity"):
            assert float(row[figure]) == pytest.approx(getattr(layer, figure), abs=1e-6)
            np.testing.assert_allclose(
                channels[f"{layer.name}/{figure}"], getattr(layer, f"channel_{figure}"), atol=1e-6
            )
        assert int(row["count"]) == layer.count
        for of in ("activation", "output"):
            counts = channels[f"{layer.name}/{of}_histogram/counts"]
            assert counts.sum() == layer.count * int(row["channels"])
    counts = channels["conv5/output_channel_histograms/counts"]
    assert (counts.sum(axis=1) == measured["conv5"].count).all()
    assert len(channels["conv5/output_channel_histograms/channels"]) == 3
    summary = json.loads((run_dir / "summary.json").read_text())
    history = read_history(run_dir)
    for figure, value in summary["statistics"].items():
        assert value == pytest.approx(getattr(measured, figure), abs=1e-6)
        assert value == pytest.approx(float(history[-1][figure]), abs=1e-6)


GRADIENTS_OF_A_RUN = """
import json, sys
import keras
from keras_bnact import measure_gradients
from train import data, options
flags = options.parse([f"--flagfile={sys.argv[1]}/flags.txt"])
network = keras.saving.load_model(f"{sys.argv[1]}/model.keras")
network.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
batches = data.load(flags).train.training_batches(32, range(1), flags.seed, flip=False)
print(json.dumps(measure_gradients(network, batches, steps=7).records()))
"""


def test_the_gradients_of_a_run_are_those_of_its_training_images(finished, run_python):
    run_dir, _ = finished
    # In a process like the run's: by other kernels max pooling decides near ties otherwise.
    process = run_python("-c", GRADIENTS_OF_A_RUN, run_dir)
    measured = json.loads(process.stdout)
    with open(run_dir / "gradients.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows[::7]] == ["1", "3", "4"]
    for row, layer in zip(rows[-7:], measured, strict=True):
        assert (row["layer"], row["batch_size"]) == (layer["layer"], "32")
        for figure in ("input", "weight_gradient", "activation_gradient"):
            assert float(row[figure]) == pytest.approx(layer[figure], rel=1e-4)


def test_a_finished_run_says_so(finished, train):
    run_dir, first = finished
    before = {path: path.stat().st_mtime_ns for path in run_dir.rglob("*")}
    again = train(*SMALL, *MEASURED, f"--run_dir={run_dir}")
    assert again.returncode == 0
    assert again.stderr == ""
    assert "finished" in again.stdout
    # The last screen: results, a line for each of seven layers, and the files.
    assert (
        again.stdout.splitlines()[1:]
        == first.stdout.splitlines()[-len(again.stdout.splitlines()) + 1 :]
    )
    assert "\nfc2     tanh  " in again.stdout
    assert {path: path.stat().st_mtime_ns for path in run_dir.rglob("*")} == before


def test_other_flags_in_its_directory_are_refused(finished, train):
    run_dir, _ = finished
    refused = train(*SMALL, "--epochs=5", MEASURED[1], f"--run_dir={run_dir}")
    assert refused.returncode == 2
    assert "--epochs (4 there, 5 here)" in refused.stderr


def wait_for_rows(run_dir, rows, process):
    """Waits until the history has so many rows; None means: not even a directory."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if rows is None or (
            (run_dir / "history.csv").exists() and len(read_history(run_dir)) >= rows
        ):
            return
        time.sleep(0.01)
    raise AssertionError(f"no {rows} epochs: {process.communicate()}")


def kill_at(moments, run_dir, arguments):
    """Starts the run again and again, killing it at each moment, and then lets it finish."""
    command = [sys.executable, "-m", "train.run", *arguments, f"--run_dir={run_dir}"]
    for rows, delay in moments:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        wait_for_rows(run_dir, rows, process)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    return finished


def assert_same_run(one, two):
    for name in ("history.csv", "statistics.csv", "gradients.csv"):
        assert (one / name).read_bytes() == (two / name).read_bytes()
    channels = [np.load(run_dir / "channels.npz") for run_dir in (one, two)]
    assert channels[0].files == channels[1].files
    for name in channels[0].files:
        np.testing.assert_array_equal(channels[0][name], channels[1][name])
    for expected, actual in zip(weights_of(one), weights_of(two), strict=True):
        np.testing.assert_array_equal(actual, expected)
    summaries = [json.loads((run_dir / "summary.json").read_text()) for run_dir in (one, two)]
    for name in ("epochs", "train", "test", "parameters"):
        assert summaries[0][name] == summaries[1][name]


def test_a_killed_run_goes_on_bit_for_bit(finished, tmp_path):
    run_dir = tmp_path / "killed"
    last = kill_at([(2, 0.0)], run_dir, [*SMALL, *MEASURED])
    assert "Going on after epoch" in last.stdout
    assert "Epoch 1/4" not in last.stdout
    assert_same_run(finished[0], run_dir)


INTERRUPTED = """
import json, os, signal, sys
from train import options, run
from train.run_directory import RunDirectory

# A process that a shell has started in the background ignores it.
signal.signal(signal.SIGINT, signal.default_int_handler)
*flags, place = sys.argv[1:]
statuses = []


def interrupted(number, of, method, call, *more):
    \"""A run to which a signal comes after a call of a method.\"""
    original, calls = getattr(of, method), [0]

    def signalling(*args, **keywords):
        result = original(*args, **keywords)
        calls[0] += 1
        if calls[0] == call:
            os.kill(os.getpid(), number)
        return result

    setattr(of, method, signalling)
    statuses.append(run.main([*flags, *more, f"--run_dir={place}"]))
    setattr(of, method, original)


# Imports Keras, as the first run would.
from train.training import start
start.start(options.parse(flags))
from train.training.driver import Run
from train.training.tensorflow_loop import TensorFlowLoop

interrupted(signal.SIGTERM, Run, "end_step", 3)
"""
SIGNALLED = f"""{INTERRUPTED}
interrupted(signal.SIGINT, Run, "begin_step", 2)
# Of the second epoch, whose steps are done.
interrupted(signal.SIGTERM, TensorFlowLoop, "evaluate", 2)
interrupted(signal.SIGTERM, RunDirectory, "write_csv", 1)
interrupted(0, RunDirectory, "write_csv", 1)
interrupted(0, RunDirectory, "write_csv", 1, "--epochs=4", "--extend")
print(json.dumps(statuses), file=sys.stderr)
"""


def test_a_signalled_run_goes_on_within_its_epoch_and_is_extended(finished, run_python, tmp_path):
    run_dir = tmp_path / "signalled"
    arguments = [*SMALL, *MEASURED, "--epochs=2", run_dir]
    process = run_python("-c", SIGNALLED, *arguments)
    *sentences, statuses = process.stderr.splitlines()
    terminated = errors.TERMINATED
    assert json.loads(statuses) == [terminated, errors.INTERRUPTED, terminated, terminated, 0, 0]
    assert [sentence for sentence in sentences if sentence] == [
        f"train.run: {ended}; without --overwrite, the same command goes on."
        for ended in ("terminated", "interrupted", "terminated", "terminated")
    ]
    assert re.findall("Going on after (.*)", process.stdout) == [
        "step 3 of epoch 1 of 2",
        "step 5 of epoch 1 of 2",
        "step 7 of epoch 2 of 2",
        "epoch 2 of 2",
        "epoch 2 of 4",
    ]
    assert_same_run(finished[0], run_dir)
    expected = (finished[0] / "flags.txt").read_text()
    assert (run_dir / "flags.txt").read_text() == expected


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "lamb", "muon"])
def test_every_optimizer_goes_on_within_a_cosine(optimizer, train, run_python, tmp_path):
    arguments = [*SMALL, "--epochs=2", "--export=none", f"--optimizer={optimizer}"]
    arguments += ["--learning_rate_schedule=cosine", "--warmup_fraction=0.3"]
    arguments += ["--learning_rate=0.01", "--label_smoothing=0.1"]
    undisturbed, signalled = tmp_path / "undisturbed", tmp_path / "signalled"
    assert train(*arguments, f"--run_dir={undisturbed}").returncode == 0
    goes_on = f'{INTERRUPTED}\ninterrupted(0, Run, "save", 0)\nassert statuses == [143, 0]'
    process = run_python("-c", goes_on, *arguments, signalled)
    assert process.returncode == 0, process.stderr
    assert "Going on after step 3 of epoch 1 of 2" in process.stdout
    assert_same_run(undisturbed, signalled)
    with (signalled / "history.csv").open(newline="") as file:
        first, second = (float(row["learning_rate"]) for row in csv.DictReader(file))
    assert 0.01 > first > second > 0.0
    process = train(*arguments, f"--run_dir={signalled}", "--epochs=3", "--extend")
    assert process.returncode == 2
    assert "has come down to 0 over its 2 epochs" in process.stderr


def test_a_run_without_drops_is_extended_by_some(train, tmp_path):
    arguments = [*SMALL, "--export=none", "--learning_rate=0.05"]
    whole, extended = tmp_path / "whole", tmp_path / "extended"
    drops = ["--epochs=2", "--learning_rate_drops=1"]
    assert train(*arguments, *drops, f"--run_dir={whole}").returncode == 0
    assert train(*arguments, "--epochs=1", f"--run_dir={extended}").returncode == 0
    process = train(*arguments, *drops, "--extend", f"--run_dir={extended}")
    assert process.returncode == 0, process.stderr
    assert_same_run(whole, extended)


def test_what_cannot_be_extended_stays(train, tmp_path):
    arguments = [*SMALL, "--export=none", f"--run_dir={tmp_path / 'run'}"]
    assert train(*arguments, "--epochs=1").returncode == 0
    path = tmp_path / "run" / "checkpoint.npz"
    with np.load(path) as file:
        contents = dict(file)
    # Of another version of Keras.
    variables = json.loads(str(contents["variables"]))[:-1]
    np.savez(path, **contents | {"variables": json.dumps(variables)})
    before = (tmp_path / "run" / "summary.json").read_bytes()
    process = train(*arguments, "--epochs=2", "--extend")
    assert process.returncode == 2
    assert "is of other variables" in process.stderr
    assert (tmp_path / "run" / "summary.json").read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("order", ["swap", "convention"])
def test_five_kills_in_one_run(order, train, tmp_path):
    arguments = [*SMALL, f"--order={order}", "--epochs=12", "--learning_rate_drops=4,9"]
    arguments.append("--statistics_every=4")
    undisturbed = tmp_path / "undisturbed"
    assert train(*arguments, f"--run_dir={undisturbed}").returncode == 0
    # Before anything is written, at the end of an epoch (twice), and in the middle of one.
    moments = [(None, 4.0), (1, 0.0), (3, 0.07), (6, 0.0), (9, 0.15)]
    kill_at(moments, tmp_path / "killed", arguments)
    assert_same_run(undisturbed, tmp_path / "killed")


@pytest.mark.parametrize("order", ["swap", "convention"])
def test_two_replicas_train_as_one(order, train, tmp_path):
    # In float32 max pooling decides near ties by rounding, and the two part by up to 1e-3, on some
    # processors within three steps. In float64 seven steps agree to 2e-12.
    arguments = [*SMALL, "--precision=float64", "--epochs=1", f"--order={order}"]
    for name, more in (("one", []), ("two", ["--strategy=mirrored", "--replicas=2"])):
        process = train(*arguments, *more, f"--run_dir={tmp_path / name}")
        assert process.returncode == 0, process.stderr
        assert process.stderr == ""
    one, two = (weights_of(tmp_path / name) for name in ("one", "two"))
    for expected, actual in zip(one, two, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-10)
    test_the_kept_models_answer_what_the_history_says((tmp_path / "two", None))


def test_a_validation_part_judges_the_epochs_and_stops_them(train, tmp_path):
    run_dir = tmp_path / "run"
    process = train(
        *SMALL,
        "--epochs=30",
        "--validation_fraction=0.2",
        "--early_stopping_patience=2",
        "--learning_rate=1e-6",
        f"--run_dir={run_dir}",
    )
    assert process.returncode == 0, process.stderr
    history = read_history(run_dir)
    assert len(history) < 30
    assert "val_accuracy" in history[0]
    assert "test_accuracy" not in history[0]
    accuracies = [float(row["val_accuracy"]) for row in history]
    assert max(accuracies[-2:]) <= max(accuracies[:-2])
    summary = json.loads((run_dir / "summary.json").read_text())
    assert summary["validation"]["accuracy"] == accuracies[-1]
    assert 0.0 <= summary["test"]["accuracy"] <= 1.0


def test_a_run_that_diverges_ends_and_says_where(train, tmp_path):
    run_dir = tmp_path / "run"
    arguments = [*SMALL, "--epochs=2", "--learning_rate=1e6", f"--run_dir={run_dir}"]
    process = train(*arguments)
    assert process.returncode == errors.DIVERGED
    said = process.stderr
    assert re.fullmatch(r"train\.run: the loss of epoch \d is not finite: .*\n", said), said
    assert "try a smaller --learning_rate than 1e+06: times --weight_decay it is 500" in said
    found = json.loads((run_dir / "diverged.json").read_text())
    assert found["reason"] in said
    assert not (run_dir / "model.keras").exists()
    # What is kept is from before: its values are finite, and one step on they are not.
    with np.load(run_dir / "checkpoint.npz") as kept:
        values = [kept[name] for name in kept.files if name.isdigit()]
    assert all(np.isfinite(value).all() for value in values)
    again = train(*arguments)
    assert again.returncode == errors.DIVERGED
    assert found["reason"] in again.stderr
    assert "--overwrite trains it anew" in again.stderr


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_precision(precision, train, tmp_path):
    run_dir = tmp_path / "run"
    arguments = [f"--precision={precision}", "--order=convention", "--epochs=2"]
    process = train(*SMALL, *arguments, f"--run_dir={run_dir}")
    assert process.returncode == 0, process.stderr
    model = keras.saving.load_model(run_dir / "model.keras")
    assert model.get_layer("conv1").compute_dtype == precision
    assert model.output.dtype == "float32"


def test_overwrite_starts_anew(train, tmp_path):
    run_dir = tmp_path / "run"
    arguments = [*SMALL, "--epochs=1", "--export=none", f"--run_dir={run_dir}"]
    assert train(*arguments).returncode == 0
    assert not (run_dir / "saved_model").exists()
    first = weights_of(run_dir)
    (run_dir / "saved_model").mkdir()
    assert train(*arguments, "--seed=1", "--overwrite").returncode == 0
    assert not (run_dir / "saved_model").exists()
    assert not np.array_equal(first[3], weights_of(run_dir)[3])
    assert "--seed=1" in (run_dir / "flags.txt").read_text()


def test_learning_rate_falls_to_a_tenth_at_each_drop():
    rates = [schedule.learning_rate(0.1, [2, 4], epoch) for epoch in range(6)]
    assert rates == [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]


def test_stopping_early_asks_the_history_alone():
    history = [{"val_accuracy": accuracy} for accuracy in (0.1, 0.5, 0.4, 0.5, 0.6)]
    stops = [schedule.stops_early(history[:count], 2) for count in range(6)]
    assert stops == [False, False, False, False, True, False]
    assert not schedule.stops_early(history, None)


def test_help_and_mistakes_answer_before_keras_is_imported(run_python, tmp_path):
    code = (
        "import sys; from train.run import main; "
        "codes = main(['--help']), main(['--model=vgg17']), main(['--dataset=image_folder']); "
        "print(codes, {'keras', 'tensorflow', 'numpy'} & set(sys.modules))"
    )
    process = run_python("-c", code)
    assert process.stdout.endswith("(0, 2, 2) set()\n"), process.stderr


@pytest.mark.parametrize(("arguments", "expected"), MISTAKES, ids=lambda value: str(value)[:40])
def test_a_mistake_leaves_nothing_behind(arguments, expected, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run.main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.startswith("train.run: ")
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_the_system_refuses_is_one_sentence(capsys):
    for flag in ("data_dir", "run_dir"):
        assert run.main([f"--{flag}=" + 300 * "x"]) == 2
        printed = capsys.readouterr().err
        assert printed.count("\n") == 1
        assert "File name too long" in printed


def test_a_mistake_that_shows_only_in_the_data_leaves_nothing_behind(train, tmp_path):
    run_dir = tmp_path / "run"
    for arguments in (["--train_examples=2000"], ["--train_examples=100"]):
        process = train(*arguments, f"--run_dir={run_dir}")
        assert process.returncode == 2
        assert process.stderr.count("\n") == 1
        assert not run_dir.exists()


def test_another_backend_is_refused(train, tmp_path):
    process = train(f"--run_dir={tmp_path / 'run'}", KERAS_BACKEND="torch")
    assert process.returncode == 2
    assert "KERAS_BACKEND is torch" in process.stderr
    assert not (tmp_path / "run").exists()


OWN = """
from keras import ops
from keras_bnact import activations

@activations.register(bounds=(-1.0, 2.0))
def lopsided(x):
    return ops.tanh(x) + ops.sigmoid(x) * ops.tanh(ops.relu(x))

def unknown(x):
    return x
"""


def test_an_activation_of_ones_own(train, tmp_path):
    (tmp_path / "own_functions.py").write_text(OWN)
    run_dir = tmp_path / "run"

    def run(function):
        flags = [*SMALL, "--epochs=1", f"--activation=own_functions:{function}"]
        return train(*flags, f"--run_dir={run_dir}", PYTHONPATH=str(tmp_path))

    for function, expected in (("lopsidet", "did you mean lopsided"), ("unknown", "register")):
        process = run(function)
        assert process.returncode == 2
        assert f"--activation=own_functions:{function}: " in process.stderr
        assert expected in process.stderr
        assert process.stderr.count("\n") == 1
        assert not run_dir.exists()
    assert run("lopsided").returncode == 0
    rows = list(csv.DictReader((run_dir / "statistics.csv").read_text().splitlines()))
    assert {(row["activation"], row["lower_bound"], row["upper_bound"]) for row in rows} == {
        ("lopsided", "-1.0", "2.0")
    }
