"""The paper's numbers and ours, gaps with their intervals, and the overview of all runs."""

import re

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from conftest import ROOT
from made_runs import analyse, read
from test_flagfiles import ACCURACIES, HYPER_PARAMETERS, SINGLE

from analysis import uncertainty
from analysis.paper import published, tables
from analysis.paper.experiments import ACTIVATIONS, DATASETS, ORDERS, Experiment, Runs
from keras_bnact.statistics import STATISTICS


def test_tables_have_the_papers_values_and_ours_side_by_side(tmp_path, make_run):
    for seed, accuracy in ((0, 0.74), (1, 0.75), (2, 0.76)):
        make_run(f"swap{seed}", accuracy, (0.4, 1.5, 0.6), seed=seed)
    make_run("convention", 0.695, (0.1, 0.25, 0.3), order="convention", learning_rate="0.01")
    out = analyse(tmp_path, "--figures=6")
    rows = {(r["activation"], r["order"], r["quantity"]): r for r in read(out / "table2.csv")}
    swap = rows["Tanh", "Swap", "accuracy"]
    assert (swap["paper"], swap["seeds"]) == ("74.11", "3")
    assert float(swap["ours"]) == pytest.approx(75.0)
    assert float(swap["standard deviation"]) == pytest.approx(1.0)
    assert float(swap["ours - paper"]) == pytest.approx(0.89)
    gap = rows["Tanh", "Swap - Convention", "accuracy"]
    assert (gap["paper"], float(gap["ours"])) == ("4.61", pytest.approx(75.0 - 69.5))
    # Twice at the last epoch: 3.0 - 0.5.
    assert "| 4.61 | 5.50 |  | one seed |  | 1 | +0.89 |" in (out / "table2.md").read_text()
    assert float(rows["Tanh", "Swap - Convention", "skewness"]["ours"]) == pytest.approx(2.5)
    assert rows["Softsign", "Swap", "accuracy"]["ours"] == ""
    assert (
        "| 74.11 | 75.00 | 1.00 | 72.52 to 77.48 |  | 3 | +0.89 |"
        in (out / "table2.md").read_text()
    )
    text = {(r["order"], r["quantity"]): r["ours"] for r in read(out / "numbers_in_the_text.csv")}
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
        if (r["order"], r["quantity"]) == ("Swap - Convention", "accuracy")
        and r["activation"] == "Tanh"
    )
    # Welch's formulas, in percent points.
    (m, n), variances = (3, 2), [np.var(100 * np.array(s), ddof=1) for s in samples.values()]
    squares = variances[0] / m, variances[1] / n
    freedom = sum(squares) ** 2 / (squares[0] ** 2 / (m - 1) + squares[1] ** 2 / (n - 1))
    error = sum(squares) ** 0.5
    half = scipy.stats.t.ppf(0.975, freedom) * error
    assert float(gap["ours"]) == pytest.approx(76.0 - 63.0)
    assert float(gap["standard deviation"]) == pytest.approx(sum(variances) ** 0.5)
    interval = [float(gap["95 % from"]), float(gap["95 % to"])]
    assert interval == pytest.approx([13.0 - half, 13.0 + half])
    assert float(gap["p"]) == pytest.approx(2 * scipy.stats.t.sf(13.0 / error, freedom))
    assert (gap["test"], gap["seeds"]) == ("Welch", "2")


def test_a_gap_of_the_same_seeds_is_told_seed_by_seed(tmp_path, make_run):
    samples = {"swap": (0.74, 0.71, 0.79), "convention": (0.62, 0.60, 0.66)}
    for order, accuracies in samples.items():
        for seed, accuracy in enumerate(accuracies):
            make_run(f"{order}{seed}", accuracy, order=order, seed=seed)
    out = analyse(tmp_path, "--figures=6")
    gap, *_ = (
        row
        for row in read(out / "table2.csv")
        if (row["order"], row["activation"]) == ("Swap - Convention", "Tanh")
    )
    # Student's formulas of 12, 11 and 13.
    error = 1.0 / 3**0.5
    half = scipy.stats.t.ppf(0.975, 2) * error
    figures = [float(gap[name]) for name in ("ours", "standard deviation", "95 % from", "95 % to")]
    assert figures == pytest.approx([12.0, 1.0, 12.0 - half, 12.0 + half])
    p = 2 * scipy.stats.t.sf(12.0 / error, 2)
    assert float(gap["p"]) == pytest.approx(p)
    assert (gap["test"], gap["seeds"]) == ("paired", "3")
    assert (
        f"| {12 - half:+.2f} to {12 + half:+.2f} | {p:.2g} (paired) | 3 |"
        in (out / "table2.md").read_text()
    )


