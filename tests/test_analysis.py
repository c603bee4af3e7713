"""`python -m analysis.run` on runs made up for it, and its formulas against quadrature."""

import doctest
import json
import re

import numpy as np
import pandas as pd
import pytest
import scipy.integrate
import scipy.stats
from conftest import ROOT, SMALL_RUN
from made_runs import LAYERS, analyse, read
from test_flagfiles import ACCURACIES, HYPER_PARAMETERS, SINGLE

from analysis import experiments, figures, published, run, runs, tables
from analysis.experiments import ACTIVATIONS, DATASETS, ORDERS, Experiment, Runs
from analysis.figures import analytic
from analysis.runs import GAMMA_BETA_DECAYS
from keras_bnact.statistics import STATISTICS


def test_an_empty_folder_gives_the_analytic_figures_and_says_what_to_run(tmp_path, capsys):
    out = analyse(tmp_path)
    drawn = {path.name for path in out.glob("*.png")}
    assert drawn == {f"figure{n}.png" for n in (6, 11, 12, 13)}
    page = (out / "index.html").read_text()
    assert "No finished runs" in page
    for figure in figures.every():
        for command in figure.commands:
            assert command in page
    assert len(list(out.glob("table*.md"))) == 7
    assert "All runs" not in page
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


def test_the_figures_show_the_means_of_the_last_epoch(tmp_path, make_run):
    for seed, saturation in ((0, 0.3), (1, 0.4), (2, 0.2)):
        make_run(f"swap{seed}", 0.7, (saturation, 1.0, 0.6), seed=seed)
    make_run("convention", 0.6, (0.1, 0.2, 0.3), order="convention", learning_rate="0.01")
    out = analyse(tmp_path, "--figures=3,4,15,1")
    rows = read(out / "figure3.csv")
    swap = [row for row in rows if row["model"] == "Swap"]
    assert [row["layer"] for row in swap] == LAYERS
    # By hand: the second epoch has twice the saturation.
    assert float(swap[0]["y"]) == pytest.approx(0.6)
    assert float(swap[0]["std"]) == pytest.approx(0.2)
    assert [float(row["y"]) for row in rows if row["model"] == "Convention"] == [0.2] * 10
    assert sorted(path.name for path in out.glob("*.svg")) == [
        f"figure{n}.svg" for n in (1, 15, 3, 4)
    ]


def test_tables_have_the_papers_values_and_ours_side_by_side(tmp_path, make_run):
    for seed, accuracy in ((0, 0.74), (1, 0.75), (2, 0.76)):
        make_run(f"swap{seed}", accuracy, (0.4, 1.5, 0.6), seed=seed)
    make_run("convention", 0.695, (0.1, 0.25, 0.3), order="convention", learning_rate="0.01")
    out = analyse(tmp_path, "--figures=6")
    rows = {(r["activation"], r["order"], r["figure"]): r for r in read(out / "table2.csv")}
    swap = rows["Tanh", "Swap", "accuracy"]
    assert (swap["paper"], swap["seeds"]) == ("74.11", "3")
    assert float(swap["ours"]) == pytest.approx(75.0)
    assert float(swap["standard deviation"]) == pytest.approx(1.0)
    assert float(swap["ours - paper"]) == pytest.approx(0.89)
    gap = rows["Tanh", "Swap - Convention", "accuracy"]
    assert (gap["paper"], float(gap["ours"])) == ("4.61", pytest.approx(75.0 - 69.5))
    # Twice at the last epoch: 3.0 - 0.5.
    assert float(rows["Tanh", "Swap - Convention", "skewness"]["ours"]) == pytest.approx(2.5)
    assert rows["Softsign", "Swap", "accuracy"]["ours"] == ""
    assert "| 74.11 | 75.00 | 1.00 |  | 3 | +0.89 |" in (out / "table2.md").read_text()
    text = {(r["order"], r["figure"]): r["ours"] for r in read(out / "numbers_in_the_text.csv")}
    assert float(text["Swap", "highest saturation"]) == pytest.approx(0.8)
    assert text["NWDBN", "accuracy"] == ""


