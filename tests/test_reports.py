"""Findings, by hand; the page and TensorBoard's events, as their readers read them."""

import html.parser
import re
import sys

import keras
import numpy as np
import pytest
from keras import layers

from keras_bnact import Histogram, measure, reports, statistics
from keras_bnact.callbacks import CHANNELS, ActivationStatistics, StatisticsReport
from keras_bnact.reports import findings

BOTH = [0.99, -0.99, 0.98, -0.98]
ONE = [0.99, 0.98, 0.99, 0.97]
FREE = [0.4, -0.3, 0.2, -0.6]


def layer(*channels, name="conv1", **keywords):
    return statistics.describe(np.transpose(channels), name=name, activation="tanh", **keywords)


@pytest.mark.parametrize(
    ("measured", "said"),
    [
        (layer(FREE, FREE), []),
        (layer(BOTH, BOTH, FREE), ["67 % of its channels are saturated on both sides"]),
        (layer(ONE, FREE, FREE, FREE), ["25 % of its channels are saturated on one side"]),
        (layer(ONE, FREE, FREE, FREE, FREE), []),
        (
            layer(ONE, BOTH),
            [
                "50 % of its channels are saturated on one side",
                "50 % of its channels are saturated on both sides",
            ],
        ),
        (layer([0.5] * 4, FREE), ["1 of its 2 channels is constant"]),
        (layer([0.5] * 4, [0.4] * 4, FREE), ["2 of its 3 channels are constant"]),
        (layer([0.0] * 4, FREE, FREE), ["1 of its 3 channels is zero for every example"]),
        (
            layer(FREE, FREE, output=np.zeros((4, 2))),
            ["all of its 2 channels are zero for every example"],
        ),
        (layer([0.5, np.nan, 0.1, 0.2], FREE), ["1 of its 2 channels holds NaN or infinity"]),
        (layer([0.05, -0.04, 0.02, -0.06]), ["it is nearly linear, at 4 % of its bounds"]),
        (layer([0.0] * 11 + [9.0], bounds=None), ["its output is sparse (0.92)"]),
        # Of a sigmoid, whose middle is 0.5.
        (
            layer([0.99, 0.01, 0.98, 0.02], bounds=(0, 1)),
            ["100 % of its channels are saturated on both sides"],
        ),
        (
            layer([0.01, 0.01, 0.02, 0.02], bounds=(0, 1)),
            ["100 % of its channels are saturated on one side"],
        ),
        # Bounds alone make saturation.
        (layer(BOTH, bounds=None), []),
    ],
)
def test_findings(measured, said):
    assert [finding.text for finding in reports.find([measured])] == said


def test_a_change_is_told():
    now = [layer(BOTH, FREE, name="a"), layer(FREE, name="b"), layer(FREE, name="c")]
    found = reports.find(now, {"a": 0.3, "b": 0.9, "c": 0.4})
    assert [*map(str, found)] == [
        "a: 50 % of its channels are saturated on both sides",
        "a: its saturation rose from 0.30 to 0.68",
        "b: its saturation fell from 0.90 to 0.38",
    ]


def test_the_most_serious_comes_first():
    found = reports.find([layer(BOTH, name="a"), layer([0.2] * 4, FREE, name="b")])
    assert [finding.kind for finding in found] == ["constant", "saturated"]
    assert {*findings.KINDS} >= {finding.kind for finding in found}


class Cells(html.parser.HTMLParser):
    """The titles of a page's coloured cells, and its text."""

    def __init__(self, text):
        super().__init__()
        self.titles, self.text, self.tags = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        attributes = dict(attributes)
        if tag == "td" and "title" in attributes:
            self.titles.append(attributes["title"])

    def handle_data(self, data):
        self.text.append(data)


def model():
    return keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(4, "tanh", name="hidden"),
            layers.Dense(3, "relu", name="dense"),
            layers.Dense(2, name="logits"),
        ]
    )


