"""Figures of plain arrays: against NumPy and SciPy, and the properties of appendix A.10."""

import sys

import numpy as np
import pytest
import scipy.stats
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from keras_bnact import statistics
from keras_bnact.statistics import ChannelMoments

# The paper's vectors are non-negative: absolute values of activations.
vectors = st.lists(
    st.floats(0.0, 1e3, allow_subnormal=False).map(lambda x: round(x, 3)), min_size=2, max_size=20
).map(np.array)
properties = settings(max_examples=200, deadline=None)


def larger(one, other):
    return one > other + 1e-12


@properties
@given(vectors, st.floats(1e-3, 1e3))
def test_scaling_does_not_change_sparsity(x, factor):
    assert statistics.sparsity(factor * x) == pytest.approx(statistics.sparsity(x), abs=1e-12)


@properties
@given(vectors, st.floats(1e-2, 1e3))
def test_rising_tide_lowers_sparsity(x, tide):
    assume(x.min() != x.max())
    assert larger(statistics.sparsity(x), statistics.sparsity(x + tide))


@properties
@given(vectors, st.integers(2, 5))
def test_cloning_does_not_change_sparsity(x, times):
    clones = np.concatenate([x] * times)
    assert statistics.sparsity(clones) == pytest.approx(statistics.sparsity(x), abs=1e-12)


@properties
@given(vectors, st.integers(0, 19), st.floats(1.0, 1e3))
def test_bill_gates_raises_sparsity(x, index, more):
    index %= len(x)
    assume(np.delete(x, index).sum() > 0)
    # Once one entry is the largest by far, making it larger makes the vector sparser.
    rich, richer = x.copy(), x.copy()
    rich[index] += x.max() + 1.0
    richer[index] = rich[index] + more
    assert statistics.sparsity(richer) > statistics.sparsity(rich)


@properties
@given(vectors)
def test_babies_raise_sparsity(x):
    assume(x.any())
    assert larger(statistics.sparsity(np.append(x, 0.0)), statistics.sparsity(x))


def test_robin_hood_does_not_lower_sparsity():
    # Taking from the rich for the poor should lower it; here the richest is another.
    assert statistics.sparsity([4.0, 2.0, 0.0]) == statistics.sparsity([4.0, 1.5, 0.5]) == 0.5


def test_hand_worked_figures():
    layer = statistics.describe(
        [[-1.0, 0.0], [0.5, 0.0], [0.5, 0.0], [1.0, 0.0]], bounds=(-2.0, 2.0)
    )
    assert layer.channel_saturation.tolist() == [3 / 8, 0.0]
    assert layer.saturation == 3 / 16
    assert layer.channel_sparsity.tolist() == [1 / 4, 1.0]
    assert layer.channel_mean.tolist() == [1 / 4, 0.0]
    assert layer.channel_max.tolist() == [1.0, 0.0]
    # Deviations -5/4, 1/4, 1/4, 3/4: variance 9/16, third moment -3/8.
    assert layer.channel_std == pytest.approx([3 / 4, 0.0])
    factor = np.sqrt(4 * 3) / 2
    assert layer.channel_skewness == pytest.approx([factor * -(3 / 8) / (3 / 4) ** 3, 0.0])
    assert layer.skewness == pytest.approx(factor * (3 / 8) / (3 / 4) ** 3 / 2)
    assert (layer.count, layer.constant_channels, layer.zero_channels) == (4, 1, 1)


@pytest.mark.parametrize("mean", [0.0, 1.0, 5.0, 6.0, 8.0])
def test_skewness_is_scipys(rng, mean):
    values = np.tanh(rng.normal(mean, 0.3, (50, 20, 3)))
    expected = scipy.stats.skew(values.reshape(-1, 3), bias=False)
    layer = statistics.describe(values)
    np.testing.assert_allclose(layer.channel_skewness, expected, rtol=1e-6)
    assert layer.skewness == pytest.approx(np.abs(expected).mean())


@pytest.mark.parametrize("size", [1e-99, 1e-30, 1e30, 1e99])
def test_tiny_and_huge_values_neither_vanish_nor_overflow(size):
    values = size * np.array([1.0, 2.0, 5.0])
    skewness = statistics.describe(values, bounds=None).channel_skewness
    np.testing.assert_allclose(skewness, [scipy.stats.skew([1.0, 2.0, 5.0], bias=False)])


# Whose cubes are coarsely rounded, at 1e-107, or 0; and the squares too, at 1e-170.
@pytest.mark.parametrize("size", [1e-107, 1e-110, 1e-150, 1e-170, 5e-324])
def test_values_too_small_for_their_cubes_have_skewness_0(size):
    values = size * np.array([[1.0], [2.0], [5.0]])
    layer = statistics.describe(np.hstack([values, [[1.0], [2.0], [5.0]]]), bounds=None)
    tiny, usual = layer.channel_skewness
    assert (tiny, layer.skewness) == (0.0, usual / 2)
    np.testing.assert_allclose(layer.channel_saturation, 8 / 15)
    assert (layer.constant_channels, layer.non_finite_channels) == (0, 0)


