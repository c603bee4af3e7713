"""What an interrupted run goes on from: one checkpoint of all that changes in training."""

import json
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf


class Checkpoint:
    """Model, optimizer and progress, saved together at the end of an epoch.

    Together, because files written one after another disagree if the process dies between
    them. Making one restores what the folder holds.

    Args:
        model: A compiled model whose optimizer is built.
        folder: Where to keep the checkpoint.

    Attributes:
        history: A dict of plain numbers for every finished epoch.
        layers: By the name of a table, a dict of plain numbers and text for every layer of every
            measured epoch.
        seconds: Seconds each finished epoch spent training, without its evaluation.
        total_seconds: Seconds of all finished epochs.
    """

    def __init__(self, model: keras.Model, folder: Path):
        self.history: list[dict[str, float]] = []
        self.layers: dict[str, list[dict[str, Any]]] = {}
        self.seconds: list[float] = []
        self.total_seconds = 0.0
        with tf.device("CPU"):
            self._progress = tf.Variable("", trainable=False)
        self._manager = tf.train.CheckpointManager(
            tf.train.Checkpoint(model=model, optimizer=model.optimizer, progress=self._progress),
            str(folder),
            max_to_keep=1,
        )
        if self._manager.latest_checkpoint:
            status = self._manager.checkpoint.restore(self._manager.latest_checkpoint)
            status.assert_existing_objects_matched()
            progress = json.loads(self._progress.numpy().decode())
            self.history = progress["history"]
            self.layers = progress["layers"]
            self.seconds = progress["seconds"]
            self.total_seconds = progress["total_seconds"]

    @property
    def epochs(self) -> int:
        """Number of finished epochs."""
        return len(self.history)

    @property
    def measured(self) -> bool:
        """Whether the layers were measured after the last finished epoch."""
        return any(rows[-1]["epoch"] == self.epochs for rows in self.layers.values())

    def add(self, tables: dict[str, list[dict[str, Any]]]) -> None:
        """Adds the rows of a measured epoch, by the name of their table."""
        for name, rows in tables.items():
            self.layers.setdefault(name, []).extend(rows)

    def save(self, row: dict[str, float], seconds: float, total_seconds: float) -> None:
        """Adds an epoch and writes the checkpoint."""
        self.history.append(row)
        self.seconds.append(seconds)
        self.total_seconds += total_seconds
        progress: dict[str, Any] = {
            "history": self.history,
            "layers": self.layers,
            "seconds": self.seconds,
            "total_seconds": self.total_seconds,
        }
        self._progress.assign(json.dumps(progress))
        self._manager.save(checkpoint_number=self.epochs)
