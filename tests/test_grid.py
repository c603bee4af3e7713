import pytest

from train import options
from train.errors import UsageError
from train.run_directory import DIVERGED, SUMMARY, RunDirectory
from train.sweeps import comparison, grid


def runs(*arguments):
    sweep, common = options.parse_sweep(arguments)
    return grid.runs(grid.parse(sweep.grid), common)


def test_every_combination_once():
    found = runs("--grid=learning_rate=0.1,0.01", "--epochs=3", "--grid=seed=0,1,2")
    assert [run.name for run in found] == [
        f"learning_rate={rate},seed={seed}" for rate in ("0.1", "0.01") for seed in range(3)
    ]
    assert {run.flags.epochs for run in found} == {3}
    assert (found[-1].flags.learning_rate, found[-1].flags.seed) == (0.01, 2)


def test_no_grid_is_one_run():
    (run,) = runs("--epochs=3")
    assert (run.name, run.flags.epochs) == ("run", 3)


def test_two_flags_with_the_same_value():
    found = runs("--grid=gamma_weight_decay+beta_weight_decay=0,1e-6")
    assert [(run.flags.gamma_weight_decay, run.flags.beta_weight_decay) for run in found] == [
        (0.0, 0.0),
        (1e-6, 1e-6),
    ]
    assert found[1].name == "gamma_weight_decay+beta_weight_decay=1e-6"


def test_a_later_grid_of_a_flag_wins_as_a_later_flag_does(tmp_path):
    (tmp_path / "sweep.flags").write_text("--grid=seed=0,1,2\n--grid=order=swap\n")
    found = runs(f"--flagfile={tmp_path / 'sweep.flags'}", "--grid=seed=7")
    assert [run.name for run in found] == ["seed=7,order=swap"]


def test_flags_need_to_go_together_in_the_combinations_alone():
    found = runs("--grid=epochs=4,5", "--learning_rate_drops=3", "--epochs=1")
    assert [run.flags.epochs for run in found] == [4, 5]
    with pytest.raises(UsageError, match=r"drops=3: .*--epochs=2"):
        runs("--grid=epochs=4,2", "--learning_rate_drops=3")


@pytest.mark.parametrize(
    ("epochs", "drops"), [(8, [4, 6]), (4, [2, 3]), (2, [1]), (1, []), (3, [2])]
)
def test_a_shorter_training_drops_at_the_same_parts(epochs, drops):
    sweep, common = options.parse_sweep(["--epochs=8", "--learning_rate_drops=4,6"])
    (run,) = grid.runs(grid.parse(sweep.grid), common, epochs=epochs)
    assert (run.flags.epochs, run.flags.learning_rate_drops) == (epochs, drops)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["seed"], "--grid=seed: give a flag and its values, as in seed=0,1,2"),
        (["seed="], "give a flag and its values"),
        (["seed=1,,2"], "give a flag and its values"),
        (["sed=1"], "sed is no flag to vary; did you mean seed?"),
        (["run_dir=a,b"], "run_dir is no flag to vary"),
        (["seed=1,1"], "value twice"),
        (["seed=1,01"], "--grid=seed=1,01 has a value twice"),
        (["gamma_weight_decay+beta_weight_decay=0.1,1e-1"], "value twice"),
        (["seed=\n1,2"], "--grid='seed=\\n1,2' has characters that cannot be printed"),
        (["learning_rate_drops=1,2"], "commas of learning_rate_drops"),
        (["data_dir=/a,/b"], "has / in a value"),
        (["seed=1,2", "seed+epochs=3"], "seed is in two grids"),
        (["order=swap,swop"], "give one of swap, convention, nobn; did you mean swap?"),
    ],
)
def test_mistakes(given, expected):
    with pytest.raises(UsageError) as error:
        runs(*(f"--grid={grid}" for grid in given))
    assert expected in str(error.value)


def comparison_of(tmp_path, accuracies, *arguments):
    found = runs(*arguments)
    directories = {run: RunDirectory(tmp_path / run.name, "") for run in found}
    for run, accuracy in zip(found, accuracies, strict=True):
        if accuracy is not None:
            directories[run].path.mkdir(parents=True)
            summary = {part: {"accuracy": a} for part, a in accuracy.items()}
            directories[run].write_json(SUMMARY, summary)
    return comparison.compare(found, directories)


