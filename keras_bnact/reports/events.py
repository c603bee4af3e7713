"""TensorBoard events of measured layers."""

import os
from typing import Any

import numpy as np

from keras_bnact import _extras
from keras_bnact.statistics import LayerHistogram, ModelStatistics

# Pixels of an image: at least so many.
WIDTH, HEIGHT = 200, 64


class LayerEvents:
    """Writes what layers come to as TensorBoard events, by TensorFlow.

    For each step scalars `STATISTIC/LAYER` and `STATISTIC`, the mean over the layers; a histogram
    `activation/LAYER` of the counts that were measured; and, where these are of single channels, an
    image `channels/LAYER` of a row for each channel, ordered by their means, in which a bin is the
    darker the more of the channel's values are in it.

    Args:
        log_dir: Folder of the events, which TensorBoard shows as one run.

    Raises:
        ModuleNotFoundError: Without TensorFlow or TensorBoard.

    Example:

    >>> import tempfile
    >>> import numpy as np
    >>> from keras_bnact import statistics
    >>> from keras_bnact.reports.events import LayerEvents
    >>> layer = statistics.describe(np.tanh(np.linspace(-3, 3, 50)), name="conv1")
    >>> LayerEvents(tempfile.mkdtemp()).write(1, statistics.ModelStatistics([layer]))
    """

    def __init__(self, log_dir: str | os.PathLike):
        what = "Writing TensorBoard events"
        self._tf = _extras.imported("tensorflow", "tensorboard", what)
        self._plugin = _extras.imported(
            "tensorboard.plugins.histogram.metadata", "tensorboard", what
        )
        self._writer = self._tf.summary.create_file_writer(os.fspath(log_dir))

    def write(self, step: int, measured: ModelStatistics) -> None:
        """Writes what was measured, as of a step."""
        with self._writer.as_default(step=step):
            for name, value in measured.entries().items():
                self._tf.summary.scalar(name, value)
            for layer in measured:
                everything = (None, tuple(range(len(layer.channel_mean))))
                for histogram in layer.histograms:
                    if histogram.of == "activation" and histogram.channels in everything:
                        self._write_histogram(layer.name, histogram)
                        break
        self._writer.flush()

    def _write_histogram(self, layer: str, histogram: LayerHistogram) -> None:
        together = histogram.together()
        edges, counts = together.edges[0], together.counts[0]
        # What `tf.summary.histogram` writes of a tensor that it bins itself.
        self._tf.summary.write(
            f"activation/{layer}",
            self._tf.constant(np.stack([edges[:-1], edges[1:], counts], axis=1), "float64"),
            metadata=self._plugin.create_summary_metadata(None, None),
        )
        if histogram.channels is not None:
            self._tf.summary.image(f"channels/{layer}", _image(histogram)[None, ..., None])


def _image(histogram: LayerHistogram) -> Any:
    """Of shape `(height, width)`, white where nothing was counted."""
    counts = histogram.counts
    middles = (histogram.edges[:, 1:] + histogram.edges[:, :-1]) / 2
    totals = np.maximum(counts.sum(axis=1), 1)
    order = np.argsort((counts * middles).sum(axis=1) / totals)
    rows = (counts / np.maximum(counts.max(axis=1, keepdims=True), 1))[order]
    for axis, pixels in enumerate((HEIGHT, WIDTH)):
        rows = rows.repeat(-(-pixels // rows.shape[axis]), axis=axis)
    return (255 * (1 - rows)).astype("uint8")
