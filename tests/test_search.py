"""A search: what its trials are and which are cut short, whatever disturbs it."""

import concurrent.futures
import contextlib
import math
import random
import re
import threading
import time
from pathlib import Path

import pytest
from searches import trials_of

from train import options, sweep
from train.errors import UsageError
from train.run_directory import FLAGS, HISTORY, SUMMARY, RunDirectory
from train.sweeps import execution, ranges
from train.sweeps.search import JOURNAL, Search

EPOCHS = 5
RANGES = ["learning_rate=log:1e-3:1", "momentum=linear:0.5:0.95", "order=any:swap:convention"]


class StoppedError(Exception):
    """Ends a search as a signal would."""


def accuracy(flags, epoch):
    """Of made runs: highest at a learning rate of 0.03, from the first epoch on."""
    far = abs(math.log10(flags.learning_rate) + 1.5) + abs(flags.momentum - 0.9)
    return round((0.9 - 0.2 * far) * epoch / (epoch + 1) + 0.01 * (flags.order == "swap"), 6)


def train(arguments, stopping, pause):
    """Writes what a run writes, epoch by epoch; returns its status, None if it was ended."""
    *given, run_dir = arguments
    flags = options.parse(given)
    directory = RunDirectory(Path(run_dir.removeprefix("--run_dir=")), "")
    directory.path.mkdir(parents=True, exist_ok=True)
    directory.write_text(FLAGS, options.as_text(flags))
    rows = []
    for epoch in range(1, EPOCHS + 1):
        if stopping.wait(pause()):
            return None
        rows.append({"epoch": epoch, "val_accuracy": accuracy(flags, epoch)})
        directory.write_csv(HISTORY, rows)
    value = {"accuracy": rows[-1]["val_accuracy"]}
    directory.write_json(SUMMARY, {"validation": value, "test": value})
    return 0


@pytest.fixture
def engine(monkeypatch):
    """Makes an engine of threads that write what runs would, each as slowly as it likes."""
    ended = {}
    monkeypatch.setattr("train.sweeps.engines.end", lambda log: ended[log].set())
    monkeypatch.setattr(execution, "INTERVAL", 0.01)

    @contextlib.contextmanager
    def engine(seed=0, stop_at=None):
        pauses, submitted = random.Random(seed), []

        def submit(arguments, log):
            submitted.append(log)
            if len(submitted) == stop_at:
                raise StoppedError
            ended[log] = threading.Event()
            return pool.submit(train, arguments, ended[log], lambda: 0.03 * pauses.random())

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            try:
                yield submit
            finally:
                for event in ended.values():
                    event.set()

    return engine


def made(folder, trials=12, at_once=1, given=RANGES, seed=3):
    common = options.parse([f"--epochs={EPOCHS}", "--validation_fraction=0.1", f"--seed={seed}"])
    return Search(ranges.parse(given), common, trials, at_once, folder)


def test_a_search_comes_near_the_best_and_cuts_short_what_is_behind(tmp_path, engine):
    search = made(tmp_path, trials=25)
    assert execution.execute(search, tmp_path, engine()) == {}
    trials = trials_of(tmp_path)
    assert len(trials) == 25
    values = [value for *_, value, _ in trials if value is not None]
    # Of 0.95 that there is, where a random choice is at 0.55 on average.
    assert max(values) > 0.72
    cut = [steps for _, state, _, steps in trials if state == "PRUNED"]
    assert cut
    assert len(cut) == len(search.pruned)
    assert all(max(steps) < EPOCHS for steps in cut)
    whole = [steps for _, state, _, steps in trials if state == "COMPLETE"]
    assert all([*steps] == [1, 2, 3, 4] for steps in whole)


def test_a_trial_is_cut_short_where_it_is_below_the_median(tmp_path, engine):
    execution.execute(made(tmp_path, trials=20), tmp_path, engine())
    trials = trials_of(tmp_path)
    for number, (_, _, _, steps) in enumerate(trials):
        before = [t for t in trials[:number] if t[1] == "COMPLETE"]
        best = -math.inf
        below = None
        for epoch, value in steps.items():
            best = max(best, value)
            others = sorted(other[3][epoch] for other in before)
            middle = len(others) // 2
            median = (others[middle] + others[~middle]) / 2 if others else -math.inf
            if len(before) >= 5 and best < median:
                below = epoch
                break
        state = "COMPLETE" if below is None else "PRUNED"
        assert (trials[number][1], below) == (state, max(steps) if below else None)


