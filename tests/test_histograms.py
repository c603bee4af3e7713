"""Histograms, against NumPy's."""

import keras
import numpy as np
import pytest
from keras import layers
from oracle import predict, randomize

from keras_bnact import BoundedBlock, Histogram, measure


@pytest.mark.parametrize("order", ["swap", "convention"])
def test_histograms_are_numpys(rng, order):
    block = BoundedBlock(layers.Dense(3), "lecun_tanh", order, name="block")
    model = keras.Sequential([keras.Input((5,)), block])
    randomize(block.normalization, rng)
    block.normalization.gamma.assign([0.7, -1.2, 0.4])
    x = rng.normal(size=(1000, 5)).astype("float32")
    before = keras.Sequential([keras.Input((5,)), *block.steps[:-1]])
    g = predict(model, x)
    a = predict(before, x) if order == "swap" else g
    wanted = [
        Histogram(bins=20),
        Histogram("block", of="output", bins=20),
        Histogram("bl*", channels=[2, 1], bins=10),
        Histogram(channels=range(3), of="output", bins=10),
    ]
    (layer,) = measure(model, x, histograms=wanted, batch_size=300)
    whole, output, some, outputs = layer.histograms
    values = {"activation": a, "output": g}
    for histogram in layer.histograms:
        rows = histogram.channels or [slice(None)]
        for row, channels in enumerate(rows):
            edges = histogram.edges[row]
            assert (np.diff(edges) > 0).all()
            expected, _ = np.histogram(values[histogram.of][:, channels], edges)
            assert histogram.counts[row].sum() == expected.sum()
            # A value on an edge may fall to either side.
            assert np.abs(histogram.counts[row] - expected).sum() <= 4
    assert whole.edges[0, [0, -1]] == pytest.approx([-1.7159, 1.7159])
    assert some.channels == (2, 1)
    assert outputs.edges.shape == (3, 11)
    assert outputs.counts.dtype == np.int64
    assert output.counts.sum() == 3000


def test_the_histogram_of_an_unbounded_activation_spans_the_first_batch(rng):
    model = keras.Sequential([keras.Input((2,)), layers.ReLU()])
    x = np.array([[1.0, 2.0], [0.0, 4.0], [9.0, 0.0]], "float32")
    (layer,) = measure(model, x, histograms=[Histogram(bins=4)], batch_size=2)
    assert layer.histograms[0].edges.tolist() == [[0.0, 1.0, 2.0, 3.0, 4.0]]
    assert layer.histograms[0].counts.tolist() == [[2, 1, 1, 2]]


def test_histograms_leave_nan_out(rng):
    x = np.array([[0.5, np.nan], [np.inf, 0.5], [-0.5, 0.5]], "float32")
    model = keras.Sequential([keras.Input((2,)), layers.Activation("tanh")])
    wanted = [Histogram(bins=4), Histogram(channels=1, bins=4)]
    (layer,) = measure(model, x, histograms=wanted)
    assert [h.counts.tolist() for h in layer.histograms] == [[[0, 1, 3, 1]], [[0, 0, 2, 0]]]
    assert layer.non_finite_channels == 1


def test_channels_as_numpy_counts_them():
    assert Histogram(channels=np.argmax([0, 2, 1])).channels == (1,)
    assert Histogram(channels=np.argsort([0, 2, 1])).channels == (0, 2, 1)
    assert Histogram(channels=np.int64(1)) == Histogram(channels=1)


def test_mistakes_with_histograms():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4, activation="tanh", name="hidden")])
    for histogram, message in (
        (Histogram("conv8"), "'conv8'.*there are hidden"),
        (Histogram(channels=[3, 4]), "'hidden' has 4 channels.*channel 4"),
    ):
        with pytest.raises(ValueError, match=message):
            measure(model, np.ones((2, 3)), histograms=[histogram])
    for keywords, message in (
        ({"of": "input"}, "'input'"),
        ({"bins": 0}, "got 0"),
        ({"channels": []}, "Name the channels"),
    ):
        with pytest.raises(ValueError, match=message):
            Histogram(**keywords)


def test_all_channels_one_by_one_are_the_layer_together(rng):
    model = keras.Sequential([keras.Input((8,)), layers.Dense(5, "tanh"), layers.ReLU()])
    x = rng.normal(size=(500, 8))
    whole, each = (
        measure(model, x, histograms=[Histogram(channels=channels, bins=30)])
        for channels in (None, "all")
    )
    for one, other in zip(whole, each, strict=True):
        assert other.histograms[0].channels == (0, 1, 2, 3, 4)
        together = other.histograms[0].together()
        np.testing.assert_array_equal(together.counts, one.histograms[0].counts)
        np.testing.assert_array_equal(together.edges, one.histograms[0].edges)
    with pytest.raises(ValueError, match="Channels are numbers, or 'all' one by one; got 'each'"):
        Histogram(channels="each")
