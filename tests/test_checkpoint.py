"""What an interrupted run goes on from."""

import keras
import numpy as np
import pytest

from train.errors import UsageError
from train.run_directory import CHECKPOINT, PREVIOUS_CHECKPOINT, RunDirectory
from train.training import checkpoint
from train.training.checkpoint import Checkpoint
from train.training.progress import NO_STEP, PartOfEpoch


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
    written.reach()
    written.save()


def test_variables_and_progress_come_back_together(directory):
    saved(directory)
    others = variables(0.0)
    restored = Checkpoint(others, directory)
    for variable in others:
        np.testing.assert_array_equal(variable, np.full((2, 3), 7.0))
    assert restored.progress.history == [{"epoch": 1, "loss": 0.5}]
    assert (restored.progress.seconds, restored.progress.total_seconds) == ([2.0], 3.0)
    assert restored.part == NO_STEP
    restored.delete()
    assert Checkpoint(others, directory).progress.epochs == 0


def test_a_part_of_an_epoch_comes_back_without_what_its_end_adds(directory):
    saved(directory)
    (kernel, _) = some = variables(0.0)
    written = Checkpoint(some, directory)
    kernel.assign(np.full((2, 3), 8.0))
    written.reach(PartOfEpoch(3, 1.5, {"loss": 0.25}))
    # Measured, but its end was not reached.
    written.progress.add_epoch({"epoch": 2, "loss": 0.1}, seconds=2.0, total_seconds=3.0)
    metrics = [keras.Variable(0.75), keras.Variable(96.0)]
    written.save(metrics)
    (kernel, bias) = others = variables(0.0)
    restored = Checkpoint(others, directory)
    assert restored.place == "step 3 of epoch 2"
    assert restored.progress.history == [{"epoch": 1, "loss": 0.5}]
    assert (np.array(kernel)[0, 0], np.array(bias)[0, 0]) == (8.0, 7.0)
    part = restored.part
    assert (part.steps, part.seconds, part.figures) == (3, 1.5, {"loss": 0.25})
    assert [float(value) for value in part.metrics] == [0.75, 96.0]
    # The next epoch's end is one again.
    restored.reach()
    assert restored.place == "epoch 1"


def test_the_last_one_alone_is_kept_of_a_finished_run(directory):
    two_saved(directory)
    Checkpoint(variables(0.0), directory).delete_previous()
    assert not (directory.path / PREVIOUS_CHECKPOINT).exists()
    assert Checkpoint(variables(0.0), directory).progress.epochs == 2


def test_it_is_not_written_anew_before_it_has_paid_off(directory, monkeypatch):
    now = iter([0.0, 1.0, 5.0, 12.0, 13.0, 14.0, 15.0])
    monkeypatch.setattr(checkpoint.time, "perf_counter", lambda: next(now))
    (variable,) = some = variables(1.0, ["kernel"])
    written = Checkpoint(some, directory)
    for value in (1.0, 2.0, 3.0):
        variable.assign(np.full((2, 3), value))
        written.reach()
        # From 0 to 1 second; at 5, too early; from 12 to 13.
        written.save(patient=True)
        (other,) = others = variables(0.0, ["kernel"])
        Checkpoint(others, directory)
        assert np.array(other)[0, 0] == {1.0: 1.0, 2.0: 1.0, 3.0: 3.0}[value]
    variable.assign(np.full((2, 3), 4.0))
    written.reach()
    # Too early, but for one that is asked for.
    written.save()
    Checkpoint(others, directory)
    assert np.array(other)[0, 0] == 4.0


def test_what_does_not_fit_is_refused(directory):
    saved(directory)
    with pytest.raises(UsageError, match="is of other variables"):
        Checkpoint(variables(0.0, ["bias", "kernel"]), directory)
    path = directory.path / CHECKPOINT
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UsageError, match=r"checkpoint\.npz is damaged"):
        Checkpoint(variables(0.0), directory)


def two_saved(directory):
    """Of one epoch with 1, and then of two with 2."""
    for value in (1.0, 2.0):
        written = Checkpoint(variables(0.0), directory)
        for variable in written._variables:
            variable.assign(np.full((2, 3), value))
        written.progress.add_epoch({"epoch": value}, seconds=1.0, total_seconds=1.0)
        written.reach()
        written.save()


def test_a_damaged_one_falls_back_to_the_one_before_and_says_so(directory, capsys):
    two_saved(directory)
    path = directory.path / CHECKPOINT
    path.write_bytes(path.read_bytes()[:-40])
    restored = Checkpoint(some := variables(0.0), directory)
    assert restored.progress.epochs == 1
    np.testing.assert_array_equal(some[0], np.full((2, 3), 1.0))
    said = capsys.readouterr().err
    assert f"{path} is damaged" in said
    assert "goes on from the one before it, after epoch 1." in said
    assert said.count("\n") == 1
    # Which the next one does not put in the place of the good one.
    assert not path.exists()


def test_a_death_between_its_two_renamings_costs_one_epoch(directory):
    two_saved(directory)
    (directory.path / CHECKPOINT).unlink()
    assert Checkpoint(variables(0.0), directory).progress.epochs == 1


def test_no_garbled_byte_is_ever_taken_for_a_weight(directory, rng, capsys):
    two_saved(directory)
    path = directory.path / CHECKPOINT
    whole = path.read_bytes()
    fallen_back = 0
    for place in rng.permutation(len(whole))[:200]:
        garbled = bytearray(whole)
        garbled[place] ^= int(rng.integers(1, 256))
        path.write_bytes(garbled)
        restored = Checkpoint(some := variables(0.0), directory)
        # What is not told, a date for one, is of no account.
        value = float(restored.progress.epochs)
        assert value in (1.0, 2.0)
        for variable in some:
            np.testing.assert_array_equal(variable, np.full((2, 3), value))
        fallen_back += value == 1.0
    assert fallen_back > 50
    assert capsys.readouterr().err.count("\n") == fallen_back


def test_two_damaged_ones_are_refused(directory):
    two_saved(directory)
    for name in (CHECKPOINT, PREVIOUS_CHECKPOINT):
        (directory.path / name).write_bytes(b"PK")
    with pytest.raises(UsageError, match=r"checkpoint\.npz is damaged .* and .*previous\.npz is"):
        Checkpoint(variables(0.0), directory)
