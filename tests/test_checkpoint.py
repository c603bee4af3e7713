"""What an interrupted run goes on from."""

import keras
import numpy as np
import pytest

from train.errors import UsageError
from train.run_directory import CHECKPOINT, RunDirectory
from train.training import checkpoint
from train.training.checkpoint import Checkpoint


@pytest.fixture
def directory(tmp_path):
    directory = RunDirectory(tmp_path / "run", "--seed=0\n")
    directory.create(overwrite=False)
    yield directory
    directory.release()


def variables(value, names=("kernel", "bias")):
    return [keras.Variable(np.full((2, 3), value, "float32"), name=name) for name in names]


def saved(directory):
    written = Checkpoint(variables(7.0), directory)
    written.progress.add_epoch({"epoch": 1, "loss": 0.5}, seconds=2.0, total_seconds=3.0)
    written.save()


def test_variables_and_progress_come_back_together(directory):
    saved(directory)
    others = variables(0.0)
    restored = Checkpoint(others, directory)
    for variable in others:
        np.testing.assert_array_equal(variable, np.full((2, 3), 7.0))
    assert restored.progress.history == [{"epoch": 1, "loss": 0.5}]
    assert (restored.progress.seconds, restored.progress.total_seconds) == ([2.0], 3.0)
    restored.delete()
    assert Checkpoint(others, directory).progress.epochs == 0


def test_it_is_not_written_anew_before_it_has_paid_off(directory, monkeypatch):
    now = iter([0.0, 1.0, 5.0, 12.0, 13.0])
    monkeypatch.setattr(checkpoint.time, "perf_counter", lambda: next(now))
    (variable,) = some = variables(1.0, ["kernel"])
    written = Checkpoint(some, directory)
    for value in (1.0, 2.0, 3.0):
        variable.assign(np.full((2, 3), value))
        # From 0 to 1 second; at 5, too early; from 12 to 13.
        written.save()
        (other,) = others = variables(0.0, ["kernel"])
        Checkpoint(others, directory)
        assert np.array(other)[0, 0] == {1.0: 1.0, 2.0: 1.0, 3.0: 3.0}[value]


def test_what_does_not_fit_is_refused(directory):
    saved(directory)
    with pytest.raises(UsageError, match="is of other variables"):
        Checkpoint(variables(0.0, ["bias", "kernel"]), directory)
    path = directory.path / CHECKPOINT
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UsageError, match=r"checkpoint\.npz is damaged"):
        Checkpoint(variables(0.0), directory)
