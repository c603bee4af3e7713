"""What someone else sent runs none of its code, whether it is loaded, drawn or opened."""

import csv
import html.parser
import io
import json
import pickle
import re
import zipfile
from xml.etree import ElementTree

import keras
import made_runs
import numpy as np
import pytest
from made_runs import analyse, read

from keras_bnact import BoundedBlock
from train.csv_text import csv_text
from train.errors import UsageError
from train.run_directory import CHANNELS, CHECKPOINT, RunDirectory
from train.training.checkpoint import Checkpoint

MARKUP = "</td></svg>--><script>document.title='taken'</script><img src=x onerror=alert(1)>"
FORMULA = '=HYPERLINK("http://example.com","see")'
MATHEMATICS = r"$\frac{$"
# Shorter ones, of layers.
LAYERS = ["<script>a", FORMULA.replace("/", ""), MATHEMATICS, "--><b onload=1>|"]


class Trap:
    """An object that, where it is unpickled, leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return type(self.path).touch, (self.path,)


class Elements(html.parser.HTMLParser):
    """The names of a page's elements and of their attributes, and its text."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.attributes, self.text = set(), set(), ""
        self.feed(page)

    def handle_starttag(self, name, attributes):
        self.elements.add(name)
        self.attributes |= {attribute for attribute, _ in attributes}

    def handle_data(self, text):
        self.text += text


@pytest.fixture
def report(make_run, tmp_path, monkeypatch):
    """The report on runs whose flags, folders and layers have hostile names."""
    layers = [*LAYERS, *made_runs.LAYERS[len(LAYERS) :]]
    monkeypatch.setattr(made_runs, "LAYERS", layers)
    for order in ("swap", "convention"):
        make_run(order, 0.7, order=order)
    make_run(MARKUP.replace("/", ""), 0.7, activation=MARKUP)
    make_run("formula", 0.7, activation=FORMULA, dataset=MATHEMATICS)
    (make_run("@damaged<script>", 0.7) / "history.csv").write_text(MARKUP)
    return analyse(tmp_path, "--figures=3,13,15")


def test_a_report_escapes_what_runs_are_called(report):
    page = Elements((report / "index.html").read_text())
    for name in (MARKUP, FORMULA, MATHEMATICS):
        assert name in page.text
    assert "@damaged<script>" in page.text
    assert not page.elements & {"script", "svg", "iframe", "object"}
    assert not [name for name in page.attributes if name.startswith("on")]
    text = (report / "runs.md").read_text()
    assert "<" not in text
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines()}) == 1


def test_figures_hold_names_as_text(report):
    drawings = sorted(report.glob("figure*.svg"))
    assert len(drawings) == 3
    for drawing in drawings:
        elements = list(ElementTree.parse(drawing).iter())
        names = {element.tag.rsplit("}", 1)[-1] for element in elements}
        assert "path" in names
        assert not names & {"script", "img", "foreignObject"}
        assert not [key for element in elements for key in element.attrib if key.startswith("on")]


def test_tables_hold_no_formulas(report):
    cells = set()
    for path in report.glob("*.csv"):
        with path.open(newline="") as file:
            cells |= {cell for row in csv.reader(file) for cell in row}
    assert {f"'{FORMULA}", f"'{FORMULA.replace('/', '')}"} <= cells
    assert not [cell for cell in cells if cell.startswith(("=", "@", "\t"))]
    # Numbers, and intervals of them.
    signed = [cell for cell in cells if cell.startswith(("+", "-"))]
    assert all(np.isfinite(float(cell)) for cell in signed)
    # Else the apostrophe would come back to runs.
    assert LAYERS[1] in {row["layer"] for row in read(report.parent / "runs/swap/statistics.csv")}


@pytest.mark.parametrize("cell", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(1)", "\t=1"])
def test_a_cell_is_no_formula(cell):
    _, (written,) = csv.reader(io.StringIO(csv_text(["name"], [[cell]]), newline=""))
    assert written == f"'{cell}"


@pytest.mark.parametrize("cell", ["-0.5", "+1e-3", "-inf", "a=1", "", -2, None])
def test_a_number_stays_one(cell):
    assert (
        csv_text(["name", "more"], [[cell, 1]]) == f"name,more\n{'' if cell is None else cell},1\n"
    )


def with_a_trap(path, name, trap):
    """An archive of arrays, one of which is an object."""
    with np.load(path) as file:
        arrays = {**file, name: np.array([Trap(trap)], dtype=object)}
    with path.open("wb") as file:
        np.savez(file, **arrays)


def all_a_trap(path, name, trap):
    path.write_bytes(pickle.dumps(Trap(trap)))


spoilt = pytest.mark.parametrize(
    "spoil", [with_a_trap, all_a_trap], ids=lambda spoil: spoil.__name__
)


@spoilt
def test_a_checkpoint_runs_no_code(spoil, tmp_path):
    trap = tmp_path / "trap"
    directory = RunDirectory(tmp_path / "run", "--seed=0\n")
    directory.create(overwrite=False)
    weight = keras.Variable(np.ones(3, "float32"), name="weight")
    Checkpoint([weight], directory).save()
    spoil(directory.path / CHECKPOINT, "0", trap)
    with pytest.raises(UsageError, match=r"checkpoint\.npz"):
        Checkpoint([weight], directory)
    directory.release()
    assert not trap.exists()


@spoilt
def test_statistics_of_channels_run_no_code(spoil, make_run, tmp_path, capsys):
    trap = tmp_path / "trap"
    spoil(make_run("swap", 0.7) / CHANNELS, "conv1/activation_histogram/counts", trap)
    analyse(tmp_path, "--figures=3")
    assert "has a damaged channels.npz" in capsys.readouterr().out
    assert not trap.exists()


def test_a_trap_is_one(tmp_path):
    pickle.loads(pickle.dumps(Trap(tmp_path / "trap")))
    assert (tmp_path / "trap").exists()


@pytest.mark.parametrize("part", ["layer", "activation"])
def test_a_model_file_runs_no_code(part, tmp_path):
    block = BoundedBlock(keras.layers.Dense(3), "tanh", name="block")
    keras.Sequential([keras.Input((4,)), block]).save(tmp_path / "good.keras")
    with pytest.warns(UserWarning, match="lambda"):
        function = keras.saving.serialize_keras_object(lambda x: x)
    path = tmp_path / "bad.keras"
    with zipfile.ZipFile(tmp_path / "good.keras") as good, zipfile.ZipFile(path, "w") as bad:
        for name in good.namelist():
            content = good.read(name)
            if name == "config.json":
                config = json.loads(content)
                config["config"]["layers"][1]["config"][part]["config"]["activation"] = function
                content = json.dumps(config).encode()
            bad.writestr(name, content)
    with pytest.raises((TypeError, ValueError), match="disallowed"):
        keras.saving.load_model(path)
