"""Callbacks that measure while `model.fit` trains."""

import dataclasses
import os
import weakref
from collections.abc import Callable, Iterator, Sequence, Set
from pathlib import Path
from typing import Any

import keras

from keras_bnact.measuring import measure
from keras_bnact.measuring.batches import check
from keras_bnact.measuring.gradients import measure_gradients
from keras_bnact.measuring.histograms import Histogram, checked
from keras_bnact.measuring.layer_names import patterns
from keras_bnact.measuring.programs import check_called
from keras_bnact.reports.events import LayerEvents
from keras_bnact.reports.page import check_installed, page
from keras_bnact.statistics import ModelStatistics

# What pages and TensorBoard show of channels.
CHANNELS = Histogram(channels="all", bins=25)

# The logs' entries of which callbacks have said that they will write them, by what is trained.
_ENTRIES: weakref.WeakKeyDictionary[keras.Model, set[str]] = weakref.WeakKeyDictionary()


class _EveryFewEpochs(keras.callbacks.Callback):
    """Measures at the end of the first epoch and of every so many; adds entries to the logs."""

    def __init__(
        self,
        function: Callable,
        data: Any,
        every: int,
        batch_size: int,
        steps: int | None,
        prefix: str,
        model: keras.Model | None,
        **options: Any,
    ):
        super().__init__()
        check(data, batch_size, steps)
        if every < 1:
            raise ValueError(f"every must be 1 or more; got {every}.")
        if isinstance(data, Iterator):
            raise ValueError(
                "An iterator is used up after one epoch: give a tf.data.Dataset, a PyDataset or "
                "arrays."
            )
        self.function, self.data = function, data
        self.options = {"batch_size": batch_size, **options}
        self.every, self.steps, self.prefix = every, steps, prefix
        self.submodel = model
        self.epochs: dict[int, Any] = {}
        self._entries: dict[str, float] = {}

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        # All callbacks are given the model before the first of them begins.
        _ENTRIES[model] = set()

    @property
    def measured(self) -> keras.Model:
        """The model that is measured."""
        return self.model if self.submodel is None else self.submodel

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._entries = {}
        check_called(self.measured, "give the callback `model`, a part of it")
        if self.measured.built:
            # Compiles what is needed, and shows a mistake before an epoch is spent.
            names = self._named(self._measure(steps=1)).keys()
            self._refuse(names & _ENTRIES[self.model])
            _ENTRIES[self.model].update(names)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if not self._entries or (epoch + 1) % self.every == 0:
            measured = self._measure(self.steps)
            self.epochs[epoch] = self._kept(measured)
            self._entries = self._named(measured)
            self._show(epoch, measured)
        if logs is not None:
            self._refuse(self._entries.keys() & logs.keys())
            logs |= self._entries

    def _kept(self, measured: Any) -> Any:
        """What is kept of what was measured."""
        return measured

    def _show(self, epoch: int, measured: Any) -> None:
        """Called with what was measured at the end of an epoch, counted from 0."""

    def _named(self, measured: Any) -> dict[str, float]:
        return {self.prefix + name: x for name, x in measured.entries().items()}

    def _refuse(self, taken: Set[str]) -> None:
        if taken:
            raise ValueError(
                f"The logs have an entry '{min(taken)}' already: give one of the callbacks that "
                "write it another prefix."
            )

    def _measure(self, steps: int | None) -> Any:
        return self.function(self.measured, self.data, steps=steps, **self.options)


class ActivationStatistics(_EveryFewEpochs):
    """Measures saturation, skewness and sparsity while a model trains.

    At the end of the first epoch, and of every epoch whose number (from 1) is a multiple of
    `every`, it calls `keras_bnact.measure`; the other epochs cost nothing and repeat the last
    values. The epoch's logs get `saturation`, `skewness` and `sparsity`, the means over the
    layers, and for each layer `saturation/NAME`, `skewness/NAME` and `sparsity/NAME`. The History
    has them, and so do `CSVLogger`, `TensorBoard` and `EarlyStopping(monitor="sparsity",
    mode="max")` where they are listed after this callback; its `patience` counts epochs, so with
    an `every` above 1 it must be larger than that.

    Args:
        data: What to measure on, as in `keras_bnact.measure`; read anew each time.
        every: Measure every so many epochs, 1 or more. Default 1.
        layers, histograms, batch_size, steps, channel_axis: As in `keras_bnact.measure`.
        prefix: Put before each entry's name, for a second callback on other data. Default none.
        model: What to measure: a part of the model that is trained, such as a GAN's generator.
            Default: that model.
        log_dir: Folder for TensorBoard events, such as one beside `train` and `validation` of
            `keras.callbacks.TensorBoard`: scalars of each layer, true histograms of its
            activation, and an image of its channels' distributions, as
            `keras_bnact.reports.events.LayerEvents` writes them. They are of an epoch's number
            from 0, as Keras' are. Needs the extra `tensorboard`. Default: none.

    Attributes:
        epochs: The `ModelStatistics` of each measured epoch, by its number from 0.

    Raises:
        ValueError: For an `every` below 1, an iterator as data, a model without a `call`, or
            entries that another callback writes to the logs; and as `keras_bnact.measure`.

    Example:

    >>> import keras, keras_bnact
    >>> import numpy as np
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, "tanh", name="hidden")])
    >>> model.compile("sgd", "mse")
    >>> x, y = np.random.rand(64, 8), np.random.rand(64, 4)
    >>> callback = keras_bnact.callbacks.ActivationStatistics(x, every=2)
    >>> history = model.fit(x, y, epochs=3, verbose=0, callbacks=[callback]).history
    >>> list(callback.epochs), len(history["saturation/hidden"])
    ([0, 1], 3)
    """

    # Whether what is written needs the counts of every channel.
    _shows_channels = False

    def __init__(
        self,
        data: Any,
        every: int = 1,
        layers: str | Sequence[str] | None = None,
        histograms: Sequence[Histogram] = (),
        batch_size: int = 128,
        steps: int | None = None,
        prefix: str = "",
        model: keras.Model | None = None,
        channel_axis: int | None = None,
        log_dir: str | os.PathLike | None = None,
    ):
        histograms = checked(histograms)
        shown = self._shows_channels or log_dir is not None
        self._adds_channels = shown and CHANNELS not in histograms
        if self._adds_channels:
            histograms = (CHANNELS, *histograms)
        self._events = None if log_dir is None else LayerEvents(log_dir)
        super().__init__(
            measure,
            data,
            every,
            batch_size,
            steps,
            prefix,
            model,
            channel_axis=channel_axis,
            layers=patterns(layers),
            histograms=histograms,
            verbose=0,
        )

    def _kept(self, measured: Any) -> Any:
        """Without the counts that nobody asked for, which add up over many epochs."""
        if not self._adds_channels:
            return measured
        layers = (dataclasses.replace(x, histograms=x.histograms[1:]) for x in measured)
        return ModelStatistics(layers, measured.left_out)

    def _show(self, epoch: int, measured: Any) -> None:
        """Writes TensorBoard events."""
        if self._events is not None:
            self._events.write(epoch, measured)