def test_the_page_has_what_was_measured_and_nothing_that_runs():
    measured = statistics.ModelStatistics(
        [layer(BOTH, FREE, name="<b>&'\""), layer(FREE, name="conv2", bounds=None)],
        {"<script>": "<img>"},
    )
    epochs = {epoch: measured.records() for epoch in (1, 3, 5)}
    page = Cells(reports.page("<script>alert(1)</script>", epochs, measured))
    assert not {"script", "img"} & {*page.tags}
    assert len(page.titles) == 3 * 2 * 3
    for epoch in epochs:
        for of in measured:
            for name in statistics.STATISTICS:
                value = getattr(of, name)
                assert f"{of.name}, epoch {epoch}: {name} {value:.3f}" in page.titles
    text = " ".join(page.text)
    assert "<script>alert(1)</script>" in text
    assert "After epoch 5; measured after 3 epochs" in text


def test_a_long_course_is_thinned_out(rng):
    measured = measure(model(), rng.normal(size=(40, 8)))
    epochs = {epoch: measured.records() for epoch in range(1, 201)}
    page = reports.page("long", epochs, measured)
    shown = sorted({int(n) for n in re.findall(r"hidden, epoch (\d+): saturation", page)})
    assert len(shown) == 60
    assert (shown[0], shown[-1]) == (1, 200)


def test_a_layer_that_is_not_finite_has_no_colour(rng):
    measured = statistics.ModelStatistics([layer([np.nan, 1, 1, 1]), layer(FREE, name="conv2")])
    page = Cells(reports.page("toy", {1: measured.records()}, measured))
    assert page.titles.count("conv1, epoch 1: not finite or not measured") == 3


def test_the_callback_writes_after_every_measured_epoch(rng, tmp_path):
    network = model()
    network.compile("sgd", "mse")
    x, y = rng.normal(size=(40, 8)), rng.normal(size=(40, 2))
    seen = []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(re.findall(r"measured after (\d+) epoch", path.read_text()))

    path = tmp_path / "report.html"
    report = StatisticsReport(path, x, every=2)
    history = network.fit(x, y, epochs=4, verbose=0, callbacks=[report, Look()]).history
    assert seen == [["1"], ["2"], ["2"], ["3"]]
    assert [*report.epochs] == [0, 1, 3]
    # Counts of channels, of which the page alone makes use, are not kept of every epoch.
    assert not any(layer.histograms for measured in report.epochs.values() for layer in measured)
    assert len(history["saturation/hidden"]) == 4
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]
    # A true distribution of the worst channels.
    assert "from -1.00 to 1.00" in path.read_text()


def test_where_no_page_can_be_written_is_told_at_once(rng, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"in a folder that exists, .*; got '.*nowhere/report"):
        StatisticsReport(tmp_path / "nowhere" / "report.html", rng.normal(size=(4, 8)))
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ModuleNotFoundError, match=r"jinja2, .* install '\.\[report\]'"):
        StatisticsReport(tmp_path / "report.html", rng.normal(size=(4, 8)))


def test_tensorboard_reads_what_was_counted(rng, tmp_path):
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    tf = pytest.importorskip("tensorflow")
    network = model()
    network.compile("sgd", "mse")
    x, y = rng.normal(size=(40, 8)), rng.normal(size=(40, 2))
    # The first is not of all of the layer.
    wanted = [Histogram(channels=1), CHANNELS]
    callback = ActivationStatistics(x, log_dir=tmp_path / "layers", histograms=wanted)
    network.fit(x, y, epochs=2, verbose=0, callbacks=[callback])
    events = accumulators.EventAccumulator(str(tmp_path / "layers")).Reload()

    def values(tag):
        return [(event.step, tf.make_ndarray(event.tensor_proto)) for event in events.Tensors(tag)]

    for step, (number, measured) in enumerate(callback.epochs.items()):
        of = measured["hidden"]
        assert number == step
        assert values("saturation/hidden")[step] == (step, pytest.approx(of.saturation))
        assert values("saturation")[step] == (step, pytest.approx(measured.saturation))
        _, rows = values("activation/hidden")[step]
        _, histogram = of.histograms
        np.testing.assert_array_equal(rows[:, 2], histogram.counts.sum(axis=0))
        np.testing.assert_allclose(rows[:, 0], np.linspace(-1, 1, 26)[:-1], atol=1e-12)
        np.testing.assert_allclose(rows[:, 1], np.linspace(-1, 1, 26)[1:], atol=1e-12)
        assert rows[:, 2].sum() == 40 * 4
    _, (width, height, *images) = values("channels/hidden")[0]
    assert (int(width), int(height)) == (200, 64)
    pixels = tf.io.decode_png(images[0]).numpy()
    assert (pixels.min(), pixels.max()) == (0, 255)
