"""Run directories read: what is damaged, what diverged, what weight decay does."""

import io
import json

import numpy as np
import pandas as pd
import pytest
from made_runs import analyse, read

from analysis import runs
from keras_bnact.statistics import STATISTICS


def _rewritten(path, change):
    change(pd.read_csv(path, dtype=str)).to_csv(path, index=False)


def _without_arrays(path, part):
    arrays = dict(np.load(path / "channels.npz"))
    np.savez(path / "channels.npz", **{k: v for k, v in arrays.items() if part not in k})


def _replaced(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def _diverged(path):
    (path / "summary.json").rename(path / "diverged.json")


DAMAGES = {
    "flagless": (lambda run: (run / "flags.txt").unlink(), "has no flags.txt"),
    "diverged": (_diverged, "diverged: diverged.json says where"),
    "unfinished": (lambda run: (run / "summary.json").unlink(), "is not finished"),
    "old": (lambda run: (run / "gradients.csv").unlink(), "of an older format"),
    "empty": (lambda run: (run / "flags.txt").write_text("\n"), "flags.txt lacks dataset"),
    "seed": (lambda run: _replaced(run / "flags.txt", "seed=0", "seed=x"), "the seed 'x'"),
    "order": (
        lambda run: _replaced(run / "flags.txt", "order=swap", "order=odd"),
        "has the order 'odd'",
    ),
    "decay": (
        lambda run: _replaced(run / "flags.txt", "decay=0.0005", "decay=x"),
        "the weight_decay 'x'",
    ),
    "json": (lambda run: (run / "summary.json").write_text("{"), "has a damaged summary.json"),
    "nan": (lambda run: _replaced(run / "summary.json", "0.99", "NaN"), "nan is no test accuracy"),
    "null": (
        lambda run: _replaced(run / "summary.json", "0.99", "null"),
        "None is no test accuracy",
    ),
    "means": (
        lambda run: _replaced(run / "summary.json", "skewness", "other"),
        "summary.json lacks statistics",
    ),
    "epochs": (
        lambda run: _rewritten(run / "history.csv", lambda rows: rows[:1]),
        "does not hold the 2 epochs",
    ),
    "curve": (
        lambda run: _rewritten(
            run / "history.csv", lambda rows: rows.drop(columns="test_cross_entropy")
        ),
        "history.csv lacks test_cross_entropy",
    ),
    "column": (
        lambda run: _rewritten(
            run / "statistics.csv", lambda rows: rows.drop(columns=["saturation", "skewness"])
        ),
        "statistics.csv lacks saturation, skewness",
    ),
    "gradient": (
        lambda run: _rewritten(run / "gradients.csv", lambda rows: rows.drop(columns="input")),
        "gradients.csv lacks input",
    ),
    "field": (
        lambda run: _replaced(run / "gradients.csv", "2,fc2,0.1,", "2,fc2,,"),
        "gradients.csv lacks input",
    ),
    "short": (
        lambda run: _replaced(run / "gradients.csv", "2,fc2,0.1,0.1,0.1", "2,fc2"),
        "gradients.csv lacks input, weight_gradient, activation_gradient",
    ),
    "rows": (
        lambda run: _rewritten(run / "gradients.csv", lambda rows: rows[:-3]),
        "do not hold the same layers",
    ),
    "zip": (lambda run: (run / "channels.npz").write_bytes(b"PK"), "damaged channels.npz"),
    "arrays": (lambda run: _without_arrays(run, "fc2/std"), "do not hold the same layers"),
    "histograms": (lambda run: _without_arrays(run, "histogram"), "of an older format"),
}


def test_runs_that_cannot_be_used_are_named(make_run, tmp_path, capsys):
    make_run("good", 0.7)
    for name, (damage, _) in DAMAGES.items():
        damage(make_run(name, 0.99))
    make_run("bare", 0.99)
    for file in ("flags.txt", "summary.json"):
        (tmp_path / "runs" / "bare" / file).unlink()
    out = analyse(tmp_path)
    said = capsys.readouterr().out
    page = (out / "index.html").read_text()
    for name, reason in (
        *((name, reason) for name, (_, reason) in DAMAGES.items()),
        ("bare", "is not finished"),
    ):
        (line,) = (line for line in said.splitlines() if f"/{name} " in line)
        assert reason in line
        assert f"/{name} " in page
    assert said.splitlines()[-1].startswith("1 finished run,")


NOISE = bytes(range(128, 256)) + bytes(range(128))
GARBLED = {
    "noise": lambda path: path.write_bytes(NOISE),
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    # A number that was cut short is one, too.
    "short": lambda path: path.write_bytes(path.read_bytes()[:-2]),
    "list": lambda path: path.write_text("[1]\n"),
    "rows": lambda path: path.write_text("epoch,layer\n2,conv1\n"),
    "arrays": lambda path: path.write_bytes(_arrays(path)),
}


def _arrays(path):
    """Of the same names and another shape, where there are some."""
    file = io.BytesIO()
    names = np.load(path).files if path.suffix == ".npz" else ["a"]
    np.savez(file, **dict.fromkeys(names, np.ones(2)))
    return file.getvalue()


@pytest.mark.parametrize("name", runs.FILES)
def test_a_garbled_file_is_named_and_its_run_left_out(name, make_run, tmp_path, capsys):
    make_run("good", 0.7)
    for kind, garble in GARBLED.items():
        garble(make_run(kind, 0.99) / name)
    folder = make_run("folder", 0.99) / name
    folder.unlink()
    folder.mkdir()
    (row,) = read(analyse(tmp_path, "--figures=1,15") / "runs.csv")
    assert row["accuracy"] == "70.00"
    said = capsys.readouterr().out.splitlines()
    for kind in GARBLED:
        (line,) = (line for line in said if line.startswith("left out:") and f"/{kind} " in line)
        assert f"/{kind} has a damaged {name} (" in line
        assert line.endswith("): train it anew with train.run's --overwrite")
    (line,) = (line for line in said if "/folder " in line)
    assert line.endswith(
        "is not finished" if name == "summary.json" else f"has no {name}: of an older format"
    )
    assert len(said) == len(GARBLED) + 2


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("0.99", "55.0"),
        ("0.99", "true"),
        ('"classes": 100', '"classes": "many"'),
        ('"epochs": 2', '"epochs": 2, "steps": "x"'),
    ],
)
def test_a_figure_that_is_none_is_not_drawn(old, new, make_run, tmp_path, capsys):
    _replaced(make_run("one", 0.99) / "summary.json", old, new)
    assert runs.read(tmp_path / "runs")[0] == []


