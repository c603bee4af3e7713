"""What the figures draw: every value in sight, on the axes and in the colours that tell it."""

import re

import matplotlib.colors
import numpy as np
import pytest
from made_runs import analyse

from analysis import experiments, figures, runs, style, tables
from analysis.experiments import DATASETS, Experiment, Runs
from analysis.figures import analytic
from train import options

OFF = {"gamma_weight_decay": "0.0", "beta_weight_decay": "0.0"}
ACTIVATIONS = ("tanh", "lecun_tanh", "softsign")


@pytest.fixture
def draw(tmp_path):
    """Draws a figure from the runs that have been made."""

    def draw(number):
        (figure,) = (figure for figure in figures.every() if figure.number == number)
        (tmp_path / "runs").mkdir(exist_ok=True)
        found, _ = runs.read(tmp_path / "runs")
        return figure.draw(Runs(found))

    return draw


@pytest.fixture
def everything(make_run):
    """Runs for all figures, of models whose statistics are of different sizes."""
    for i, activation in enumerate(ACTIVATIONS):
        for j, order in enumerate(("swap", "convention")):
            statistics = (0.1 + 0.1 * i + 0.05 * j, 0.5 + i + 2 * j, 0.6)
            make_run(f"{activation}{order}", 0.7, statistics, activation=activation, order=order)
    make_run("nwdbn", 0.6, order="convention", **OFF)
    for decay in ("0.0001", "0.0003"):
        make_run(decay, 0.65, order="convention", **OFF | {"beta_weight_decay": decay})
    for decay in ("0.0", "1e-06", "0.0005", "0.001", "0.05"):
        make_run(f"both{decay}", 0.6, **dict.fromkeys(OFF, decay))
    for order in ("convention", "swap", "nobn"):
        make_run(f"vgg16{order}", 0.6, model="vgg16", order=order)
    for i, dataset in enumerate(DATASETS):
        statistics = (0.4, 1.0 + i, 0.5)
        make_run(f"mobilenet{dataset}", 0.6, statistics, model="mobilenet", dataset=dataset)


