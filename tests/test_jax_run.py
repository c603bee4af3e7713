"""`train.run` and `train.sweep` with KERAS_BACKEND=jax, as a user meets them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import pytest

if keras.backend.backend() != "jax":
    pytest.skip("of JAX: make test-jax", allow_module_level=True)

from conftest import ROOT
from digit_images import SMALL, digits, write_folder

from analysis import runs
from keras_bnact import measure
from train import data, options, run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("images"))


@pytest.fixture
def arguments(folder):
    images = ["--dataset=image_folder", f"--data_dir={folder}"]
    return [*SMALL, *images, "--epochs=3", "--statistics_every=2"]


def test_images_are_read_from_a_folder(folder):
    flags = options.parse(
        [
            *(*SMALL, "--batch_size=16", "--validation_fraction=0.2"),
            *("--dataset=image_folder", f"--data_dir={folder}"),
        ]
    )
    loaded = data.load(flags)
    assert data.load(flags) is loaded
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
    assert loaded.mean == pytest.approx(expected, rel=1e-6)


def test_what_a_run_writes_is_what_its_network_shows(arguments, train, tmp_path):
    place = tmp_path / "run"
    arguments += ["--validation_fraction=0.2", "--batch_size=16", f"--run_dir={place}"]
    finished = train(*arguments)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "Epoch 3/3: loss" in finished.stdout
    (found,), problems = runs.read(tmp_path)
    assert (len(found.history), problems) == (3, [])
    assert [*found.measured.index.unique("epoch")] == [1, 2, 3]
    network = keras.saving.load_model(place / "model.keras")
    assert not network.compiled
    images = data.load(options.parse(arguments))
    for name in ("validation", "test"):
        part = getattr(images, name)
        accuracy = (network.predict(part.images, verbose=0).argmax(axis=1) == part.labels).mean()
        assert found.summary[name]["accuracy"] == pytest.approx(accuracy, abs=1e-6)
    assert found.summary["statistics"] == pytest.approx(
        measure(network, images.test.images).means(), rel=1e-5
    )
    written = {path.name for path in place.iterdir()}
    tables = {
        "channels.npz",
        "report.html",
        "gradients.csv",
        "history.csv",
        "statistics.csv",
        "summary.json",
    }
    others = {"data.json", "environment.json", "flags.txt", "model.keras", ".lock"}
    assert written == tables | others | {"checkpoint.npz"}
    environment = json.loads((place / "environment.json").read_text())
    assert environment["backend"] == "jax"


def test_a_killed_run_goes_on_as_if_it_had_not_been(arguments, train, tmp_path):
    # Long enough to be killed in.
    arguments += ["--epochs=30", "--statistics_every=30"]
    places = [tmp_path / name for name in ("undisturbed", "killed")]
    assert train(*arguments, f"--run_dir={places[0]}").returncode == 0
    command = [sys.executable, "-m", "train.run", *arguments, f"--run_dir={places[1]}"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    while not (places[1] / "history.csv").is_file():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    last = train(*arguments, f"--run_dir={places[1]}")
    assert "Going on after epoch" in last.stdout, last.stderr
    for name in ("history.csv", "statistics.csv", "gradients.csv"):
        one, other = ((place / name).read_text() for place in places)
        assert one == other


def test_a_worker_goes_on_from_run_to_run(arguments, run_python, tmp_path):
    grids = ["--grid=seed=0,1", "--grid=order=swap,convention"]
    command = ["-m", "train.sweep", *arguments, *grids, f"--sweep_dir={tmp_path}"]
    finished = run_python(*command)
    assert finished.returncode == 0, finished.stderr
    # A network's seeds are next to one another.
    assert finished.stderr.splitlines() == [
        f"seed={seed},order={order} finished" for order in ("swap", "convention") for seed in (0, 1)
    ]
    # What a run is does not depend on which process makes it.
    place = tmp_path / "seed=1,order=convention"
    again = run_python(
        *("-m", "train.run", f"--flagfile={place / 'flags.txt'}", f"--run_dir={tmp_path / 'again'}")
    )
    assert again.returncode == 0, again.stderr
    for name in ("history.csv", "statistics.csv"):
        assert (tmp_path / "again" / name).read_text() == (place / name).read_text()


def workers_of(process):
    """The processes that a sweep has started to carry out runs."""
    children = subprocess.run(
        ["pgrep", "-f", "spawn_main", "--parent", str(process.pid)], capture_output=True, text=True
    )
    return [int(child) for child in children.stdout.split()]


def started(command, place):
    """A sweep, once it works on a run."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    while not (place / ".lock").is_file():
        assert process.poll() is None
        time.sleep(0.01)
    return process


