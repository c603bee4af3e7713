"""What the figures draw: every value in sight, on the axes and in the colours that tell it."""

import doctest
import re

import matplotlib.colors
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from made_runs import LAYERS, OFF, analyse, lengthen, read

from analysis import output, runs, style
from analysis.paper import figures
from analysis.paper.experiments import DATASETS, Runs
from analysis.paper.figures import analytic


@pytest.fixture
def draw(tmp_path):
    """Draws a figure from the runs that have been made."""

    def draw(number):
        (figure,) = (figure for figure in figures.every() if figure.number == number)
        (tmp_path / "runs").mkdir(exist_ok=True)
        found, _ = runs.read(tmp_path / "runs")
        return figure.draw(Runs(found))

    return draw


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


@pytest.mark.parametrize("number", [7, 15, 18])
def test_logarithmic_axes_are_labelled_in_plain_numbers(everything, draw, number):
    """Formulas are shown as they are written, since a dollar sign may be a user's."""
    drawing = draw(number)
    output.figure("figure", drawing)
    axes = [axis for axes in drawing.figure.axes for axis in (axes.xaxis, axes.yaxis)]
    written = [text.get_text() for axis in axes for text in axis.get_ticklabels(which="both")]
    assert not [text for text in written if "$" in text]
    assert [text for text in written if re.fullmatch("\\de\N{MINUS SIGN}\\d+", text)]


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


def test_figure_1_is_of_the_layer_whose_channels_a_run_keeps(make_run, draw):
    path = make_run("swap", 0.7)
    arrays = dict(np.load(path / "channels.npz"))
    kept = "/activation_channel_histograms"
    moved = {key.replace(f"conv8{kept}", f"conv3{kept}"): arrays[key] for key in arrays}
    np.savez(path / "channels.npz", **moved)
    drawing = draw(1)
    assert drawing.numbers["of"].iloc[0] == "conv3"
    assert drawing.figure.axes[0].get_title() == "Swap: conv3, seed 0"


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