def test_means_and_deviations_over_seeds(tmp_path):
    accuracies = [{"test": a} for a in (0.1, 0.2, 0.6, 0.4)] + [{"test": 0.3}, None]
    rows = comparison_of(
        tmp_path, accuracies, "--grid=order=swap,convention,nobn", "--grid=seed=0,1"
    )
    comparison.write(rows, tmp_path)
    lines = (tmp_path / "table.csv").read_text().splitlines()
    assert lines[0] == "order,runs,finished,diverged,test_accuracy_mean,test_accuracy_std"
    swap, convention, nobn = (line.split(",") for line in lines[1:])
    assert swap[:4] == ["swap", "2", "2", "0"]
    assert float(swap[4]) == pytest.approx(0.15)
    # By hand: the square root of 2 * 0.05**2 / 1, and of 2 * 0.1**2.
    assert float(swap[5]) == pytest.approx(0.0707107, abs=1e-6)
    assert float(convention[5]) == pytest.approx(0.1414214, abs=1e-6)
    assert nobn == ["nobn", "2", "1", "0", "0.3", ""]
    report = f"{comparison.report(rows)}\n{comparison.verdict(rows)}"
    assert "1 of 2" in report
    assert "50.00 ± 14.14" in report
    assert report.endswith("Best by test accuracy: order=convention")


def test_the_best_is_told_by_held_out_images_where_there_are_some(tmp_path):
    accuracies = [{"validation": 0.7, "test": 0.1}, {"validation": 0.2, "test": 0.9}]
    arguments = ["--grid=order=swap,convention", "--validation_fraction=0.1"]
    rows = comparison_of(tmp_path, accuracies, *arguments)
    assert comparison.verdict(rows) == "Best by validation accuracy: order=swap"


def test_a_tie_is_told_as_one(tmp_path):
    accuracies = [{"test": 0.5}, {"test": 0.25}, {"test": 0.5}]
    rows = comparison_of(tmp_path, accuracies, "--grid=order=swap,convention,nobn")
    told = comparison.verdict(rows)
    assert told == "Alike in the highest test accuracy: order=swap; order=nobn"


def test_nothing_finished(tmp_path):
    rows = comparison_of(tmp_path, [None, None], "--grid=order=swap,convention")
    assert comparison.best(rows) is None
    assert "0 of 1" in comparison.report(rows)


def test_the_best_quarter_of_each_learning_rate_goes_on(tmp_path):
    decays = range(1, 9)
    accuracies = {
        "0.1": [0.1, 0.5, 0.3, 0.2, 0.9, 0.4, None, 0.8],
        "0.01": [0.01, 0.02, 0.03, 0.08, 0.07, 0.04, 0.05, 0.06],
    }
    rows = comparison_of(
        tmp_path,
        [
            a and {"validation": a, "test": 1 - a}
            for of_rate in accuracies.values()
            for a in of_rate
        ],
        "--grid=learning_rate=0.1,0.01",
        f"--grid=weight_decay={','.join(map(str, decays))}",
        "--validation_fraction=0.1",
    )

    def kept(rows):
        better = comparison.best_quarter(rows)
        return [(r.settings["learning_rate"], r.settings["weight_decay"]) for r in better]

    assert kept(rows) == [("0.1", "5"), ("0.1", "8"), ("0.01", "4"), ("0.01", "5")]
    assert kept(rows[:3]) == [("0.1", "2")]


def test_settings_of_which_a_run_diverged_are_not_the_best(tmp_path):
    arguments = ["--grid=learning_rate=1e6,0.1", "--grid=seed=0,1"]
    accuracies = [{"test": 0.9}, None, {"test": 0.5}, {"test": 0.6}]
    comparison_of(tmp_path, accuracies, *arguments)
    lost = RunDirectory(tmp_path / "learning_rate=1e6,seed=1", "")
    lost.path.mkdir()
    lost.write_json(DIVERGED, {"epoch": 3, "layer": "logits", "reason": "it is not finite"})
    rows = comparison_of(tmp_path, [None] * 4, *arguments)
    assert [[*row.diverged] for row in rows] == [[3], []]
    assert "1 of 2, 1 diverged at epoch 3" in comparison.report(rows)
    assert comparison.verdict(rows) == "Best by test accuracy: learning_rate=0.1"
    assert [row.settings for row in comparison.best_quarter(rows)] == [{"learning_rate": "0.1"}]
    comparison.write(rows, tmp_path)
    assert (tmp_path / "table.csv").read_text().splitlines()[1].startswith("1e6,2,1,1,0.9")
