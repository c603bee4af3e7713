"""The scripts that users copy run, and say what they promise."""

import re

import keras
import pytest
from conftest import ROOT

pytestmark = [
    pytest.mark.runs,
    pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="once is enough"),
]


def test_every_example_is_run_here():
    names = {path.name for path in (ROOT / "examples").glob("*.py")}
    assert names == {"own_model.py", "callback.py", "keras_applications.py", "saved_model.py"}


def test_own_model(run_python):
    finished = run_python("examples/own_model.py")
    assert finished.returncode == 0, finished.stderr
    accuracies = dict(re.findall(r"^(\w+) +test accuracy (\d\.\d+)$", finished.stdout, re.M))
    # Ten digits: a network that has learned nothing has 0.1.
    assert min(float(accuracies[order]) for order in ("convention", "swap")) > 0.7


def test_callback(run_python):
    finished = run_python("examples/callback.py")
    assert finished.returncode == 0, finished.stderr
    assert len(re.findall(r"^ +[123] .* [+-]\d\.\d{3}$", finished.stdout, re.M)) == 3


def test_keras_applications(run_python):
    finished = run_python("examples/keras_applications.py", "random")
    assert finished.returncode == 0, finished.stderr
    assert re.search(r"^conv_pw_13_relu +ReLU +- +0\.\d+\*", finished.stdout, re.M), finished.stdout
    assert "The sparsest layer is" in finished.stdout


def test_saved_model(run_python, train, tmp_path):
    arguments = ["--model=vgg16_8", "--epochs=2", "--width=0.1", f"--run_dir={tmp_path / 'run'}"]
    assert train(*arguments).returncode == 0
    finished = run_python("examples/saved_model.py", tmp_path / "run" / "saved_model")
    said, labels = (line.split()[1:] for line in finished.stdout.splitlines())
    assert len(said) == 16
    assert sum(a == b for a, b in zip(said, labels, strict=True)) >= 10
