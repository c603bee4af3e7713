"""TensorBoard events of a run: of each part of the images, of the layers, and the flags."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams

from keras_bnact.reports.events import LayerEvents
from keras_bnact.statistics import STATISTICS, ModelStatistics
from train import flag_text, run_directory
from train.run_directory import RunDirectory

# Of the columns of `history.csv`; those of the training images have none.
PREFIXES = {"val_": "validation", "test_": "test"}
LAYERS = "layers"


class Events:
    """Writes them as epochs end; steps are the epochs of `history.csv`, from 1.

    The parts' runs are named, and their tags too, as `keras.callbacks.TensorBoard` names them, so
    that curves of the same figure lie over one another.

    Args:
        directory: The run's.
    """

    def __init__(self, directory: RunDirectory):
        self._directory = directory
        self._folder = directory.path / run_directory.TENSORBOARD
        self._writers: dict[str, Any] = {}
        self._layers: LayerEvents | None = None
        self._flags = {
            name: _number(x) for name, x in flag_text.parsed(directory.flags_text).items()
        }

    def add_epoch(self, row: Mapping[str, Any]) -> None:
        """Writes a row of `history.csv`."""
        with self._directory.files():
            for column, value in row.items():
                if column in ("epoch", *STATISTICS):
                    continue
                part = next((x for x in PREFIXES if column.startswith(x)), "")
                with self._writer(PREFIXES.get(part, "train")).as_default(step=row["epoch"]):
                    tf.summary.scalar(f"epoch_{column.removeprefix(part)}", value)
            for writer in self._writers.values():
                writer.flush()

    def add_layers(self, epoch: int, measured: ModelStatistics) -> None:
        """Writes what the layers came to at the end of an epoch, counted from 1."""
        with self._directory.files():
            if self._layers is None:
                self._layers = LayerEvents(self._folder / LAYERS)
            self._layers.write(epoch, measured)

    def _writer(self, part: str) -> Any:
        if not self._writers:
            self._write_flags()
        if part not in self._writers:
            self._writers[part] = tf.summary.create_file_writer(str(self._folder / part))
        return self._writers[part]

    def _write_flags(self) -> None:
        accuracies = [
            hparams.Metric("epoch_accuracy", group=part, display_name=f"{part} accuracy")
            for part in ("train", *PREFIXES.values())
        ]
        with tf.summary.create_file_writer(str(self._folder)).as_default():
            hparams.hparams_config([hparams.HParam(name) for name in self._flags], accuracies)
            # Of a run that goes on the same trial as before.
            hparams.hparams(self._flags, trial_id=str(self._folder.parent.name))
            tf.summary.flush()


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