def test_a_gap_has_a_spread_and_welchs_interval(tmp_path, make_run):
    samples = {"swap": (0.74, 0.75, 0.79), "convention": (0.60, 0.66)}
    for order, accuracies in samples.items():
        for seed, accuracy in enumerate(accuracies):
            make_run(f"{order}{seed}", accuracy, order=order, seed=seed)
    rows = read(analyse(tmp_path, "--figures=6") / "table2.csv")
    (gap,) = (
        r
        for r in rows
        if (r["order"], r["figure"]) == ("Swap - Convention", "accuracy")
        and r["activation"] == "Tanh"
    )
    # Welch's formulas, in percent points.
    (m, n), variances = (3, 2), [np.var(100 * np.array(s), ddof=1) for s in samples.values()]
    squares = variances[0] / m, variances[1] / n
    freedom = sum(squares) ** 2 / (squares[0] ** 2 / (m - 1) + squares[1] ** 2 / (n - 1))
    half = scipy.stats.t.ppf(0.975, freedom) * sum(squares) ** 0.5
    assert float(gap["ours"]) == pytest.approx(76.0 - 63.0)
    assert float(gap["standard deviation"]) == pytest.approx(sum(variances) ** 0.5)
    interval = [float(gap["95 % from"]), float(gap["95 % to"])]
    assert interval == pytest.approx([13.0 - half, 13.0 + half])
    assert gap["seeds"] == "2"


def test_a_gap_of_equal_runs_or_of_one_seed(tmp_path, make_run):
    for seed in (0, 1):
        make_run(f"swap{seed}", 0.75, seed=seed)
        make_run(f"convention{seed}", 0.5, order="convention", seed=seed)
    make_run("lecun", 0.7, activation="lecun_tanh")
    make_run("lecun convention", 0.6, activation="lecun_tanh", order="convention")
    rows = read(analyse(tmp_path, "--figures=6") / "table2.csv")
    gaps = {
        row["activation"]: (row["ours"], row["standard deviation"], row["95 % from"])
        for row in rows
        if (row["order"], row["figure"]) == ("Swap - Convention", "accuracy")
    }
    assert gaps["Tanh"] == ("25.0", "0.0", "")
    assert gaps["LeCun Tanh"][1:] == ("", "")


def test_a_gap_of_settings_that_the_test_images_chose_has_no_interval(tmp_path, make_run):
    for seed in (0, 1):
        for rate in ("0.1", "0.01"):
            accuracy = 0.7 + seed / 100 + float(rate)
            make_run(f"{rate}{seed}", accuracy, learning_rate=rate, seed=seed)
        make_run(f"convention{seed}", 0.5 + seed / 50, order="convention", seed=seed)
    rows = read(analyse(tmp_path, "--figures=6") / "table2.csv")
    (gap,) = (
        row
        for row in rows
        if (row["activation"], row["order"], row["figure"])
        == ("Tanh", "Swap - Convention", "accuracy")
    )
    assert float(gap["ours"]) == pytest.approx(80.5 - 51.0)
    assert gap["standard deviation"]
    assert (gap["95 % from"], gap["95 % to"]) == ("", "")


def test_every_run_is_in_the_overview(tmp_path, make_run):
    for seed, accuracy in ((0, 0.74), (1, 0.76)):
        make_run(f"swap{seed}", accuracy, (0.4, 1.5, 0.6), seed=seed, width="0.25")
    make_run("convention", 0.5, (0.1, 0.2, 0.3), order="convention", width="0.5")
    out = analyse(tmp_path, "--figures=6")
    convention, swap = read(out / "runs.csv")
    settings = ["dataset", "model", "activation", "order", "width"]
    assert list(swap) == [
        *settings,
        "seeds",
        "accuracy",
        "standard deviation",
        *STATISTICS,
        "shrinkage",
    ]
    assert [*swap.values()][4:] == ["0.25", "2", "75.00", "1.41", "0.800", "3.000", "1.200", ""]
    assert [*convention.values()][3:8] == ["convention", "0.5", "1", "50.00", ""]
    assert "| convention | 0.5 | 1 | 50.00 |" in (out / "runs.md").read_text()
    assert "<td>75.00</td>" in (out / "index.html").read_text()


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


