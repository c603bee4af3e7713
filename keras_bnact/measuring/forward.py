"""Measuring a model: one forward pass over the data gives all statistics of all its layers."""

import dataclasses
import functools
import operator
import weakref
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_bnact import _backends, activations, statistics
from keras_bnact._layer_kinds import has_own_code
from keras_bnact.measuring.batches import batches, inputs, number_of_batches
from keras_bnact.measuring.histograms import Histogram, checked
from keras_bnact.measuring.layer_names import patterns
from keras_bnact.measuring.model_inputs import model_inputs
from keras_bnact.measuring.programs import (
    Signature,
    check_built,
    forward,
    programs,
    watched,
)
from keras_bnact.measuring.progress import Progress
from keras_bnact.measuring.sites import Site, find, left_out, select, with_channel_axis
from keras_bnact.measuring.sums import Elements, moments
from keras_bnact.measuring.watching import OWN_CODE, Watch
from keras_bnact.statistics import ChannelMoments, ModelStatistics


def measure(
    model: keras.Model,
    data: Any,
    layers: str | Sequence[str] | None = None,
    histograms: Sequence[Histogram] = (),
    batch_size: int = 128,
    steps: int | None = None,
    verbose: str | int = "auto",
    channel_axis: int | None = None,
) -> ModelStatistics:
    """Saturation, asymmetric saturation and sparsity of a model's layers, in one pass.

    Measured is every activation of the model at inference: that of each `BoundedBlock`, each
    activation layer (`Activation`, `ReLU`, `LeakyReLU`, `PReLU`, `ELU`), each `activation`
    argument (of Conv, Dense, ...) and each function of `keras.activations` in a functional model's
    graph, in Sequential, functional, nested and subclassed models. The block's output is that of
    the batch normalization that follows directly, if one does, else the activation's. Linear and
    softmax activations are not measured, nor can a function that a layer's own code calls (a bare
    `ops.tanh`) or a layer inside a loop (an RNN's) be seen: the result's `left_out` names what may
    be missed. A layer called twice gives two rows, `name` and `name#2`. Padding, as Keras' masks
    tell it, does not count.

    The formulas are those of `keras_bnact.statistics`; an activation with no (known) bounds is
    measured relative to each channel's largest absolute value. The model stays as it is. It is
    traced at the first call for it; later calls with the same `layers` and `histograms` reuse
    that, with the weights of the moment. (On JAX a program is compiled for each shape of batch, a
    shorter last one among them; on PyTorch none is.) Call `model.compile` after you have changed
    an attribute of a layer by hand, as for Keras' own functions.

    Args:
        model: A built Keras model, on TensorFlow, JAX or PyTorch. On JAX, the devices of
            `keras.distribution` share a batch that they can share evenly, and every process is
            given the whole of it. Under `tf.distribute.MirroredStrategy` every replica takes its
            share of each batch, unless their moving statistics differ (batch normalization that
            is not synchronized): then the first replica, which is what is saved, is measured
            alone.
        data: A `tf.data.Dataset`, a `keras.utils.PyDataset` or other batches to iterate over,
            or arrays. Labels and sample weights are ignored.
        layers: Names or shell patterns (`"conv*"`) of the layers to measure. By default all but
            dense layers without batch normalization in a model that normalizes others.
        histograms: What to count beside.
        batch_size: Examples a batch, for arrays only. Default 128.
        steps: Measure at most so many batches. Default: all.
        verbose: 1 shows a progress bar, 0 none, `"auto"` (default) one on a terminal once three
            seconds have passed.
        channel_axis: Axis of the channels of those activations of which no layer tells it. By
            default they are refused in a model that has channels elsewhere than last.

    Returns:
        A `keras_bnact.statistics.ModelStatistics`: a list of `LayerStatistics` that prints as
        a table.

    Raises:
        ValueError: For another backend, a model that is not built or has nothing to measure, a
            name that matches no layer, data without a batch or without end or of a shape that the
            model does not take, an axis of channels that is not known, and batch normalization
            that is always called with `training=True`.

    Example:

    >>> import keras, keras_bnact
    >>> import numpy as np
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, "tanh", name="hidden")])
    >>> layers = keras_bnact.measure(model, np.random.rand(100, 8))
    >>> layers["hidden"].count, layers["hidden"].channel_skewness.shape
    (100, (4,))

    Reference: equations 1 to 4, section 5.2 and Algorithms 1 and 2 of the paper.
    """
    check_built(model)
    backend = _backends.current()
    chosen, histograms = patterns(layers), checked(histograms)
    shared = backend.replicas_agree(model)
    shares = backend.replicas(model) if shared else 1
    stream = (model_inputs(model, inputs(b), shares) for b in batches(data, batch_size, steps))
    progress = Progress(verbose, number_of_batches(data, batch_size, steps))
    common: _Common | None = None
    totals: _Totals | None = None
    with backend.state_restored(model):
        for program, batch in programs(
            model,
            stream,
            ("measure", chosen, histograms, channel_axis),
            lambda signature: _Program(model, signature, chosen, histograms, channel_axis),
        ):
            common = common or program.begin(batch, shared)
            result = program.run(batch, common)
            totals = result if totals is None else totals + result
            progress.add()
    progress.finish()
    if totals is None or common is None:
        raise ValueError("The data holds no batch to measure.")
    return program.summarize(totals, common.spans)


