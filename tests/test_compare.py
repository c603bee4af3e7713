"""`python -m analysis.compare`: runs of one's own beside one another."""

import re
import shutil

import matplotlib.colors
import numpy as np
import pytest
import scipy.stats
from conftest import SMALL_RUN
from made_runs import LAYERS, analyse, read

from analysis import compare, output, runs
from analysis.comparison import figures, labels, tables
from analysis.settings import settings_of

ACCURACIES = {"swap": (0.70, 0.72, 0.75), "convention": (0.69, 0.70, 0.71)}


@pytest.fixture
def both_orders(make_run):
    """Three seeds of each."""
    for order, accuracies in ACCURACIES.items():
        for seed, accuracy in enumerate(accuracies):
            statistics = (0.1 + 0.1 * seed, 1.0, 0.5 if order == "swap" else 0.3)
            make_run(f"{order}{seed}", accuracy, statistics, order=order, seed=seed)


def compared(tmp_path, *arguments):
    out = tmp_path / "out"
    assert compare.main([*arguments, f"--out={out}"]) == 0
    return out


def shown_in(tmp_path):
    found, _ = runs.read(tmp_path / "runs")
    settings = settings_of(found)
    return labels.shown(settings, labels.differing(settings))


def gaps_of(shown):
    return tables.gaps(shown, labels.differing([one.setting for one in shown]))


def test_means_and_gaps_are_those_of_the_seeds(both_orders, tmp_path, capsys):
    out = compared(tmp_path, str(tmp_path / "runs"))
    assert capsys.readouterr().out == f"6 runs of 2 settings: {out / 'index.html'}\n"
    rows = {(row["setting"], row["quantity"]): row for row in read(out / "settings.csv")}
    assert {setting for setting, _ in rows} == {"swap", "convention"}
    for order, accuracies in ACCURACIES.items():
        row, values = rows[order, "accuracy"], 100.0 * np.array(accuracies)
        known = scipy.stats.t.interval(0.95, 2, values.mean(), scipy.stats.sem(values))
        assert row["seeds"] == "3"
        assert float(row["mean"]) == pytest.approx(values.mean())
        assert float(row["standard deviation"]) == pytest.approx(values.std(ddof=1))
        assert [float(row[f"95 % {end}"]) for end in ("from", "to")] == pytest.approx(known)
    # The second epoch has twice the statistics.
    assert float(rows["swap", "saturation"]["mean"]) == pytest.approx(0.4)
    gaps = {row["quantity"]: row for row in read(out / "gaps.csv")}
    assert {row["gap"] for row in gaps.values()} == {"swap - convention"}
    expected = scipy.stats.ttest_rel(*ACCURACIES.values())
    assert float(gaps["accuracy"]["difference"]) == pytest.approx(100 * (2.17 - 2.10) / 3)
    assert float(gaps["accuracy"]["p"]) == pytest.approx(expected.pvalue)
    assert gaps["accuracy"]["test"] == "paired"
    assert float(gaps["sparsity"]["difference"]) == pytest.approx(0.4)
    assert r"\begin{tabular}" in (out / "gaps.tex").read_text()
    assert "| swap | 3 | 72.33 ± 2.52 |" in (out / "settings.md").read_text()


def test_what_is_followed_over_epochs_is_drawn(both_orders, tmp_path):
    out = compared(tmp_path, str(tmp_path / "runs"))
    rows = read(out / "saturation_over_epochs.csv")
    found = {(row["model"], row["layer"], row["epoch"]): row["saturation"] for row in rows}
    assert len(found) == len(rows) == 2 * 2 * len(LAYERS)
    # Means over the seeds, by hand.
    assert float(found["swap", "conv1", "1"]) == pytest.approx(0.2)
    assert float(found["swap", "fc2", "2"]) == pytest.approx(0.4)
    gradients = read(out / "weight_gradient_over_epochs.csv")
    assert [float(row["weight_gradient"]) for row in gradients] == pytest.approx(
        [0.05 * float(row["epoch"]) for row in gradients]
    )
    page = (out / "index.html").read_text()
    assert not re.search(r'(src|href)="(https?:)?//', page)
    drawn = page.count("data:image/svg+xml;base64,")
    assert drawn == 12 == len([*out.glob("*.png")]) == len([*out.glob("*.svg")])


def test_runs_measured_once_have_nothing_over_epochs(make_run, tmp_path):
    run = make_run("swap", 0.7)
    out = compared(tmp_path, str(run))
    assert (out / "saturation_over_epochs.png").is_file()
    for name in ("statistics.csv", "gradients.csv"):
        lines = (run / name).read_text().splitlines()
        kept = [line for line in lines if not line.startswith("1,")]
        (run / name).write_text("\n".join(kept) + "\n")
    out = compared(tmp_path, str(run))
    assert not (out / "saturation_over_epochs.png").exists()
    assert "--statistics_every" in (out / "index.html").read_text()
    assert "one seed" in (out / "settings.md").read_text()


def looks_of(shown):
    return [
        (matplotlib.colors.to_hex(one.looks["color"]), one.looks.get("linestyle", "-"))
        for one in shown
    ]