def test_hyper_parameters_beside_the_papers(tmp_path, make_run):
    search = {"model": "vgg16", "validation_fraction": "0.1"}
    for rate, held_out in (("0.01", 0.8), ("0.1", 0.7)):
        make_run(rate, 0.7, held_out=held_out, learning_rate=rate, weight_decay="1e-05", **search)
    make_run("whole", 0.9, model="vgg16")
    rows = read(analyse(tmp_path, "--figures=6") / "table3.csv")
    swap = {
        row["figure"]: (row["paper"], row["ours"])
        for row in rows
        if (row["order"], row["data set"]) == ("Swap", "CIFAR-100")
    }
    assert swap["learning rate"] == ("0.1", "0.01")
    assert swap["weight decay"] == ("0.0005", "0.00001 (not searched)")
    assert swap["learning rate drops"] == ("100 150", "100 150 (not searched)")


def test_rounds_of_a_search_have_not_searched_the_epochs(tmp_path, make_run):
    search = {"model": "vgg16", "validation_fraction": "0.1"}
    for rate in ("0.01", "0.1"):
        for decay in ("0.001", "0.0001"):
            more = {"learning_rate": rate, "weight_decay": decay, "train_examples": "9"} | search
            make_run(f"{rate}{decay}", 0.7, held_out=0.7, learning_rate_drops="1", **more)
        more = {"learning_rate": rate, "weight_decay": "0.001", "learning_rate_drops": "4"}
        make_run(f"last{rate}", 0.7, held_out=float(rate), **more, **search)
    rows = read(analyse(tmp_path, "--figures=6") / "table3.csv")
    swap = {
        row["figure"]: row["ours"]
        for row in rows
        if (row["order"], row["data set"]) == ("Swap", "CIFAR-100")
    }
    assert swap["learning rate"] == "0.1"
    assert swap["weight decay"] == "0.001"
    assert swap["learning rate drops"] == "4 (not searched)"
    assert swap["epochs"] == "2 (not searched)"


def test_the_best_setting_is_chosen_by_all_its_seeds(make_run, tmp_path):
    for seed in (0, 1):
        make_run(f"good{seed}", 0.70 + seed / 100, seed=seed, learning_rate="0.1")
        make_run(f"mixed{seed}", 0.80 * (1 - seed), seed=seed, learning_rate="0.01")
        make_run(f"search{seed}", 0.9, held_out=0.9, validation_fraction="0.1", seed=seed)
    make_run("lucky", 0.95, learning_rate="0.001")
    make_run("twice", 0.10, learning_rate="0.1", seed=1)
    found, problems = runs.read(tmp_path / "runs")
    assert not problems
    setting = Runs(found).setting(Experiment("swap"))
    assert [run.path.name for run in setting.runs] == ["good0", "good1"]
    assert setting.alternatives == 3


def test_what_held_out_images_chose_is_shown_before_what_is_more_accurate(make_run, tmp_path):
    """Figure 16 needs both orders at one of their settings, which is no choice of the other's."""
    for rate, accuracy in (("0.01", 0.5), ("0.1", 0.6)):
        flags = {"learning_rate": rate, "order": "convention"}
        make_run(f"search{rate}", 0.9, held_out=accuracy, validation_fraction="0.1", **flags)
        # A first round, of fewer images, that chose otherwise.
        first = {"train_examples": "9", "validation_fraction": "0.1"} | flags
        make_run(f"first{rate}", 0.9, held_out=1 - accuracy, **first)
        for seed in "012":
            path = f"final{rate}{seed}"
            make_run(path, 1 - accuracy + int(seed) / 100, (0.5, 1.0, 0.6), seed=seed, **flags)
    for seed in "012":
        make_run(f"swap{seed}", 0.7 + int(seed) / 100, order="swap", seed=seed)
    found, _ = runs.read(tmp_path / "runs")
    setting = Runs(found).setting(Experiment("convention"))
    assert setting.flags["learning_rate"] == "0.1"
    assert not setting.by_test
    gap = next(r for r in read(analyse(tmp_path) / "table2.csv") if " - " in r["order"])
    assert (float(gap["ours"]), gap["95 % from"] != "") == (pytest.approx(30.0), True)