@dataclasses.dataclass(frozen=True)
class _Layer:
    """What is known of a measured layer once its model is traced."""

    name: str
    activation: str
    bounds: activations.Bounds | None
    channels: slice
    histograms: tuple[Histogram, ...]


@dataclasses.dataclass(frozen=True)
class _Common:
    """What the batches of one measurement have in common.

    `spans` has the lowest and the highest value of every histogram of every layer,
    `largest_batch` the number of examples that a replica has of a full batch. Where batches are
    not `shared`, the first replica alone measures them.
    """

    spans: np.ndarray
    largest_batch: int
    shared: bool

    def arrays(self) -> tuple[Any, ...]:
        return self.spans.astype("float32"), np.int32(self.largest_batch)


@dataclasses.dataclass
class _Totals:
    """Additive results of batches, all layers' channels side by side.

    `affine` gives the block's output of an activation `a` as `affine[0] * a + affine[1]`.
    """

    moments: ChannelMoments
    counts: list[np.ndarray]
    affine: np.ndarray

    def __add__(self, other: "_Totals") -> "_Totals":
        counts = [one + more for one, more in zip(self.counts, other.counts, strict=True)]
        return _Totals(self.moments + other.moments, counts, self.affine)


class _Program:
    """A model's forward pass with the statistics of its layers, compiled."""

    def __init__(
        self,
        model: keras.Model,
        signature: Signature,
        layers: Sequence[str] | None,
        histograms: tuple[Histogram, ...],
        channel_axis: int | None,
    ):
        backend = _backends.current()
        self.layers: list[_Layer] = []
        self.left_out: dict[str, str] = {}
        self.replicas = backend.replicas(model)
        watch = Watch(backend.scope)
        # Weak, so that a program does not keep the model alive that it is kept for.
        reference = weakref.ref(model)

        def sites(batch):
            with backend.model_dtypes(), watch.recording() as recording:
                forward(reference(), signature.nested(batch), training=False)
            if has_own_code(reference()):
                recording.unseen[type(reference()).__name__] = OWN_CODE
            found = find(recording, training=False)
            chosen = select(found, layers)
            self.left_out = left_out(recording, found, chosen, by_default=layers is None)
            chosen = [with_channel_axis(site, channel_axis) for site in chosen]
            self.layers = _lay_out(chosen, histograms)
            return chosen

        def step(batch, spans, largest_batch):
            results, counts = [], {}
            for site, layer in zip(sites(batch), self.layers, strict=True):
                elements = Elements(site, largest_batch)
                results.append(elements.sums)
                for histogram in layer.histograms:
                    number = len(counts)
                    counts[f"counts {number}"] = elements.counts(
                        histogram, spans[number, 0], spans[number, 1]
                    )
            return counts | {
                key: ops.concatenate([result[key] for result in results], axis=-1)
                for key in results[0]
            }

        within = functools.partial(watched, watch)
        specs = signature.specs
        if histograms:
            # How many there are, and so what the program takes, depends on the layers.
            backend.trace(sites, within, model, specs)
        self._run = backend.compile(step, within, model, specs, *self._common(1, True).arrays())

    def begin(self, batch: Sequence[Any], shared: bool) -> _Common:
        """What all batches have in common, from the first: it tells what histograms span."""
        examples = len(batch[0])
        common = self._common(-(-examples // (self.replicas if shared else 1)), shared)
        if not len(common.spans):
            return common
        start = self.run(batch, common)
        spans = [
            histogram.span(
                layer.bounds,
                start.moments.minimum[layer.channels],
                start.moments.maximum[layer.channels],
                start.affine[:, layer.channels],
            )
            for layer in self.layers
            for histogram in layer.histograms
        ]
        return dataclasses.replace(common, spans=np.array(spans))

    def _common(self, largest_batch: int, shared: bool) -> _Common:
        histograms = sum(len(layer.histograms) for layer in self.layers)
        return _Common(np.tile([0.0, 1.0], (histograms, 1)), largest_batch, shared)

    def run(self, batch: Sequence[Any], common: _Common) -> _Totals:
        """The results of one batch, of all replicas together."""
        return functools.reduce(
            operator.add,
            (
                _Totals(
                    moments(result),
                    [result[f"counts {n}"].astype("int64") for n in range(len(common.spans))],
                    result["affine"],
                )
                for result in self._run(batch, *common.arrays(), shared=common.shared)
            ),
        )

    def summarize(self, totals: _Totals, spans: np.ndarray) -> ModelStatistics:
        """The statistics, from all batches."""
        counts = zip(totals.counts, spans, strict=True)
        return ModelStatistics(
            (
                _summarize(
                    layer,
                    totals.moments[layer.channels],
                    totals.affine[:, layer.channels],
                    [next(counts) for _ in layer.histograms],
                )
                for layer in self.layers
            ),
            self.left_out,
        )


def _lay_out(chosen: Sequence[Site], histograms: Sequence[Histogram]) -> list[_Layer]:
    """Gives the sites' channels their places beside one another."""
    for histogram in histograms:
        if not any(histogram.matches(site.name) for site in chosen):
            raise ValueError(
                f"No measured layer is called {histogram.layers!r}, of which a histogram is asked "
                f"for: there are {', '.join(site.name for site in chosen)}."
            )
    layers, begin = [], 0
    for site in chosen:
        if site.by_batch:
            raise ValueError(
                f"The output of '{site.name}' is normalized with training=True, by the statistics "
                "of each batch, and has none of its own: name the other layers to measure."
            )
        channels = site.outputs.shape[site.channel_axis]
        wanted = tuple(h for h in histograms if h.matches(site.name))
        for histogram in wanted:
            histogram.check(site.name, channels)
        place = slice(begin, begin + channels)
        layers.append(_Layer(site.name, site.activation, site.bounds, place, wanted))
        begin = place.stop
    return layers


def _summarize(
    layer: _Layer,
    moments: ChannelMoments,
    affine: np.ndarray,
    counts: Sequence[tuple[np.ndarray, np.ndarray]],
) -> statistics.LayerStatistics:
    if not moments.count.any():
        raise ValueError(f"All of '{layer.name}' is padding: the data holds nothing to measure.")
    with np.errstate(all="ignore"):
        ends = affine[0] * np.stack([moments.minimum, moments.maximum]) + affine[1]
    return statistics.summarize(
        layer.name,
        layer.activation,
        layer.bounds,
        moments,
        np.abs(ends).max(axis=0),
        [
            histogram.finish(count, low, high, affine)
            for histogram, (count, (low, high)) in zip(layer.histograms, counts, strict=True)
        ],
    )
