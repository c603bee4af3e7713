"""Run directories of which a file is garbled: what the commands that read them say."""

import json
import os
import re

import pytest

from train import backend, options, run, sweep
from train.run_directory import DIVERGED, RunDirectory

GIVEN = ["--export=none", "--epochs=2"]
SEED = ["--grid=seed=0", *GIVEN]
METRICS = {"accuracy": 0.5, "cross_entropy": 1.0, "loss": 1.0}
SUMMARY = {
    "epochs": 2,
    "train": METRICS,
    "test": METRICS,
    "seconds": 1.0,
    "images_per_second": 9.0,
}
LAYER = "conv1,tanh,-1,1,{},0.5,0.1,3,0,0"
STATISTICS = "epoch,index,layer,activation,lower_bound,upper_bound,saturation,skewness,sparsity,"
STATISTICS += "channels,constant_channels,non_finite_channels\n"
STATISTICS += "".join(f"{epoch},0,{LAYER.format(0.25 * epoch)}\n" for epoch in (1, 2))
ANEW = r"start anew with train\.run's --overwrite\.$"
# Neither text nor JSON, CSV or a zip file.
NOISE = bytes(range(128, 256)) + bytes(range(128))


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A finished run, in the folder that a sweep has for it."""
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    directory = RunDirectory(tmp_path / "seed=0", options.as_text(options.parse(GIVEN)))
    directory.create(overwrite=False)
    directory.write_json("environment.json", {"backend": backend.name()})
    directory.write_json("summary.json", SUMMARY)
    directory.write_text("statistics.csv", STATISTICS)
    directory.write_text("history.csv", "epoch,loss\n1,1.0\n2,1.0\n")
    directory.release()
    return directory.path


def as_folder(path):
    path.unlink()
    path.mkdir()


def cut(path):
    # Within a line, wherever half of it is.
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2].rstrip())


def holding(content):
    return lambda path: path.write_text(
        content if isinstance(content, str) else json.dumps(content)
    )


def noise(path):
    path.write_bytes(NOISE)


def empty(path):
    path.write_text("")


# File, how it is garbled, and what train.run says of it, which of some files is the report.
CASES = [
    ("flags.txt", noise, rf"/flags\.txt is damaged \(.*codec.*\): {ANEW}"),
    ("flags.txt", cut, rf"/flags\.txt is damaged \(its last line is not whole\): {ANEW}"),
    ("flags.txt", empty, rf"/flags\.txt is damaged .*{ANEW}"),
    ("flags.txt", as_folder, "which is no part of a run: name a new or an empty folder"),
    ("flags.txt", holding("--seed=0\n--later=3\n"), r"--later \(3 there, not set here\).*another"),
    ("environment.json", noise, rf"/environment\.json is damaged .*{ANEW}"),
    ("environment.json", cut, rf"/environment\.json is damaged .*{ANEW}"),
    ("environment.json", empty, rf"/environment\.json is damaged .*{ANEW}"),
    ("environment.json", holding([1]), rf"/environment\.json is damaged .*{ANEW}"),
    ("environment.json", as_folder, None),
    ("summary.json", noise, rf"/summary\.json is damaged .*{ANEW}"),
    ("summary.json", cut, rf"/summary\.json is damaged .*{ANEW}"),
    ("summary.json", empty, rf"/summary\.json is damaged .*{ANEW}"),
    ("summary.json", holding([]), rf"/summary\.json is damaged .*{ANEW}"),
    ("summary.json", holding({}), rf"/summary\.json is damaged \(KeyError: 'test'\): {ANEW}"),
    ("summary.json", holding(SUMMARY | {"test": 1}), rf"/summary\.json is damaged .*{ANEW}"),
    *(
        (
            "summary.json",
            holding(SUMMARY | {"test": METRICS | {"accuracy": accuracy}}),
            rf"/summary\.json is damaged \({accuracy!r} is no test accuracy\): {ANEW}",
        )
        for accuracy in (55.0, -0.1, None, True, "0.5")
    ),
    ("statistics.csv", noise, rf"/statistics\.csv is damaged .*{ANEW}"),
    ("statistics.csv", cut, rf"/statistics\.csv is damaged .*{ANEW}"),
    ("statistics.csv", empty, rf"/statistics\.csv is damaged .*{ANEW}"),
    ("statistics.csv", holding("epoch\n2\n"), rf"/statistics\.csv is damaged .*{ANEW}"),
    (
        "statistics.csv",
        # Whole lines, but not those of the end.
        holding("".join(STATISTICS.splitlines(keepends=True)[:2])),
        rf"/statistics\.csv is damaged \(it lacks the layers after epoch 2\): {ANEW}",
    ),
    ("statistics.csv", as_folder, None),
    ("history.csv", noise, None),
]
names = [f"{name}-{at}" for at, (name, _, _) in enumerate(CASES)]
cases = pytest.mark.parametrize(("name", "garble", "said"), CASES, ids=names)


def check_said(capsys, said):
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert re.search(said, printed.err.rstrip("\n")), printed.err


@cases
def test_a_finished_run_with_a_garbled_file(name, garble, said, place, capsys):
    garble(place / name)
    status = run.main([*GIVEN, f"--run_dir={place}"])
    if said is None:
        assert status == 0
        assert " 50.00" in capsys.readouterr().out
    else:
        assert status == 2
        check_said(capsys, said)


@cases
def test_a_sweep_of_a_run_with_a_garbled_file(name, garble, said, place, capsys):
    garble(place / name)
    status = sweep.main([*SEED, f"--sweep_dir={place.parent}"])
    # Which a sweep reads no more than the others that hold no figure of its own.
    if said is None or name == "statistics.csv":
        assert status == 0
        assert " 50.00" in capsys.readouterr().out
    else:
        assert status == 2
        check_said(capsys, said)
        assert not (place.parent / "table.csv").exists()


@pytest.mark.parametrize("garble", [noise, cut, empty, holding([]), holding({"epoch": "x"})])
def test_a_diverged_run_with_a_garbled_file(garble, place, capsys):
    path = place / DIVERGED
    path.write_text(json.dumps({"epoch": 2, "layer": "logits", "reason": "it is not finite."}))
    assert run.main([*GIVEN, f"--run_dir={place}"]) == 3
    assert "which diverged: it is not finite." in capsys.readouterr().err
    garble(path)
    for command in (
        lambda: run.main([*GIVEN, f"--run_dir={place}"]),
        lambda: sweep.main([*SEED, f"--sweep_dir={place.parent}"]),
    ):
        assert command() == 2
        check_said(capsys, rf"/diverged\.json is damaged .*{ANEW}")


@pytest.mark.parametrize("content", [NOISE, b'epoch\n"1', b""])
def test_a_garbled_history_of_an_interrupted_run_counts_no_epochs(content, place):
    (place / "history.csv").write_bytes(content)
    assert RunDirectory(place, "").epochs() == []


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_read_alone_is_told(place, capsys):
    place.chmod(0o500)
    try:
        assert run.main([*GIVEN, f"--run_dir={place}"]) == 2
        check_said(capsys, "is no folder that can be written to; name another place")
    finally:
        place.chmod(0o700)