def test_nwdbn_is_told_from_the_convention(make_run, tmp_path):
    off = {"gamma_weight_decay": "0.0", "beta_weight_decay": "0.0"}
    make_run("nwdbn", 0.6, order="convention", **off)
    make_run("convention", 0.5, order="convention")
    make_run("affine", 0.7, **off)
    decayed = dict.fromkeys(off, "0.0001")
    make_run("decayed", 0.7, order="convention", **decayed)
    make_run("none", 0.7, order="convention", weight_decay="0.0")
    make_run("none at all", 0.7, order="convention", weight_decay="0.0", **off)
    found, _ = runs.read(tmp_path / "runs")
    names = {
        order: [run.path.name for run in found if Experiment(order).fits(run)]
        for order in ("nwdbn", "convention", "swap")
    }
    assert names == {
        "nwdbn": ["nwdbn"],
        "convention": ["convention", "none", "none at all"],
        "swap": [],
    }


def test_a_weight_decay_that_is_not_given_is_that_of_the_kernels(make_run, tmp_path):
    make_run("0", 0.6)
    decays = ("0.0", "0.0001", "0.0005")
    for decay in decays:
        affine = dict.fromkeys(GAMMA_BETA_DECAYS, decay)
        make_run(decay, 0.7, seed=1, **affine)
    out = analyse(tmp_path, "--figures=7")
    rows = {float(row["weight_decay"]): float(row["accuracy"]) for row in read(out / "figure7.csv")}
    assert rows == pytest.approx({0.0: 70, 1e-4: 70, 5e-4: 65})
    found, _ = runs.read(tmp_path / "runs")
    setting = Runs(found).setting(Experiment("swap"))
    assert [run.path.name for run in setting.runs] == ["0", "0.0005"]
    assert {row["gamma weight decay"] for row in read(out / "runs.csv")} == {*decays}
    # What was not told does not vary.
    make_run("less", 0.6, weight_decay="0.0001")
    found, _ = runs.read(tmp_path / "runs")
    assert Runs(found).setting(Experiment("swap")).searched == ["weight_decay"]


def test_sweeps_of_weight_decay(make_run, tmp_path):
    for i, decay in enumerate(("0.0", "0.0001", "0.0002")):
        for seed in (0, 1):
            make_run(
                f"{decay}{seed}",
                0.7 - i / 10 + seed / 50,
                (0.5, 2.0 - i, 0.5),
                order="convention",
                gamma_weight_decay="0.0",
                beta_weight_decay=decay,
                seed=seed,
            )
    rows = read(analyse(tmp_path, "--figures=5") / "figure5.csv")
    assert [float(row["weight_decay"]) for row in rows] == [0.0, 1e-4, 2e-4]
    assert [float(row["accuracy"]) for row in rows] == pytest.approx([71, 61, 51])
    assert [float(row["skewness"]) for row in rows] == [4.0, 2.0, 0.0]


def test_learning_curves_need_the_same_hyper_parameters(make_run, tmp_path):
    make_run("swap", 0.7)
    make_run("other", 0.7, order="convention", learning_rate="0.01")
    assert not (analyse(tmp_path, "--figures=16,17") / "figure16.csv").exists()
    make_run("convention", 0.6, order="convention")
    out = analyse(tmp_path, "--figures=16,17")
    rows = [row for row in read(out / "figure17.csv") if row["model"] == "Swap"]
    assert [float(row["test_cross_entropy"]) for row in rows] == [3.0, 2.0]


