"""`python -m train.sweep` as a user meets it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from pathlib import Path

import pytest
from conftest import ROOT, SIX_RUNS, SMALL_RUN, SMALL_SWEEP
from searches import TWELVE, killed_at, trials_of

from train import errors, options, sweep
from train.errors import IN_USE
from train.run_directory import RunDirectory
from train.sweeps import engines, execution, grid
from train.sweeps.execution import Listed

pytestmark = pytest.mark.runs

SMALL = [*SMALL_RUN, "--export=none"]
HELD_OUT = "--validation_fraction=0.1"


@pytest.fixture
def run_sweep(run_python):
    def run(*arguments, **keywords):
        return run_python("-m", "train.sweep", *SMALL, *arguments, **keywords)

    return run


def test_runs_are_made_compared_and_not_made_again(run_python, tmp_path):
    command = ["-m", "train.sweep", *SMALL_SWEEP, "--epochs=2", f"--sweep_dir={tmp_path / 'sweep'}"]
    command += ["--grid=seed=0", "--grid=test_examples=99,1000"]
    process = run_python(*command, "--workers=2")
    assert process.returncode == 1
    assert "2 runs in" in process.stdout
    assert "0 of them finished before" in process.stdout
    assert "seed=0,test_examples=1000 failed: --test_examples" in process.stdout
    # Which a log is read for.
    assert "seed=0,test_examples=99 finished\n" in process.stderr
    table = (tmp_path / "sweep" / "table.csv").read_text().splitlines()
    assert table[0] == "test_examples,runs,finished,diverged,test_accuracy_mean,test_accuracy_std"
    first = tmp_path / "sweep" / "seed=0,test_examples=99"
    accuracy = json.loads((first / "summary.json").read_text())["test"]["accuracy"]
    assert 0.0 < accuracy <= 1.0
    made = (first / "summary.json").stat().st_mtime_ns
    again = run_python(*command)
    assert "1 of them finished before" in again.stdout
    assert (first / "summary.json").stat().st_mtime_ns == made
    assert (tmp_path / "sweep" / "table.csv").read_text().splitlines() == table
    assert "Traceback" not in again.stderr + again.stdout


def test_the_best_settings_are_trained_again_on_all_images(run_sweep, tmp_path):
    arguments = ["--epochs=1", "--validation_fraction=0.2", "--early_stopping_patience=1"]
    grids = ["--grid=learning_rate=0.05,1e-8", "--final=seed=2"]
    process = run_sweep(*arguments, *grids, f"--sweep_dir={tmp_path}", "--workers=2")
    assert process.returncode == 0, process.stderr
    assert "Best by validation accuracy: learning_rate=0.05" in process.stdout
    finals = [json.loads(path.read_text()) for path in tmp_path.glob("final/*/summary.json")]
    assert len(finals) == 1
    assert all("validation" not in summary for summary in finals)
    flags = (
        (tmp_path / "final" / "learning_rate=0.05,seed=2" / "flags.txt").read_text().splitlines()
    )
    assert {"--learning_rate=0.05", "--seed=2", "--validation_fraction=0.0"} <= {*flags}
    assert not any("patience" in flag for flag in flags)


def test_a_search_in_rounds_keeps_the_better_quarter(run_sweep, tmp_path):
    arguments = ["--epochs=4", "--learning_rate_drops=2", "--validation_fraction=0.2"]
    arguments += ["--grid=momentum=0.9", "--grid=learning_rate=1e-8,0.05", "--search_epochs=1,2"]
    process = run_sweep(*arguments, "--final=seed=2", f"--sweep_dir={tmp_path}", "--workers=2")
    assert process.returncode == 0, process.stderr
    rounds = {
        name: sorted(path.parent.name for path in tmp_path.glob(f"**/{name}/*/summary.json"))
        for name in ("epochs=1", "epochs=2", "final")
    }
    assert len(rounds["epochs=1"]) == 2
    assert rounds["epochs=2"] == ["momentum=0.9,learning_rate=0.05"]
    assert rounds["final"] == ["momentum=0.9,learning_rate=0.05,seed=2"]
    (second,) = (tmp_path / "search" / "epochs=2").glob("*/flags.txt")
    assert {"--epochs=2", "--learning_rate_drops=1"} <= {*second.read_text().splitlines()}
    (final,) = (tmp_path / "final").glob("*/flags.txt")
    assert {"--epochs=4", "--learning_rate_drops=2"} <= {*final.read_text().splitlines()}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--search_epochs=1,2", "--epochs=4"], "--search_epochs chooses by held-out images"),
        (["--search_epochs=2,1"], "give increasing epochs"),
        (
            ["--search_epochs=2,8", "--epochs=4", "--validation_fraction=0.1"],
            "--search_epochs=2,8 goes beyond --epochs=4",
        ),
        (
            ["--search_epochs=1,2", "--grid=epochs=4,8", "--validation_fraction=0.1"],
            "--search_epochs=1,2 sets the epochs: take them out of the grid",
        ),
        (
            ["--search_epochs=1,2", "--grid=learning_rate=0.1,1", "--grid=seed=0,1", HELD_OUT],
            "which has one of each: give a second grid, or no rounds",
        ),
        (
            ["--grid=validation_fraction=0.1,0.2", "--final=seed=1"],
            "validation_fraction varies in a grid",
        ),
        (
            [
                "--grid=gamma_weight_decay+beta_weight_decay=0,1",
                "--final=gamma_weight_decay=0.5",
                HELD_OUT,
            ],
            "gamma_weight_decay is in two grids",
        ),
    ],
)
def test_mistakes_of_a_search(arguments, expected, tmp_path, capsys):
    assert sweep.main([*arguments, f"--sweep_dir={tmp_path}"]) == 2
    assert expected in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_two_sweeps_in_one_directory(tmp_path):
    command = [sys.executable, "-m", "train.sweep", *SMALL, "--epochs=2", "--grid=seed=0,1"]
    command.append(f"--sweep_dir={tmp_path}")
    processes = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(2)
    ]
    outputs = [process.communicate()[0].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert all("failed" not in output for output in outputs)
    tables = [output[output.index("test accuracy") :] for output in outputs]
    assert tables[0] == tables[1]


def test_what_another_sweep_works_on_is_left_for_last(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(execution, "INTERVAL", 0.01)
    _, common = options.parse_sweep([])
    runs = grid.runs(grid.parse(["seed=0,1,2"]), common)
    directories = {run: RunDirectory(tmp_path / run.name, "") for run in runs}
    held, taken = (RunDirectory(tmp_path / f"seed={seed}", "") for seed in (0, 2))
    held.create(overwrite=False)
    submitted = []

    @contextlib.contextmanager
    def engine():
        yield submit

    def submit(arguments, log):
        name = Path(arguments[-1]).name
        submitted.append(name)
        future = Future()
        status = 0
        if name == "seed=1":
            os.close(held._lock)
        elif submitted.count("seed=2") == 1 and name == "seed=2":
            # Another sweep was faster.
            taken.create(overwrite=False)
            threading.Timer(0.2, os.close, [taken._lock]).start()
            status = IN_USE
        future.set_result(status)
        return future

    assert execution.execute(Listed(directories), tmp_path, engine()) == {}
    assert submitted == ["seed=1", "seed=2", "seed=0", "seed=2"]
    said = capsys.readouterr().err
    assert said.count("seed=0 is in use by another process: waiting for it") == 1


def test_a_run_that_turns_out_to_be_another_one_keeps_none_from_being_run(tmp_path):
    """As where two sweeps with other flags begin in one directory at once."""
    _, common = options.parse_sweep([])
    runs = grid.runs(grid.parse(["seed=0,1"]), common)
    directories = {run: RunDirectory(tmp_path / run.name, "--epochs=1\n") for run in runs}
    RunDirectory(tmp_path / "seed=0", "--epochs=2\n").create(overwrite=False)

    def submit(arguments, log):
        future = Future()
        Path(log).write_text("train.run: --run_dir holds a run with other flags\n")
        future.set_result(2 if arguments[-1].endswith("seed=0") else 0)
        return future

    failures = execution.execute(Listed(directories), tmp_path, contextlib.nullcontext(submit))
    assert list(failures.values()) == ["--run_dir holds a run with other flags"]


@pytest.mark.parametrize(("workers", "given", "told"), [(1, None, None), (2, None, 3), (4, 7, 7)])
def test_runs_at_a_time_share_the_cores(workers, given, told, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    monkeypatch.delenv(engines.THREADS, raising=False)
    if given:
        monkeypatch.setenv(engines.THREADS, str(given))
    # In place of Python, what a run would see.
    monkeypatch.setattr(engines.sys, "executable", "env")
    monkeypatch.setattr(engines, "COMMAND", ())
    log = tmp_path / "log"
    with engines.local(workers) as submit:
        assert submit([], str(log)).result() == 0
    seen = dict(line.split("=", 1) for line in log.read_text().splitlines() if "=" in line)
    assert seen.get(engines.THREADS) == (told and str(told))
    assert seen.get(engines.PREALLOCATE) == (None if workers == 1 else "false")


def test_a_search_trains_its_best_again(run_python, tmp_path):
    command = ["-m", "train.sweep", *SMALL_SWEEP, "--epochs=2", HELD_OUT, f"--sweep_dir={tmp_path}"]
    command += ["--search=optuna", "--range=learning_rate=log:1e-8:0.1", "--trials=2"]
    process = run_python(*command, "--final=seed=2", "--workers=2")
    assert process.returncode == 0, process.stderr
    assert f"2 trials in {tmp_path}" in process.stdout
    trials = trials_of(tmp_path)
    assert [state for _, state, *_ in trials] == ["COMPLETE"] * 2
    best = max(trials, key=lambda trial: trial[2])[0]["learning_rate"]
    assert f"learning_rate={best:.4g}" in process.stdout.partition("validation accuracy: ")[2]
    (final,) = tmp_path.glob("final/*/summary.json")
    assert final.parent.name == f"learning_rate={best:.4g},seed=2"
    rows = (tmp_path / "table.csv").read_text().splitlines()
    assert rows[0].startswith("learning_rate,runs,finished,diverged,validation_accuracy_mean,")
    assert len(rows) == 3


@pytest.mark.slow
def test_a_search_killed_twice_ends_like_an_undisturbed_one(run_python, tmp_path):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = run_python(*TWELVE, f"--sweep_dir={whole}", timeout=1800)
    assert process.returncode == 0, process.stderr
    for runs in (3, 7):
        killed_at(TWELVE, killed, runs)
    process = run_python(*TWELVE, f"--sweep_dir={killed}", timeout=1800)
    assert process.returncode == 0, process.stderr
    trials = trials_of(whole)
    assert trials_of(killed) == trials
    assert len(trials) == 12
    assert {state for _, state, *_ in trials} == {"COMPLETE", "PRUNED"}
    assert (killed / "table.csv").read_text() == (whole / "table.csv").read_text()


@pytest.mark.slow
def test_a_sweep_killed_twice_ends_like_an_undisturbed_one(run_python, tmp_path):
    command = ["-m", "train.sweep", *SIX_RUNS]
    undisturbed = run_python(*command, f"--sweep_dir={tmp_path / 'one'}")
    assert undisturbed.returncode == 1
    other = tmp_path / "other"
    command.append(f"--sweep_dir={other}")
    made = {}
    for finished in (1, 3):
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        while len(list(other.glob("*/history.csv"))) <= finished:
            assert process.poll() is None
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        made |= {path: path.stat().st_mtime_ns for path in other.glob("*/summary.json")}
    last = run_python(*command)
    assert last.returncode == 1
    assert "test_examples=1000 failed: --test_examples=1000: there are 360 images" in last.stdout
    tables = [(folder / "table.csv").read_text() for folder in (other, tmp_path / "one")]
    assert tables[0] == tables[1]
    assert len(tables[0].splitlines()) == 7
    assert len(made) >= 3
    assert made == {path: path.stat().st_mtime_ns for path in made}
    logs = "".join(path.read_text() for path in (other / "logs").iterdir())
    assert "Going on after epoch" in logs


def test_an_interrupted_sweep_leaves_no_run_behind(tmp_path):
    command = [sys.executable, "-m", "train.sweep", *SMALL, "--epochs=200", "--grid=seed=0,1"]
    process = subprocess.Popen(
        [*command, f"--sweep_dir={tmp_path}"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not list(tmp_path.glob("*/history.csv")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert process.returncode == errors.TERMINATED
    assert "terminated; the same command goes on" in said
    (run_dir,) = (path.parent for path in tmp_path.glob("*/history.csv"))
    # Which has saved where it is.
    (log,) = (tmp_path / "logs").iterdir()
    assert "train.run: terminated; without --overwrite, the same" in log.read_text()
    rows = (run_dir / "history.csv").read_text()
    time.sleep(1.0)
    assert (run_dir / "history.csv").read_text() == rows


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "--sweep_dir is missing"),
        (["--sweep_dir="], "--sweep_dir= names no folder"),
        (["--sweep_dir=a\nb"], "--sweep_dir='a\\nb' has characters that cannot be printed"),
        (["--sweep_dir=x", "--data_dir="], "--data_dir= names no folder"),
        (["--sweep_dir=x", "--data_dir=a\n--epochs=7"], "has characters that cannot be printed"),
        (["--sweep_dir=x", "--grid=sed=1"], "sed is no flag to vary; did you mean seed?"),
        (
            ["--sweep_dir=x", "--final=seeds=1"],
            "--final=seeds=1: seeds is no flag to vary; did you mean seed?",
        ),
        (["--sweep_dir=x", "--grid=seed=1,2", "--seed=3"], "--seed is given and varies in a grid"),
        (
            ["--sweep_dir=x", "--grid=deterministic=true,false", "--nodeterministic"],
            "--deterministic is given and varies in a grid",
        ),
        (["--sweep_dir=x", "--final=seed=1"], "--final chooses by held-out images"),
        (["--sweep_dir=x", "--run_dir=y"], "--run_dir goes with train.run"),
        (["--sweep_dir=x", "--wrkers=2"], "--wrkers is no flag"),
        (["--sweep_dir=x", "--workers=0"], "a whole number of at least 1"),
        (["--sweep_dir=x", "--gpus_per_run=1"], "goes with --engine=ray"),
        (["--sweep_dir=x", "--engine=ray", "--workers=2"], "goes with --engine=local"),
        (["--sweep_dir=x", "--engine=slurm"], "give one of local, ray"),
    ],
)
def test_a_mistake_leaves_nothing_behind(arguments, expected, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert sweep.main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("train.sweep: ")
    assert expected in printed.err
    assert printed.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_help_and_mistakes_answer_before_keras_is_imported(run_python):
    code = (
        "import sys; from train.sweep import main; "
        "codes = main(['--help']), main(['--grid=seed=a']); "
        "print(codes, {'keras', 'tensorflow', 'numpy'} & set(sys.modules))"
    )
    process = run_python("-c", code)
    assert process.stdout.endswith("(0, 2) set()\n"), process.stderr
