"""The command `python -m examples.full_scale.run`."""

import json
import re

import keras
import pytest

if keras.backend.backend() != "jax":
    pytest.skip("of JAX: make test-jax", allow_module_level=True)

from conftest import ROOT
from digit_images import SMALL, write_folder

from analysis import results
from examples.full_scale import plan, run


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "images")


def command(folder, runs, *arguments):
    small = [f"--data_dir={folder}", f"--runs={runs}", *SMALL, "--epochs=2"]
    return [*small, "--learning_rate_drops=", "--cells=table2/tanh_swap", *arguments]


def test_runs_are_written_and_gone_on_with(folder, tmp_path, run_python):
    runs = tmp_path / "runs"

    def train():
        arguments = command(folder, runs, "--grid=seed=0,1", "--statistics_every=1")
        finished = run_python("-m", "examples.full_scale.run", *arguments)
        assert finished.returncode == 0, finished.stderr
        return finished.stdout

    assert "0 of 2 runs finished" in train()
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
    assert "1 of 2 runs finished" in train()
    assert (places[0] / "summary.json").stat().st_mtime_ns == kept
    assert [(place / "history.csv").read_text() for place in places] == before
    assert before[0] != before[1]
    assert train() == "2 of 2 runs finished\n"


@pytest.fixture
def planned(monkeypatch):
    """Where the command with these arguments would train, and the flags of each run."""

    def plan_of(arguments):
        pending = []
        with monkeypatch.context() as patched:
            patched.setattr(plan, "carry_out", lambda runs, precision: pending.extend(runs))
            assert run.main(arguments) == 0
        return pending

    return plan_of


def test_a_run_that_is_in_use_keeps_no_other_from_being_made(folder, tmp_path, run_python, planned):
    runs = tmp_path / "runs"
    arguments = ["--validation_fraction=0.2", "--early_stopping_patience=1", "--epochs=9"]
    arguments += ["--learning_rate=1e-7", "--batch_size=16", "--grid=seed=0,1"]
    arguments = command(folder, runs, *arguments)
    places = [runs / "table2-tanh_swap" / f"seed={seed}" for seed in (0, 1)]
    (taken, _), _ = planned(arguments)
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
    pending = planned(command(folder, tmp_path, *grids))
    assert [directory.path.name for directory, _ in pending] == [
        f"seed={seed},order={order}" for order in ("swap", "convention") for seed in (0, 1)
    ]


def test_the_paper_is_planned_whole_and_nothing_twice(folder, tmp_path, planned):
    def networks(*arguments):
        pending = planned([*arguments, f"--data_dir={folder}", f"--runs={tmp_path}"])
        for _, flags in pending:
            assert flags.epochs == 200
            affine = (flags.gamma_weight_decay, flags.beta_weight_decay)
            decays = [flags.weight_decay if decay is None else decay for decay in affine]
            same = (flags.model, flags.activation, flags.order, flags.learning_rate, flags.seed)
            yield (*same, flags.weight_decay, *decays)

    readme = (ROOT / "examples" / "full_scale" / "README.md").read_text()
    rows = re.findall(r"^\| `(\w+\.flags)`: .* \| (\d+) \| \d+ \|$", readme, re.M)
    flagfiles = ROOT / "examples" / "full_scale" / "flagfiles"
    assert [name for name, _ in rows] == sorted(path.name for path in flagfiles.iterdir())
    trained = []
    for name, count in rows:
        found = [*networks(f"--flagfile={flagfiles / name}")]
        assert len(found) == int(count)
        trained += found
    assert len({*trained}) == len(trained)
    # Their flagfiles leave out what others train.
    assert {*networks("--cells=figure5/sweep,figure7/sweep")} <= {*trained}


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
    assert finished.stdout == "1 of 1 runs finished\n", finished.stderr


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