def test_a_folder_of_images_stands_in_for_cifar100_alone(make_run, tmp_path):
    make_run("own", 0.5, dataset="image_folder", data_dir="/somewhere")
    page = (analyse(tmp_path, "--figures=6") / "index.html").read_text()
    assert "stand in for it" in page
    make_run("real", 0.7)
    page = (analyse(tmp_path, "--figures=6") / "index.html").read_text()
    assert "stand in for it" not in page
    found, _ = runs.read(tmp_path / "runs")
    assert [run.path.name for run in Runs(found).on("cifar100")] == ["real"]


def test_a_folder_stands_in_for_the_data_set_of_as_many_classes(make_run, tmp_path):
    for classes in (2, 10, 100):
        make_run(str(classes), 0.5, classes=classes, dataset="image_folder")
    summary = tmp_path / "runs" / "2" / "summary.json"
    # Runs of earlier versions do not say.
    summary.write_text(json.dumps(json.loads(summary.read_text()) | {"classes": None}))
    found = Runs(runs.read(tmp_path / "runs")[0])
    named = {name: [run.path.name for run in found.on(name)] for name in DATASETS}
    expected = {"cifar10": ["10"], "cifar100": ["100"], "tiny_imagenet": [], "imagenet2012": []}
    assert named == expected


def test_tables_name_the_papers_data_set_and_what_stands_in(make_run, tmp_path):
    for classes in (10, 100):
        own = {"dataset": "image_folder", "data_dir": f"/{classes}", "train_examples": f"{classes}"}
        for order in ("swap", "convention"):
            make_run(f"{order}{classes}", 0.5, classes=classes, model="vgg16", order=order, **own)
    out = analyse(tmp_path, "--figures=6")
    rows = read(out / "table1.csv")
    names = {row["data set"] for row in rows if row["ours"]}
    assert names == {"CIFAR-10 (image_folder)", "CIFAR-100 (image_folder)"}
    # Two data sets, each of one scale.
    assert "not of one scale" not in (out / "index.html").read_text()


def test_the_page_says_where_runs_are_not_of_one_scale(make_run, tmp_path):
    make_run("swap", 0.7, width="0.25")
    make_run("other", 0.7, dataset="tiny_imagenet", width="0.5")
    make_run("convention", 0.6, order="convention", width="0.25", learning_rate="0.01")
    assert "not of one scale" not in (analyse(tmp_path, "--figures=3") / "index.html").read_text()
    make_run("better", 0.8, order="convention", width="1.0", epochs="3")
    page = (analyse(tmp_path, "--figures=3") / "index.html").read_text()
    assert "not of one scale: width 1.0, 0.25; epochs 3, 2" in page


def test_the_commands_are_of_the_tables_cells():
    for table in tables.tables(Runs([])).values():
        for entry in table:
            if not entry.command:
                assert "Swap - Convention" in entry.names
                continue
            path = ROOT / re.search(r"--flagfile=(\S+)", entry.command)[1]
            flags = published.flags(str(path.relative_to(published.FLAGFILES).with_suffix("")))
            order = "Convention" if entry.names[2] == "NWDBN" else entry.names[2]
            assert DATASETS[flags["dataset"]] == entry.names[3]
            assert ACTIVATIONS[flags["activation"]] == entry.names[1]
            assert (ORDERS[flags["order"]], flags["model"].lower()) == (
                order,
                entry.names[0].lower(),
            )


def _rewritten(path, change):
    change(pd.read_csv(path, dtype=str)).to_csv(path, index=False)


def _without_arrays(path, part):
    arrays = dict(np.load(path / "channels.npz"))
    np.savez(path / "channels.npz", **{k: v for k, v in arrays.items() if part not in k})