def test_settings_are_labelled_by_what_differs_and_told_apart(make_run, tmp_path):
    for activation in ("tanh", "softsign"):
        for order in ("swap", "convention"):
            make_run(f"{activation}{order}", 0.7, activation=activation, order=order)
    shown = shown_in(tmp_path)
    names = ["softsign, convention", "softsign, swap", "tanh, convention", "tanh, swap"]
    assert [one.label for one in shown] == names
    looks = looks_of(shown)
    assert len({*looks}) == 4
    # The activation by colour, the order by the line.
    assert looks[0][0] == looks[1][0] != looks[2][0] == looks[3][0]
    assert looks[0][1] == looks[2][1] != looks[1][1] == looks[3][1]
    gaps = {gap.name for gap in gaps_of(shown)}
    assert gaps == {
        "swap - convention (softsign)",
        "swap - convention (tanh)",
        "tanh - softsign (convention)",
        "tanh - softsign (swap)",
    }


def test_numbers_stand_in_their_order(make_run, tmp_path):
    for rate in ("0.1", "1e-05", "0.01"):
        make_run(rate, 0.7, learning_rate=rate)
    rates = [one.label for one in shown_in(tmp_path)]
    assert rates == ["learning rate 1e-05", "learning rate 0.01", "learning rate 0.1"]


def test_settings_that_were_searched_are_named_by_what_matters(make_run, tmp_path, capsys):
    for order, rate in (("swap", "0.1"), ("convention", "0.01")):
        for seed in (0, 1):
            make_run(f"{order}{seed}", 0.6 + seed / 50, order=order, learning_rate=rate, seed=seed)
    runs_dir = str(tmp_path / "runs")
    out = compared(tmp_path, runs_dir, "--by=order")
    assert {row["gap"] for row in read(out / "gaps.csv")} == {"swap - convention"}
    assert "| setting | learning rate | seeds |" in (out / "settings.md").read_text()
    page = (out / "index.html").read_text()
    assert "Beside that they differ in learning rate: gaps are of all of it together." in page
    capsys.readouterr()
    assert compare.main([runs_dir, "--by=momentum"]) == 2
    expected = "the settings do not differ in momentum; give some of order, learning_rate."
    assert expected in capsys.readouterr().err
    make_run("other", 0.5, order="swap", learning_rate="1.0")
    assert compare.main([runs_dir, "--by=order"]) == 2
    assert "two settings are swap, and differ in learning_rate" in capsys.readouterr().err


def test_images_are_called_by_their_name(make_run, tmp_path):
    mine = {"dataset": "image_folder", "classes": 3}
    make_run("here", 0.7, data_dir="/here", dataset_name="flowers", **mine)
    make_run("there", 0.8, data_dir="/there", dataset_name="flowers", seed=1, **mine)
    make_run("other", 0.7, data_dir="/here", dataset_name="birds", **mine)
    shown = shown_in(tmp_path)
    assert [(one.label, len(one.setting.runs)) for one in shown] == [("birds", 1), ("flowers", 2)]
    assert gaps_of(shown) == []
    out = compared(tmp_path, str(tmp_path / "runs"))
    page = (out / "index.html").read_text()
    assert "--dataset_name" not in page
    assert "Their images are not the same, so there are no gaps to tell." in page
    rows = read(analyse(tmp_path, "--figures=6") / "runs.csv")
    assert [(row["dataset"], row["seeds"]) for row in rows] == [("birds", "1"), ("flowers", "2")]
    assert "dataset name" not in rows[0]


def test_gaps_are_told_of_the_same_images_alone(make_run, tmp_path):
    make_run("one", 0.7, dataset="cifar10", classes=10)
    make_run("two", 0.7)
    assert gaps_of(shown_in(tmp_path)) == []
    # Where no two settings differ in one flag alone, all gaps are.
    make_run("three", 0.7, momentum="0.5", weight_decay="0.1")
    names = {gap.name for gap in gaps_of(shown_in(tmp_path))}
    assert names == {
        "momentum 0.9, weight decay 0.0005 - momentum 0.5, weight decay 0.1 (cifar100)"
    }


@pytest.mark.parametrize("number", [1, 2, 4])
def test_any_number_of_settings_can_be_drawn(make_run, tmp_path, number):
    for i in range(number):
        make_run(f"run{i}", 0.5 + 0.01 * i, (0.3, 1.0, 0.4), learning_rate=str(0.1 + i))
    shown = shown_in(tmp_path)
    for figure in figures.figures(shown, ["conv1", "fc2"]):
        drawing = figure.draw()
        output.figure(figure.stem, drawing)
        assert {*drawing.numbers["model"]} == {one.label for one in shown}
        for axes in drawing.figure.axes:
            (left, right), (bottom, top) = sorted(axes.get_xlim()), sorted(axes.get_ylim())
            for line in axes.lines:
                x, y = (np.asarray(values, float) for values in line.get_data())
                if line.get_linestyle() != ":" or len(x) > 2:
                    assert ((left <= x) & (x <= right)).all()
                    assert ((bottom <= y) & (y <= top)).all()