def test_seeds_that_are_alike_but_for_rounding_have_no_interval():
    accuracies = [0.1, 0.2, 0.7]
    gap = uncertainty.difference(pd.Series(accuracies) + 0.3, pd.Series(accuracies))
    assert gap.value == pytest.approx(0.3)
    assert (gap.interval, gap.p) == (None, None)


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
        if (row["order"], row["quantity"]) == ("Swap - Convention", "accuracy")
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
        if (row["activation"], row["order"], row["quantity"])
        == ("Tanh", "Swap - Convention", "accuracy")
    )
    assert float(gap["ours"]) == pytest.approx(80.5 - 51.0)
    assert gap["standard deviation"]
    assert (gap["95 % from"], gap["95 % to"]) == ("", "")


def test_hyper_parameters_beside_the_papers(tmp_path, make_run):
    search = {"model": "vgg16", "validation_fraction": "0.1"}
    for rate, held_out in (("0.01", 0.8), ("0.1", 0.7)):
        make_run(rate, 0.7, held_out=held_out, learning_rate=rate, weight_decay="1e-05", **search)
    make_run("whole", 0.9, model="vgg16")
    rows = read(analyse(tmp_path, "--figures=6") / "table3.csv")
    swap = {
        row["quantity"]: (row["paper"], row["ours"])
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
        row["quantity"]: row["ours"]
        for row in rows
        if (row["order"], row["data set"]) == ("Swap", "CIFAR-100")
    }
    assert swap["learning rate"] == "0.1"
    assert swap["weight decay"] == "0.001"
    assert swap["learning rate drops"] == "4 (not searched)"
    assert swap["epochs"] == "2 (not searched)"


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
        "95 % interval",
        *STATISTICS,
        "shrinkage",
    ]
    # Student's for two seeds: 12.706 standard errors of 1.
    between, of_layers = "62.29 to 87.71", ["0.800", "3.000", "1.200", ""]
    assert [*swap.values()][4:] == ["0.25", "2", "75.00", "1.41", between, *of_layers]
    assert [*convention.values()][3:8] == ["convention", "0.5", "1", "50.00", ""]
    assert convention["95 % interval"] == "one seed"
    assert "| convention | 0.5 | 1 | 50.00 |" in (out / "runs.md").read_text()
    assert "<td>75.00</td>" in (out / "index.html").read_text()


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


def test_what_the_papers_numbers_leave_open_is_said_below_their_tables():
    twice = (
        "The accuracy of VGG16_11 Tanh, Swap on CIFAR-100 is 74.11 in table 2 and 73.92 in table 7."
    )
    told = {name: tables.notes(name) for name in tables.TITLES}
    assert told.pop("2") == told.pop("7") == [twice]
    (early,) = told.pop("1")
    assert "ImageNet early (A.1)" in early
    assert not any(told.values())


def test_tables_in_the_papers_layout(tmp_path, make_run):
    for seed, accuracy in ((0, 0.74), (1, 0.75), (2, 0.79)):
        make_run(f"swap{seed}", accuracy, seed=seed)
        make_run(f"convention{seed}", 0.60 + seed / 100, order="convention", seed=seed)
    out = analyse(tmp_path, "--figures=6")
    tanh, lecun, softsign = read(out / "table2_paper_layout.csv")
    assert tanh["activation"] == "Tanh"
    assert tanh["Convention, accuracy"] == "61.00 ± 1.00 (69.5)"
    assert tanh["Swap, accuracy"] == "76.00 ± 2.65 (74.11)"
    # Student's of 14, 14 and 17: 15 and 4.303 standard errors of 1.
    assert tanh["Swap - Convention, accuracy"] == "'+15.00 [+10.70, +19.30] (4.61)"
    assert lecun["Swap, accuracy"] == "not run (74.46)"
    assert softsign["activation"] == "Softsign"
    assert (
        "Tanh & 61.00 ± 1.00 (69.5) & 76.00 ± 2.65 (74.11) &"
        in (out / "table2_paper_layout.tex").read_text()
    )
    assert '<td class="number">76.00 ± 2.65 (74.11)</td>' in (out / "index.html").read_text()
    assert [row["data set"] for row in read(out / "table1_paper_layout.csv")] == [
        *DATASETS.values()
    ]