class StatisticsReport(ActivationStatistics):
    """`ActivationStatistics`, and after every measured epoch a page of what they came to.

    The page is one HTML file that needs no other and no network: findings in plain sentences
    (`keras_bnact.reports.find` has their limits), saturation, skewness and sparsity by layer and
    epoch, the distributions of the channels, and those that are most saturated and most skewed.
    Needs the extra `report`.

    Args:
        path: Of the file, in a folder that exists; it is written anew each time.
        data: What to measure on, as in `keras_bnact.measure`; read anew each time.
        **kwargs: As for `ActivationStatistics`.

    Attributes:
        epochs: The `ModelStatistics` of each measured epoch, by its number from 0.

    Raises:
        ValueError: For a folder that does not exist; and as `ActivationStatistics`.
        ModuleNotFoundError: Without jinja2.

    Example:

    >>> import pathlib, tempfile
    >>> import keras, keras_bnact
    >>> import numpy as np
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, "tanh", name="hidden")])
    >>> model.compile("sgd", "mse")
    >>> x, y = np.random.rand(64, 8), np.random.rand(64, 4)
    >>> path = pathlib.Path(tempfile.mkdtemp(), "report.html")
    >>> report = keras_bnact.callbacks.StatisticsReport(path, x)
    >>> history = model.fit(x, y, epochs=2, verbose=0, callbacks=[report])
    >>> "hidden" in path.read_text()
    True
    """

    _shows_channels = True

    def __init__(self, path: str | os.PathLike, data: Any, **kwargs: Any):
        self.path = Path(path)
        if self.path.is_dir() or not self.path.parent.is_dir():
            raise ValueError(
                f"A report is written to a file in a folder that exists, such as report.html; got "
                f"'{self.path}'."
            )
        # Before an epoch is trained for nothing.
        check_installed()
        super().__init__(data, **kwargs)

    def _show(self, epoch: int, measured: Any) -> None:
        """Writes the page."""
        super()._show(epoch, measured)
        records = {number + 1: past.records() for number, past in self.epochs.items()}
        # Beside it, so that who reads the page never finds half of it.
        beside = self.path.with_name(f".{self.path.name}.new")
        beside.write_text(page(f"{self.measured.name}: layers", records, measured))
        beside.replace(self.path)


class GradientStatistics(_EveryFewEpochs):
    """Measures inputs and gradients of the weight layers while a model trains.

    When it measures, and who sees it, is as for `ActivationStatistics`. The epoch's logs get for
    each layer `input/NAME`, `weight_gradient/NAME` and `activation_gradient/NAME`; see
    `keras_bnact.measure_gradients`.

    Args:
        data: What to measure on, with labels, as in `keras_bnact.measure_gradients`; read anew
            each time.
        every: Measure every so many epochs, 1 or more. Default 1.
        layers, batch_size, steps: As in `keras_bnact.measure_gradients`.
        prefix: Put before each entry's name, for a second callback on other data. Default none.
        model: What to measure: a part of the model that is trained, such as a GAN's generator.
            Default: that model.

    Attributes:
        epochs: The `ModelGradients` of each measured epoch, by its number from 0.

    Raises:
        ValueError: For an `every` below 1, an iterator as data, a model without a `call`, or
            entries that another callback writes to the logs; and as
            `keras_bnact.measure_gradients`.

    Example:

    >>> import keras, keras_bnact
    >>> import numpy as np
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, "tanh", name="hidden")])
    >>> model.compile("sgd", "mse")
    >>> x, y = np.random.rand(64, 8), np.random.rand(64, 4)
    >>> callback = keras_bnact.callbacks.GradientStatistics((x, y), steps=1)
    >>> history = model.fit(x, y, epochs=1, verbose=0, callbacks=[callback]).history
    >>> history["weight_gradient/hidden"][0] > 0
    True

    Reference: appendix A.7 and figure 15 of the paper.
    """

    def __init__(
        self,
        data: Any,
        every: int = 1,
        layers: str | Sequence[str] | None = None,
        batch_size: int = 128,
        steps: int | None = None,
        prefix: str = "",
        model: keras.Model | None = None,
    ):
        super().__init__(
            measure_gradients,
            data,
            every,
            batch_size,
            steps,
            prefix,
            model,
            layers=patterns(layers),
        )