def _replaced(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


DAMAGES = {
    "flagless": (lambda run: (run / "flags.txt").unlink(), "has no flags.txt"),
    "unfinished": (lambda run: (run / "summary.json").unlink(), "is not finished"),
    "old": (lambda run: (run / "gradients.csv").unlink(), "of an older format"),
    "empty": (lambda run: (run / "flags.txt").write_text(""), "flags.txt lacks dataset"),
    "seed": (lambda run: _replaced(run / "flags.txt", "seed=0", "seed=x"), "the seed 'x'"),
    "decay": (
        lambda run: _replaced(run / "flags.txt", "decay=0.0005", "decay=x"),
        "the weight_decay 'x'",
    ),
    "json": (lambda run: (run / "summary.json").write_text("{"), "is damaged"),
    "nan": (lambda run: _replaced(run / "summary.json", "0.99", "NaN"), "not finite"),
    "null": (lambda run: _replaced(run / "summary.json", "0.99", "null"), "no accuracy"),
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
    "zip": (lambda run: (run / "channels.npz").write_bytes(b"PK"), "is damaged"),
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


def test_a_diverged_run_counts_with_its_accuracy(make_run, tmp_path, capsys):
    make_run("sound", 0.7, (0.4, 1.5, 0.6))
    make_run("diverged", 0.1, (float("nan"), 1.0, 1.0), seed=1)
    out = analyse(tmp_path, "--figures=1,3,15")
    (row,) = read(out / "runs.csv")
    assert (row["seeds"], row["accuracy"], row["saturation"]) == ("2", "40.00", "0.800")
    assert [float(row["y"]) for row in read(out / "figure3.csv")] == [0.8] * 10
    assert "/diverged diverged: its accuracy counts" in capsys.readouterr().out


def test_the_largest_scale_is_shown(make_run, tmp_path):
    make_run("full", 0.7, width="1.0", epochs="200")
    for seed in (0, 1):
        make_run(f"small{seed}", 0.8, width="0.25", epochs="200", seed=seed)
        make_run(f"short{seed}", 0.9, width="1.0", epochs="2", seed=seed)
        make_run(f"few{seed}", 0.9, width="1.0", epochs="200", train_examples="99", seed=seed)
    found, _ = runs.read(tmp_path / "runs")
    (shown,) = Runs(found).setting(Experiment("swap")).runs
    assert shown.path.name == "full"


def test_every_figure_is_drawn_from_runs(make_run, tmp_path):
    off = {"gamma_weight_decay": "0.0", "beta_weight_decay": "0.0"}
    for activation in ("tanh", "lecun_tanh", "softsign"):
        for order in ("swap", "convention"):
            make_run(f"{activation}{order}", 0.7, activation=activation, order=order)
    make_run("nwdbn", 0.6, order="convention", **off)
    make_run("beta", 0.6, order="convention", **off | {"beta_weight_decay": "0.0001"})
    for decay in ("0.0", "1e-06", "0.0005", "0.001", "0.05"):
        make_run(decay, 0.6, **dict.fromkeys(off, decay))
    for order in ("convention", "swap", "nobn"):
        make_run(f"vgg16{order}", 0.6, model="vgg16", order=order)
    for dataset in DATASETS:
        make_run(f"mobilenet{dataset}", 0.6, model="mobilenet", dataset=dataset)
    out = analyse(tmp_path)
    for figure in figures.every():
        assert (out / f"figure{figure.number}.png").stat().st_size > 10_000
    decays = {n: [float(r["weight_decay"]) for r in read(out / f"figure{n}.csv")] for n in (7, 18)}
    assert decays == {7: [0.0, 1e-6, 5e-4], 18: [1e-3, 5e-2]}
    page = (out / "index.html").read_text()
    assert "Not run: weight decay 5e-06; weight decay 1e-05;" in page
    assert "Not run: VGG16 on CIFAR-10; VGG16 on Tiny ImageNet; VGG16 on ImageNet." in page
    shown = {row["model"] for row in read(out / "figure13.csv")}
    assert {"Swap, Softsign", "Convention, LeCun Tanh"} <= shown
    # What is drawn no longer does not stay beside "not run".
    for run_dir in (tmp_path / "runs").glob("vgg16*"):
        (run_dir / "summary.json").unlink()
    assert not (analyse(tmp_path, "--figures=10,14") / "figure14.png").exists()


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


def test_the_page_holds_its_images(tmp_path):
    page = (analyse(tmp_path, "--figures=11,12") / "index.html").read_text()
    assert not re.search(r'(src|href)="(https?:)?//', page)
    assert page.count("data:image/svg+xml;base64,") == 2


def test_the_example_runs():
    assert doctest.testmod(analytic).attempted == 2
    assert doctest.testmod(analytic).failed == 0


@pytest.mark.parametrize(
    ("mean", "std"), [(0.5, 0.5), (1.0, 0.3), (2.0, 1.0), (3.0, 0.8), (2.0, 5.0)]
)
def test_the_skewness_of_tanh_is_that_of_quadrature(mean, std):
    def expectation(function):
        return scipy.integrate.quad(
            lambda z: function(np.tanh(mean + std * z)) * scipy.stats.norm.pdf(z),
            -12,
            12,
            points=[-mean / std],
            limit=500,
        )[0]

    centre = expectation(lambda y: y)
    second, third = (expectation(lambda y, k=k: (y - centre) ** k) for k in (2, 3))
    moments = analytic.moments_of_tanh(mean, std)
    assert moments[0] == pytest.approx(centre, abs=1e-6)
    assert moments[1] == pytest.approx(second**0.5, rel=1e-6)
    assert moments[2] == pytest.approx(third / second**1.5, abs=1e-3)


def test_figure_11s_uniform_distribution(tmp_path):
    rows = {r["distribution"]: r for r in read(analyse(tmp_path, "--figures=11") / "figure11.csv")}
    assert float(rows["uniform"]["saturation"]) == pytest.approx(0.5, abs=1e-9)
    assert float(rows["uniform"]["skewness"]) == pytest.approx(0.0, abs=1e-9)
    assert float(rows["saturated on one side"]["skewness"]) > 2.0


def test_the_published_numbers_are_the_papers():
    """Against those typed in for the flagfiles."""
    found = {
        name: {entry.names: float(entry.paper.split()[0]) for entry in table}
        for name, table in tables.tables(Runs([])).items()
    }
    for (model, activation), text in ACCURACIES.items():
        values = iter(map(float, text.split()))
        number = {"vgg16": 3, "mobilenet": 5}[model] + (activation == "relu")
        rates, decays = (
            line.split() for line in HYPER_PARAMETERS[model, activation].strip().splitlines()
        )
        names = Experiment("swap", model).network, ACTIVATIONS[activation]
        for row, dataset in enumerate(DATASETS.values()):
            pair = []
            for column, order in enumerate(("Convention", "Swap")):
                experiment = (*names, order, dataset)
                pair.append(found["1"][*experiment, "accuracy"])
                assert pair[-1] == next(values)
                chosen = found[str(number)]
                assert chosen[*experiment, "learning rate"] == float(rates[4 * column + row])
                assert chosen[*experiment, "weight decay"] == float(decays[4 * column + row])
            gap = found["1"][*names, "Swap - Convention", dataset, "accuracy"]
            assert gap == pytest.approx(pair[1] - pair[0])
    for name, (accuracy, settings) in SINGLE.items():
        model, activation, order = settings.split()[:3]
        order = "NWDBN" if name.endswith("nwdbn") else ORDERS[order]
        experiment = (model.upper(), ACTIVATIONS[activation], order, "CIFAR-100", "accuracy")
        table = {"table2": "2", "table7": "7"}.get(name.split("/")[0], "text")
        assert found[table][experiment] == accuracy
    text = {names[2:5:2]: value for names, value in found["text"].items()}
    assert {order: text[order, "sparsity"] for order in ("Convention", "NWDBN", "Swap")} == {
        "Convention": 0.717951,
        "NWDBN": 0.287974,
        "Swap": 0.848927,
    }
    assert text["Convention", "highest saturation"] == 0.45
    assert text["Swap", "highest saturation"] == 0.86


def test_every_published_number_is_in_a_table():
    entries = tables.tables(Runs([]))
    assert [len(entries[name]) for name in "1234567"] == [48, 12, 40, 40, 40, 40, 9]
    assert all(entry.ours is None for table in entries.values() for entry in table)


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