def test_two_sweeps_share_a_folder(arguments, tmp_path):
    command = [sys.executable, "-m", "train.sweep", *arguments, "--grid=seed=0,1,2"]
    command.append(f"--sweep_dir={tmp_path}")
    processes = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) for _ in range(2)]
    outputs = [process.communicate(timeout=300)[0].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert len(list(tmp_path.glob("*/summary.json"))) == 3


def test_a_killed_sweep_leaves_no_worker_behind(arguments, tmp_path):
    command = [sys.executable, "-m", "train.sweep", *arguments, "--grid=seed=0"]
    process = started([*command, f"--sweep_dir={tmp_path}"], tmp_path / "seed=0")
    (child,) = workers_of(process)
    process.kill()
    process.wait()
    process.stdout.close()
    # It ends its run, and then itself.
    deadline = time.monotonic() + 120
    while Path(f"/proc/{child}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert (tmp_path / "seed=0" / "summary.json").is_file()


def test_what_one_backend_has_made_is_not_taken_for_another_ones(arguments, train, tmp_path):
    place = [f"--run_dir={tmp_path / 'run'}"]
    assert train(*arguments, "--epochs=1", *place).returncode == 0
    refused = train(*arguments, "--epochs=1", *place, KERAS_BACKEND="tensorflow")
    assert refused.returncode == 2
    assert "begun with KERAS_BACKEND=jax" in refused.stderr


def test_a_killed_process_fails_its_run_alone(arguments, tmp_path):
    command = [sys.executable, "-m", "train.sweep", *arguments, "--grid=seed=0,1"]
    process = started([*command, f"--sweep_dir={tmp_path}"], tmp_path / "seed=0")
    (child,) = workers_of(process)
    os.kill(child, signal.SIGKILL)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "seed=0 failed: killed by signal 9" in said
    assert (tmp_path / "seed=1" / "summary.json").is_file()


WITHOUT_TENSORFLOW = """
import sys

class NotThere:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "tensorflow":
            raise ModuleNotFoundError(name=name)

sys.meta_path.insert(0, NotThere())
from train import run
sys.exit(run.main(sys.argv[1:]))
"""


def test_tensorflow_is_not_needed(arguments, tmp_path, run_python):
    arguments += ["--precision=bfloat16", "--model=mobilenet", f"--run_dir={tmp_path / 'run'}"]
    finished = run_python("-c", WITHOUT_TENSORFLOW, *arguments)
    assert finished.returncode == 0, finished.stderr
    network = keras.saving.load_model(tmp_path / "run" / "model.keras")
    assert network.get_layer("conv1").compute_dtype == "bfloat16"


def test_an_image_that_cannot_be_read_is_one_sentence(tmp_path, train):
    folder = write_folder(tmp_path / "images")
    damaged = next((folder / "test" / "digit1").iterdir())
    damaged.write_bytes(damaged.read_bytes()[:200])
    images = ["--dataset=image_folder", f"--data_dir={folder}"]
    finished = train(*SMALL, *images, f"--run_dir={tmp_path / 'run'}")
    assert finished.returncode == 2
    said = f"train.run: {damaged} is no JPEG or PNG image that can be read: repair or remove it"
    assert finished.stderr.startswith(said)
    assert finished.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("more", "answer"),
    [
        (["--precision=float16"], "--precision=float16 goes with TensorFlow"),
        (["--image_size=224"], "--image_size=224: images of this size are read while training"),
        (["--strategy=mirrored"], "--strategy=mirrored goes with TensorFlow"),
        (["--deterministic"], "--deterministic goes with TensorFlow"),
        (["--export=saved_model"], "--export=saved_model goes with TensorFlow"),
    ],
)
def test_what_jax_lacks_is_one_sentence(more, answer, arguments, tmp_path, capsys):
    assert run.main([*arguments, *more, f"--run_dir={tmp_path / 'run'}"]) == 2
    error = capsys.readouterr().err
    assert answer in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()