@pytest.mark.parametrize("at_once", [1, 3])
def test_a_search_that_is_stopped_ends_like_an_undisturbed_one(at_once, tmp_path, engine):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    execution.execute(made(whole, at_once=at_once), whole, engine(seed=1))
    for seed, stop_at in ((2, 4), (3, 5), (4, None)):
        with contextlib.suppress(StoppedError):
            execution.execute(made(stopped, at_once=at_once), stopped, engine(seed, stop_at))
    assert trials_of(stopped) == trials_of(whole)
    assert len(trials_of(whole)) == 12
    names = {path.name for path in stopped.iterdir()}
    assert names == {path.name for path in whole.iterdir()}
    # And is not made again.
    execution.execute(made(stopped, at_once=at_once), stopped, engine(stop_at=1))
    assert trials_of(stopped) == trials_of(whole)


def test_more_trials_go_on_from_those_that_there_are(tmp_path, engine):
    execution.execute(made(tmp_path, trials=6), tmp_path, engine())
    first = trials_of(tmp_path)
    execution.execute(made(tmp_path, trials=9), tmp_path, engine())
    assert trials_of(tmp_path)[:6] == first
    assert len(trials_of(tmp_path)) == 9


def test_equal_settings_are_one_run(tmp_path, engine):
    search = made(tmp_path, trials=8, at_once=3, given=["order=any:swap:convention"])
    assert execution.execute(search, tmp_path, engine()) == {}
    assert {run.name for run in search.runs} == {"order=swap", "order=convention"}
    assert len(trials_of(tmp_path)) == 8


def test_a_run_that_one_trial_finished_is_not_cut_short_by_another(tmp_path, engine, monkeypatch):
    def late(flags, epoch):
        # The best in the end is the worst at first.
        first, last = {"swap": (0.5, 0.6), "nobn": (0.4, 0.5), "convention": (0.1, 0.9)}[
            flags.order
        ]
        return last if epoch == EPOCHS else first

    monkeypatch.setitem(globals(), "accuracy", late)
    search = made(tmp_path, trials=16, given=["order=any:swap:convention:nobn"], seed=1)
    execution.execute(search, tmp_path, engine())
    states = [(params["order"], state) for params, state, *_ in trials_of(tmp_path)]
    assert {("convention", "COMPLETE"), ("convention", "PRUNED")} <= {*states}
    assert "convention" not in {run.flags.order for run in search.pruned}


def test_a_folder_of_another_search_is_refused_before_anything_is_trained(tmp_path, engine):
    execution.execute(made(tmp_path, trials=2), tmp_path, engine())
    with pytest.raises(UsageError, match=r"is of a search with other ranges .* there"):
        made(tmp_path, given=RANGES[:1])
    with pytest.raises(UsageError, match=r"with other --workers \(1 there, 4 here\): give"):
        made(tmp_path, at_once=4)
    journal = tmp_path / JOURNAL
    # Cut short, and gone on with.
    journal.write_bytes(journal.read_bytes()[:-9] + b"\n{}\n")
    with pytest.raises(UsageError, match=r"is damaged .*: delete it, and it is written anew"):
        execution.execute(made(tmp_path), tmp_path, engine())
    journal.unlink()
    execution.execute(made(tmp_path), tmp_path, engine())
    assert len(trials_of(tmp_path)) == 12


def test_other_values_than_stored_are_refused(tmp_path, engine, monkeypatch):
    execution.execute(made(tmp_path, trials=2), tmp_path, engine())
    search = made(tmp_path, trials=3)
    search.common.seed = 9
    with pytest.raises(UsageError, match="has other values for trial 0 than are chosen now"):
        execution.execute(search, tmp_path, engine())