def test_networks_of_other_layers_stand_side_by_side(make_run, tmp_path):
    make_run("one", 0.7)
    other = make_run("two", 0.7, model="mobilenet")
    for name in ("statistics.csv", "gradients.csv"):
        text = (other / name).read_text()
        (other / name).write_text(text.replace("conv", "pointwise"))
    arrays = dict(np.load(other / "channels.npz"))
    renamed = {name.replace("conv", "pointwise"): array for name, array in arrays.items()}
    np.savez(other / "channels.npz", **renamed)
    out = compared(tmp_path, str(tmp_path / "runs"), "--layers=conv1,pointwise1,fc1")
    drawn = figures._by_layer(shown_in(tmp_path), ["saturation"] * 2).figure
    # No name that one of them does not have.
    ticks = [tick.get_text() for tick in drawn.axes[0].get_xticklabels()]
    assert ticks == [str(number) for number in range(1, len(LAYERS) + 1)]
    rows = read(out / "histograms.csv")
    models = {
        layer: {r["model"] for r in rows if r["layer"] == layer} for layer in ("conv1", "fc1")
    }
    assert models == {"conv1": {"vgg16_11"}, "fc1": {"vgg16_11", "mobilenet"}}


def test_runs_that_do_not_count_are_named(both_orders, make_run, tmp_path, capsys):
    make_run("again", 0.1, order="swap", seed=0, strategy="single")
    (make_run("unfinished", 0.1) / "summary.json").unlink()
    runs_dir = tmp_path / "runs"
    # Named twice, a run counts once.
    out = compared(tmp_path, str(runs_dir), str(runs_dir / "swap*"))
    said = capsys.readouterr().out
    assert f"left out: {runs_dir}/swap0 has the flags and the seed of {runs_dir}/again" in said
    assert f"left out: {runs_dir}/unfinished is not finished" in said
    assert "6 runs of 2 settings" in said
    assert "unfinished is not finished" in (out / "index.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "required: RUN"),
        (["nowhere"], "nowhere is no folder, and as a pattern it fits none"),
        (["empty"], "there is no finished run in empty."),
        (["runs", "--layers=conv1,convv8"], "no run has a layer 'convv8'; did you mean conv8?"),
        (["runs", "--out=file"], "--out=file is no folder"),
        (["runs", "--layer=conv1"], "--layer=conv1"),
    ],
)
def test_a_mistake_is_one_sentence(arguments, expected, make_run, tmp_path, monkeypatch, capsys):
    make_run("swap", 0.7)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    try:
        status = compare.main(arguments)
    except SystemExit as exit:
        status = exit.code
    assert status == 2
    said = capsys.readouterr().err
    assert said.startswith("analysis.compare: ")
    assert expected in said
    assert said.count("\n") == 1
    assert not (tmp_path / "comparison").exists()


def test_too_many_settings_are_refused(make_run, tmp_path, capsys):
    for i in range(labels.MOST + 1):
        make_run(f"run{i}", 0.5, learning_rate=str(0.1 + i))
    assert compare.main([str(tmp_path / "runs"), f"--out={tmp_path / 'out'}"]) == 2
    assert f"these are {labels.MOST + 1} settings" in capsys.readouterr().err
    shutil.rmtree(tmp_path / "runs" / "run0")
    assert len({*looks_of(shown_in(tmp_path))}) == labels.MOST


@pytest.mark.runs
def test_real_runs(train, tmp_path):
    """Of a home-made activation, followed over epochs."""
    (tmp_path / "own.py").write_text(
        "import keras\nfrom keras_bnact.activations import register\n\n\n"
        "@register(bounds=(-1.0, 1.0))\ndef steep_tanh(x):\n"
        "    return keras.ops.tanh(2.0 * x)\n"
    )
    for order in ("swap", "convention"):
        process = train(
            *SMALL_RUN,
            *("--model=vgg16_11", "--epochs=2", "--statistics_every=1", "--export=none"),
            *("--activation=own:steep_tanh", f"--order={order}"),
            f"--run_dir={tmp_path / 'runs' / order}",
            PYTHONPATH=str(tmp_path),
        )
        assert process.returncode == 0, process.stderr
    out = compared(tmp_path, str(tmp_path / "runs"))
    rows = read(out / "skewness_over_epochs.csv")
    expected = {
        (order, row["layer"], row["epoch"]): float(row["skewness"])
        for order in ("swap", "convention")
        for row in read(tmp_path / "runs" / order / "statistics.csv")
    }
    found = {(row["model"], row["layer"], row["epoch"]): float(row["skewness"]) for row in rows}
    assert found == pytest.approx(expected)
    channels = np.load(tmp_path / "runs" / "swap" / "channels.npz")
    rows = read(out / "channels.csv")
    skewness = [float(r["skewness"]) for r in rows if (r["model"], r["layer"]) == ("swap", "conv3")]
    np.testing.assert_allclose(skewness, channels["conv3/skewness"])
