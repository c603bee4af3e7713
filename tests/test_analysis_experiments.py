"""Which runs are of which of the paper's experiments, and which setting stands for one."""

import json

import pytest
from made_runs import analyse, lengthen, read

from analysis import runs
from analysis.paper import experiments
from analysis.paper.experiments import DATASETS, Experiment, Runs
from analysis.runs import GAMMA_BETA_DECAYS
from train import options


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
        make_run(f"swap{seed}", 0.7 + int(seed) / 50, order="swap", seed=seed)
    found, _ = runs.read(tmp_path / "runs")
    setting = Runs(found).setting(Experiment("convention"))
    assert setting.flags["learning_rate"] == "0.1"
    assert not setting.by_test
    gap = next(r for r in read(analyse(tmp_path) / "table2.csv") if " - " in r["order"])
    assert (float(gap["ours"]), gap["95 % from"] != "") == (pytest.approx(31.0), True)


def test_images_of_one_name_stand_in(make_run, tmp_path):
    mine = {"dataset": "image_folder", "data_dir": "/mine"}
    for seed in (0, 1):
        make_run(f"swap{seed}", 0.9, dataset_name="flowers", seed=seed, **mine)
    make_run("convention", 0.6, order="convention", dataset_name="birds", **mine)
    found = Runs(runs.read(tmp_path / "runs")[0])
    assert found.dataset_name("cifar100") == "CIFAR-100 (flowers)"
    assert len(found.setting(Experiment("swap")).runs) == 2
    # Of other images, which are no comparison.
    assert found.setting(Experiment("convention")) is None


def test_runs_that_are_not_trained_in_the_papers_way_stand_for_none_of_it(make_run, tmp_path):
    make_run("paper", 0.5)
    make_run("adamw", 0.9, optimizer="adamw")
    make_run("cosine", 0.9, learning_rate_schedule="cosine")
    found, _ = runs.read(tmp_path / "runs")
    (shown,) = Runs(found).setting(Experiment("swap")).runs
    assert shown.path.name == "paper"
    assert len(read(analyse(tmp_path, "--figures=6") / "runs.csv")) == 3


def test_the_largest_scale_is_shown(make_run, tmp_path):
    make_run("full", 0.7, width="1.0", epochs="200")
    for seed in (0, 1):
        make_run(f"small{seed}", 0.8, width="0.25", epochs="200", seed=seed)
        make_run(f"short{seed}", 0.9, width="1.0", epochs="2", seed=seed)
        make_run(f"few{seed}", 0.9, width="1.0", epochs="200", train_examples="99", seed=seed)
    found, _ = runs.read(tmp_path / "runs")
    (shown,) = Runs(found).setting(Experiment("swap")).runs
    assert shown.path.name == "full"


def test_another_experiment_does_not_take_a_models_place(make_run, tmp_path):
    """Runs of figures 16 and 17, one learning rate for both, beside those of table 2."""
    for seed in range(3):
        make_run(f"table2{seed}", 0.7, learning_rate="0.1", epochs="200", seed=seed)
        make_run(f"figure16{seed}", 0.8, learning_rate="0.01", epochs="200", seed=seed)
    for path in (tmp_path / "runs").glob("*"):
        lengthen(path)
    found, problems = runs.read(tmp_path / "runs")
    assert not problems
    setting = Runs(found).setting(Experiment("swap"))
    assert [run.path.name for run in setting.runs] == [f"table2{seed}" for seed in range(3)]
    assert setting.alternatives == 1


def test_other_initial_weights_are_not_the_flagfiles(make_run, tmp_path):
    flags = options.parse([])
    assert {name: flags[name].serialize().split("=")[1] for name in experiments.DEFAULTS} == (
        experiments.DEFAULTS
    )
    table2 = {"learning_rate": "0.1", "epochs": "200"}
    make_run("table2", 0.7, **table2)
    make_run("other", 0.9, kernel_initializer="he_normal", **table2)
    for path in (tmp_path / "runs").glob("*"):
        lengthen(path)
    setting = Runs(runs.read(tmp_path / "runs")[0]).setting(Experiment("swap"))
    assert [run.path.name for run in setting.runs] == ["table2"]
    assert not setting.by_test


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
