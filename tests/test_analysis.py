"""`python -m analysis.run` as a user meets it."""

import json
import re

import pytest
from conftest import ROOT, SMALL_RUN
from made_runs import analyse, read

from analysis import run
from analysis.paper import experiments, figures, page, tables
from analysis.paper.experiments import Runs


def test_an_empty_folder_gives_the_analytic_figures_and_says_what_to_run(tmp_path, capsys):
    out = analyse(tmp_path)
    drawn = {path.name for path in out.glob("*.png")}
    assert drawn == {f"figure{n}.png" for n in (6, 11, 12, 13)}
    shown = (out / "index.html").read_text()
    assert "No finished runs" in shown
    for figure in figures.every():
        for command in figure.commands:
            assert command in shown
    written = {path.name for path in out.glob("table*.md")}
    assert written == {f"table{n}{layout}.md" for n in range(1, 8) for layout in ("", page.LAYOUT)}
    assert "All runs" not in shown
    assert "| not run |" in (out / "table1.md").read_text()
    assert "0 finished runs, 4 of 17 figures" in capsys.readouterr().out


def test_every_figure_of_the_paper_is_there_and_in_the_readme():
    numbers = [figure.number for figure in figures.every()]
    assert numbers == [1, *range(3, 19)]
    rows = re.findall(r"^\| ([\d, ]+) \|", (ROOT / "analysis" / "README.md").read_text(), re.M)
    named = {int(number) for row in rows for number in row.split(",")}
    assert named >= set(numbers)
    entries = [entry for table in tables.tables(Runs([])).values() for entry in table]
    commands = [command for figure in figures.every() for command in figure.commands]
    for command in [*commands, *(entry.command for entry in entries)]:
        for path in re.findall(r"--flagfile=(\S+)", command):
            assert (ROOT / path).is_file()


@pytest.mark.runs
def test_a_real_run(train, tmp_path, monkeypatch):
    monkeypatch.setattr(experiments, "STAND_IN", "digits")
    monkeypatch.setattr(experiments, "CLASSES", {"cifar100": 10})
    run_dir = f"--run_dir={tmp_path / 'runs' / 'swap'}"
    process = train(*SMALL_RUN, "--model=vgg16_11", "--epochs=1", "--export=none", run_dir)
    assert process.returncode == 0, process.stderr
    out = analyse(tmp_path, "--figures=1,3,4,8,13,15")
    summary = json.loads((tmp_path / "runs" / "swap" / "summary.json").read_text())
    (row,) = read(out / "runs.csv")
    assert row["skewness"] == f"{summary['statistics']['skewness']:.3f}"
    assert row["accuracy"] == f"{100 * summary['test']['accuracy']:.2f}"
    assert len(list(out.glob("figure*.png"))) == 6
    channels = {row["of"] for row in read(out / "figure1.csv")}
    assert channels == {"conv8", *(f"channel {i}" for i in range(10))}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "--runs, --out"),
        (["--runs=nowhere", "--out=x"], "--runs=nowhere is no folder"),
        (["--runs=.", "--out=x", "--figures=2"], "there is no figure '2'; give some of 1,3,4"),
        (["--runs=.", "--out=x", "--figure=3"], "--figure=3"),
        ([f"--runs={'x' * 300}", "--out=x"], "File name too long"),
        (["--runs=.", f"--out={'x' * 300}"], "File name too long"),
    ],
)
def test_a_mistake_is_one_sentence(arguments, expected, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    try:
        status = run.main(arguments)
    except SystemExit as exit:
        status = exit.code
    assert status == 2
    said = capsys.readouterr().err
    assert said.startswith("analysis.run: ")
    assert expected in said
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