def test_a_diverged_run_counts_with_its_accuracy(make_run, tmp_path, capsys):
    make_run("sound", 0.7, (0.4, 1.5, 0.6))
    make_run("diverged", 0.1, (float("nan"), 1.0, 1.0), seed=1)
    out = analyse(tmp_path, "--figures=1,3,15")
    (row,) = read(out / "runs.csv")
    assert (row["seeds"], row["accuracy"], row["saturation"]) == ("2", "40.00", "0.800")
    assert [float(row["y"]) for row in read(out / "figure3.csv")] == [0.8] * 10
    assert "/diverged, which diverged; its accuracy counts" in capsys.readouterr().out


def test_where_every_seed_diverged_the_mean_is_no_number(make_run, tmp_path):
    """And not that of the seeds whose skewness is one."""
    make_run("one", 0.1, (float("nan"), 1.0, 1.0))
    make_run("other", 0.3, (1.0, float("nan"), 1.0), seed=1)
    (row,) = read(analyse(tmp_path, "--figures=6") / "runs.csv")
    assert (row["accuracy"], row["saturation"], row["skewness"]) == ("20.00", "nan", "nan")
    assert row["sparsity"] == "2.000"


def test_numbers_are_read_with_all_their_digits(make_run, tmp_path, rng):
    numbers = (rng.random(3) * 10.0 ** rng.integers(-12, 12, 3)).tolist()
    make_run("swap", 0.7, numbers)
    (run,), _ = runs.read(tmp_path / "runs")
    # Those of the second epoch.
    assert run.layers.loc["fc2", list(STATISTICS)].tolist() == [2 * x for x in numbers]


def test_by_how_much_weight_decay_shrinks_gamma_and_beta(tmp_path, make_run):
    path = make_run("swap", 0.7, learning_rate="0.1")
    without = make_run("nobn", 0.7, order="nobn")
    summary = json.loads((path / "summary.json").read_text())
    # Two epochs of 400 steps, the second at a tenth of the learning rate.
    for run_dir in (path, without):
        (run_dir / "summary.json").write_text(json.dumps(summary | {"steps": 800}))
    # That of a parameter without any other gradient, under SGD with momentum.
    value, velocity = 1.0, 0.0
    for rate in [0.1] * 400 + [0.01] * 400:
        velocity = 0.9 * velocity - rate * 0.0005 * value
        value += velocity
    nobn, swap = runs.read(tmp_path / "runs")[0]
    assert nobn.shrinkage is None
    assert np.exp(-swap.shrinkage[0]) == pytest.approx(value, rel=0.01)
    rows = read(analyse(tmp_path, "--figures=6") / "runs.csv")
    assert [row["shrinkage"] for row in rows] == ["", "0.22"]
    # Decoupled, a decay knows no momentum.
    flags = (path / "flags.txt").read_text()
    (path / "flags.txt").write_text(flags.replace("momentum=0.9", "optimizer=adamw"))
    value = 1.0
    for rate in [0.1] * 400 + [0.01] * 400:
        value -= rate * 0.0005 * value
    _, adamw = runs.read(tmp_path / "runs")[0]
    assert np.exp(-adamw.shrinkage[0]) == pytest.approx(value, rel=1e-4)