def test_an_unbounded_activation_is_measured_by_its_channels_largest_value():
    values = [[1.0, 10.0], [2.0, 20.0], [4.0, -40.0]]
    assert statistics.saturation(values, bounds=None) == pytest.approx(7 / 12)


def test_the_output_of_the_block_counts_for_sparsity(rng):
    activation, output = rng.normal(size=(2, 100, 4))
    layer = statistics.describe(activation, output)
    assert layer.sparsity == statistics.sparsity(output)
    assert layer.empirical_saturation == 1.0 - layer.sparsity
    assert layer.skewness == statistics.skewness(activation)
    np.testing.assert_array_equal(layer.channel_output_max, np.abs(output).max(axis=0))


def test_two_elements_have_no_skewness():
    assert statistics.skewness([1.0, 2.0]) == 0.0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_not_averaged_away(bad):
    layer = statistics.describe([[0.1, 0.2], [0.3, bad], [0.2, 0.1]])
    assert layer.non_finite_channels == 1
    assert np.isfinite(layer.channel_skewness).tolist() == [True, False]
    assert np.isnan([layer.saturation, layer.skewness, layer.sparsity]).all()
    table = str(statistics.ModelStatistics([layer]))
    assert "NaN or infinity in 1 of 2 channels of array" in table


@pytest.mark.parametrize("mean", [0.0, 1e6])
def test_moments_of_parts_are_those_of_the_whole(rng, mean):
    values = mean + rng.gamma(2.0, size=(100, 3))
    parts = [ChannelMoments.of(part) for part in (values[:7], values[7:60], values[60:])]
    merged = parts[0] + parts[1] + parts[2]
    np.testing.assert_allclose(merged.mean, values.mean(axis=0), rtol=1e-12)
    for moment, order in ((merged.second, 2), (merged.third, 3)):
        expected = 100 * scipy.stats.moment(values, order)
        np.testing.assert_allclose(moment, expected, rtol=1e-7 if mean else 1e-12)
    assert merged.count.tolist() == [100.0] * 3
    np.testing.assert_allclose(merged.absolute, np.abs(values).sum(axis=0))
    np.testing.assert_array_equal(merged.minimum, values.min(axis=0))
    np.testing.assert_array_equal(merged.maximum, values.max(axis=0))


def test_a_model_is_found_by_name_and_averaged_plainly():
    layers = [statistics.describe(x, name=f"conv{i}") for i, x in enumerate(([0.5], [1.0]))]
    model = statistics.ModelStatistics(layers)
    assert model["conv1"] is model[1] is layers[1]
    assert model.saturation == 0.75
    with pytest.raises(KeyError, match=r"conv9.*conv0, conv1"):
        model["conv9"]
    assert [record["layer"] for record in model.records()] == ["conv0", "conv1"]
    assert all(type(v) in (int, float, str) for v in model.records()[0].values())


def test_bounds_are_in_order():
    with pytest.raises(ValueError, match=r"got \(1.0, -1.0\)"):
        statistics.saturation([1.0], bounds=(1.0, -1.0))


def test_saturation_between_bounds_that_are_not_symmetric():
    # Distances from 0.5: 0.5, 0.5, 0.25 and 0.
    assert statistics.saturation([0.0, 1.0, 0.75, 0.5], bounds=(0.0, 1.0)) == 0.625
    # What the block gives is told by its own absolute values all the same.
    layer = statistics.describe([0.0, 1.0, 0.75, 0.5], bounds=(0.0, 1.0))
    assert layer.empirical_saturation == 0.5625


def test_nothing_cannot_be_measured():
    with pytest.raises(ValueError, match=r"\(0, 3\) holds nothing"):
        statistics.sparsity(np.zeros((0, 3)))
    with pytest.raises(ValueError, match=r"\(2,\).*\(3,\)"):
        statistics.describe([1.0, 2.0, 3.0], output=[1.0, 2.0])


def test_a_notebook_shows_a_table_a_figure_and_a_frame(tmp_path, monkeypatch):
    measured = statistics.ModelStatistics(
        [
            statistics.describe([0.0, 0.5, 1.0], name="<conv1>", activation="tanh"),
            statistics.describe([-1.0, 0.5, 2.0], name="relu", bounds=None),
        ],
        {"other": "in a loop"},
    )
    shown = measured._repr_html_()
    assert "<td>&lt;conv1&gt;</td>" in shown
    assert "<td>0.5</td>" in shown
    assert "not measured: other (in a loop)" in shown
    frame = measured.to_frame()
    assert [*frame.index] == ["<conv1>", "relu"]
    assert frame.loc["<conv1>", "saturation"] == 0.5
    figure = measured.plot()
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["saturation", "skewness", "sparsity"]
    assert [bar.get_width() for bar in figure.axes[0].patches] == [
        layer.saturation for layer in measured
    ]
    figure.savefig(tmp_path / "layers.png")
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ModuleNotFoundError, match=r"pandas, .* install '\.\[notebook\]'"):
        measured.to_frame()