@pytest.mark.parametrize("number", [figure.number for figure in figures.every()])
def test_nothing_lies_beyond_its_axes(everything, draw, number):
    drawn = draw(number).figure
    drawn.canvas.draw()
    shown = 0
    for axes in drawn.axes:
        (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        for line in axes.lines:
            if line.get_linestyle() == ":":
                continue
            x, y = (np.asarray(values, "float64") for values in line.get_data())
            tolerance = 1e-9 * max(abs(top), abs(bottom))
            assert ((left <= x) & (x <= right)).all()
            assert ((bottom - tolerance <= y) & (y <= top + tolerance)).all()
            shown += len(x)
        for patch in axes.patches:
            x, y = patch.get_transform().transform_path(patch.get_path()).vertices.T
            box = axes.get_window_extent()
            assert box.x0 - 1 <= x.min() <= x.max() <= box.x1 + 1
            assert y.max() <= box.y1 + 1
            shown += len(x)
        for band in axes.collections:
            heights = np.concatenate([path.vertices[:, 1] for path in band.get_paths()])
            assert heights.max() <= top
    assert shown


def test_figure_9_names_network_and_data_set(everything, draw):
    drawing = draw(9)
    rows = {*zip(drawing.numbers["model"], drawing.numbers["dataset"], strict=True)}
    assert rows == {
        ("VGG16, CIFAR-100", "cifar100"),
        *((f"MobileNet, {name}", flag) for flag, name in DATASETS.items()),
    }
    # By hand: the second epoch has twice the skewness, 1 to 4.
    tops = [axes.get_ylim()[1] for axes in drawing.figure.axes[4:]]
    assert min(tops) == max(tops) >= 8.0
    assert {axes.get_ylim()[0] for axes in drawing.figure.axes} == {0.0}


def test_figure_9_has_room_for_what_was_run_alone(make_run, draw):
    make_run("one", 0.5, model="vgg16", dataset="cifar10")
    drawing = draw(9)
    assert [axes.get_title() for axes in drawing.figure.axes] == ["VGG16, CIFAR-10"]
    assert len(drawing.missing) == 7
    # Another network on other images: their own rows and columns.
    make_run("two", 0.5, model="mobilenet", dataset="tiny_imagenet")
    titles = [axes.get_title() for axes in draw(9).figure.axes]
    networks, images = ("VGG16", "MobileNet"), ("CIFAR-10", "Tiny ImageNet")
    assert titles == [f"{network}, {name}" for network in networks for name in images]


def colours(axes):
    return {line.get_label(): matplotlib.colors.to_hex(line.get_color()) for line in axes.lines}


@pytest.mark.parametrize(
    ("number", "order", "scale", "decays"),
    [
        (5, "nwdbn", "linear", [0.0, 1e-4, 3e-4]),
        (7, "swap", "symlog", [0.0, 1e-6, 5e-4]),
        (18, "swap", "log", [1e-3, 5e-2]),
    ],
)
def test_weight_decays_stand_where_they_are(everything, draw, number, order, scale, decays):
    for axes in draw(number).figure.axes:
        assert axes.get_xscale() == scale
        np.testing.assert_allclose(np.array(axes.lines[0].get_xdata(), "float64"), decays)
        assert matplotlib.colors.to_hex(axes.lines[0].get_color()) == style.COLOURS[order].lower()


def test_figure_18_names_what_it_goes_on_from():
    (title,) = (figure.title for figure in figures.every() if figure.number == 18)
    assert "Figure 7" in title


def test_figure_8_compares_outputs_on_one_range(everything, draw):
    panels = draw(8).figure.axes
    assert len(panels) == 9
    assert len({axes.get_xlim() for axes in panels}) == 1
    for axes in panels:
        assert "seed 0" in axes.get_title()
        assert any((np.asarray(line.get_xdata()) == 0.0).all() for line in axes.lines)
        values, edges, _ = axes.patches[0].get_data()
        # A density, whatever the width of a channel's bins.
        assert (values * np.diff(edges)).sum() == pytest.approx(1.0)


def test_figure_13_has_a_colour_an_activation(everything, draw):
    shapes, layers = draw(13).figure.axes
    known = colours(shapes)
    assert len({*known.values()}) == 3
    assert len(layers.lines) == 6
    for line in layers.lines:
        order, activation = line.get_label().split(", ")
        assert matplotlib.colors.to_hex(line.get_color()) == known[activation]
        assert line.get_linestyle() == ("--" if order == "Convention" else "-")


def test_figure_6_draws_samples_on_their_lines(draw):
    drawing = draw(6)
    (axes,) = drawing.figure.axes
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    for (mean, std), label in zip(analytic.INPUTS, labels, strict=True):
        points = drawing.numbers[drawing.numbers["input_mean"] == mean]
        line, samples = (points["x"][points["drawn"] == kind] for kind in ("line", "sample"))
        assert samples.between(line.iloc[0], line.iloc[-1]).all()
        # Mean and deviation of tanh of that input, by drawing it.
        outputs = np.tanh(np.random.default_rng(1).normal(mean, std, 1_000_000))
        assert f"input: mean {mean:g}, deviation {std:g}" in label
        told = [float(part.split()[-1]) for part in label.split("output:")[1].split(",")]
        assert told == pytest.approx([outputs.mean(), outputs.std()], abs=0.01)


def test_figure_12_shows_where_skewness_falls_faster(draw):
    """Appendix A.4, on an axis on which it can be seen: as steep as it is."""
    (axes,) = draw(12).figure.axes
    assert axes.get_xscale() == "linear"
    assert len(axes.lines) == len(analytic.MEANS)
    for line in axes.lines:
        std, skewness = line.get_data()
        peak = int(np.argmax(skewness))
        half = skewness[peak] / 2
        below = std[peak] - np.interp(half, skewness[: peak + 1], std[: peak + 1])
        after = skewness[peak:]
        assert after[-1] < half
        assert below < np.interp(-half, -after, std[peak:]) - std[peak]


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


def lengthen(path):
    """A history of as many epochs as the flagfile asks for."""
    (path / "history.csv").write_text(
        "epoch,learning_rate,cross_entropy,test_cross_entropy\n"
        + "".join(f"{epoch},0.1,1.0,2.0\n" for epoch in range(1, 201))
    )
    summary = (path / "summary.json").read_text()
    (path / "summary.json").write_text(summary.replace('"epochs": 2', '"epochs": 200'))


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


def test_the_largest_sweep_of_weight_decays_is_drawn(make_run, draw):
    for width, decays in (("0.25", ("0.0", "1e-05", "0.0001")), ("1.0", ("0.0", "0.0005"))):
        for decay in decays:
            make_run(f"{width}{decay}", 0.7, width=width, **dict.fromkeys(OFF, decay))
    # The largest of all, but no sweep.
    make_run("one", 0.7, width="2.0", **dict.fromkeys(OFF, "0.0"))
    assert [*draw(7).numbers["weight_decay"]] == [0.0, 5e-4]


def test_learning_curves_are_of_the_largest_pair_and_then_of_their_flagfiles(
    make_run, draw, tmp_path
):
    def make(name, accuracy, **flags):
        for order in ("convention", "swap"):
            make_run(f"{name} {order}", accuracy, order=order, **flags)

    make("small", 0.9, width="0.25")
    make("large", 0.5, width="0.5")
    assert {setting.flags["width"] for setting in draw(16).settings} == {"0.5"}
    full = {"epochs": "200", "width": "1.0"}
    make("better", 0.9, learning_rate="0.1", **full)
    make("figure16", 0.8, learning_rate="0.01", **full)
    for path in (tmp_path / "runs").glob("*"):
        if path.name.startswith(("better", "figure16")):
            lengthen(path)
    assert {setting.flags["learning_rate"] for setting in draw(16).settings} == {"0.01"}


def test_a_channel_without_spread_is_said_to_be_so(make_run, draw):
    """That of a batch normalization whose gamma weight decay has brought to zero."""
    path = make_run("swap", 0.7)
    arrays = dict(np.load(path / "channels.npz"))
    arrays["conv5/output_channel_histograms/edges"][1] = 0.25
    np.savez(path / "channels.npz", **arrays)
    texts = [text.get_text() for axes in draw(8).figure.axes for text in axes.texts]
    assert texts == ["all at 0.25"]


def test_the_page_tells_hyper_parameters_that_differ(make_run, tmp_path):
    make_run("swap", 0.7, learning_rate="0.1")
    make_run("convention", 0.6, order="convention", learning_rate="0.01")
    page = (analyse(tmp_path, "--figures=3") / "index.html").read_text()
    told = "These runs differ in learning rate 0.01 (Convention), 0.1 (Swap)."
    # Below the figure, table 2 and the numbers in the text.
    assert page.count(told) == 3
    # Another data set is no comparison.
    make_run("cifar10", 0.6, dataset="cifar10", learning_rate="0.5")
    page = (analyse(tmp_path, "--figures=3") / "index.html").read_text()
    assert page.count(told) == 3
    assert "0.5 (" not in page


def test_a_narrow_screen_shows_all_of_a_single_panel(everything, tmp_path):
    page = (analyse(tmp_path, "--figures=3,9") / "index.html").read_text()
    assert page.count("<figure><img") == 1
    assert page.count('<figure class="wide"><img') == 1
    # The paper's numbers and ours are among the first columns of every table.
    heads = re.findall(r"<thead><tr>(.*?)</tr></thead>", page)
    columns = [re.findall(r"<th>(.*?)</th>", head) for head in heads if "<th>paper</th>" in head]
    assert len(columns) == len(tables.TITLES)
    assert all(head.index("paper") <= 2 and head.index("ours") <= 3 for head in columns)