def test_the_next_trials_wait_for_one_that_fails(tmp_path, engine):
    @contextlib.contextmanager
    def failing():
        with engine() as submit:

            def fail_third(arguments, log):
                time.sleep(0.01)
                if len([*(tmp_path / "logs").glob("*")]) < 2:
                    Path(log).write_text("train.run: no disk\n")
                    return submit(arguments, log)
                Path(log).write_text("train.run: no disk\n")
                future = concurrent.futures.Future()
                future.set_result(2)
                return future

            yield fail_third

    search = made(tmp_path)
    failures = execution.execute(search, tmp_path, failing())
    assert [*failures.values()] == ["no disk"]
    assert len(trials_of(tmp_path)) == 2
    execution.execute(made(tmp_path), tmp_path, engine())
    whole = tmp_path / "whole"
    execution.execute(made(whole), whole, engine())
    assert trials_of(tmp_path) == trials_of(whole)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("learning_rate", "--range=learning_rate: give FLAG= and one of log:LOW:HIGH"),
        ("learning_rate=log:1:", "give FLAG= and one of"),
        ("learning_rate=lin:0:1", "give FLAG= and one of"),
        ("learning_rate=log:0:1", "give log:LOW:HIGH, the lower number first above 0"),
        ("learning_rate=log:1:0.1", "the lower number first"),
        ("learning_rate=log:1e-3:x", "give log:LOW:HIGH with two numbers"),
        ("learning_rate=log:1e-3:nan", "the lower number first"),
        ("momentum=linear:0:1", "momentum=linear:0:1: 1 of momentum: .*below 1"),
        ("batch_size=whole:1:8", "1 of batch_size: give a whole number of at least 2"),
        ("batch_size=log:16:256", "batch_size takes whole numbers; give whole:LOW:HIGH"),
        ("momentum=any:0.9:0.90", "has a value twice"),
        ("order=any:swap:swop", "swop of order: .*did you mean swap"),
        ("order=any:swap:swap", "has a value twice"),
        ("orders=any:swap:nobn", "orders is no flag to vary; did you mean order?"),
        ("seed=whole:0:9", "seed is no flag to vary"),
        ("data_dir=any:a/b:c", "has / in a value"),
    ],
)
def test_a_range_that_is_none_is_one_sentence(given, expected):
    with pytest.raises(UsageError, match=expected) as error:
        ranges.parse([given])
    assert "\n" not in str(error.value)


RANGE = "--range=learning_rate=log:1e-3:1"
HELD_OUT = "--validation_fraction=0.1"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([RANGE], "--range goes with --search=optuna."),
        (["--trials=3"], "--trials goes with --search=optuna."),
        (["--search=optuna", RANGE], "give --range=.* and --trials=20"),
        (["--search=optuna", "--trials=3"], "give --range=.* and --trials=20"),
        (["--search=optuna", "--trials=3", RANGE], "--search chooses by held-out images"),
        (["--search=grid", "--trials=3", RANGE], "--search=grid: give one of optuna"),
        (
            ["--search=optuna", "--trials=3", RANGE, HELD_OUT, "--grid=seed=0,1"],
            "--grid goes with a sweep of grids",
        ),
        (
            ["--search=optuna", "--trials=3", RANGE, HELD_OUT, "--learning_rate=0.1"],
            "--learning_rate is given and varies in a range",
        ),
        (
            ["--search=optuna", "--trials=3", "--range=epochs=whole:2:9", HELD_OUT],
            "--search judges all trials by the same epochs",
        ),
        (
            ["--search=optuna", "--trials=3", "--range=epochs+image_size=whole:32:64", HELD_OUT],
            "--search judges all trials by the same epochs",
        ),
        (
            [
                *("--search=optuna", "--trials=3", HELD_OUT, "--range=momentum=linear:0.5:0.95"),
                "--range=optimizer=any:sgd:adamw",
            ],
            "--momentum=0.5 goes with --optimizer=sgd",
        ),
        (["--search=optuna", "--trials=0", RANGE, HELD_OUT], "trials=0: give a whole number"),
    ],
)
def test_mistakes_of_a_search_are_one_sentence(arguments, expected, tmp_path, capsys):
    assert sweep.main([*arguments, f"--sweep_dir={tmp_path / 'sweep'}"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert re.search(expected, said)
    assert not (tmp_path / "sweep").exists()
