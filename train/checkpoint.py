"""What an interrupted run goes on from: one checkpoint of all that changes in training."""

import dataclasses
import json
from pathlib import Path

import keras
import tensorflow as tf

from train.progress import Progress


class Checkpoint:
    """Model, optimizer and progress, saved together at the end of an epoch.

    Together, because files written one after another disagree if the process dies between
    them. Making one restores what the folder holds.

    Args:
        model: A compiled model whose optimizer is built.
        folder: Where to keep the checkpoint.

    Attributes:
        progress: What the finished epochs came to.
    """

    def __init__(self, model: keras.Model, folder: Path):
        self.progress = Progress()
        with tf.device("CPU"):
            self._text = tf.Variable("", trainable=False)
        self._manager = tf.train.CheckpointManager(
            tf.train.Checkpoint(model=model, optimizer=model.optimizer, progress=self._text),
            str(folder),
            max_to_keep=1,
        )
        if self._manager.latest_checkpoint:
            status = self._manager.checkpoint.restore(self._manager.latest_checkpoint)
            status.assert_existing_objects_matched()
            self.progress = Progress(**json.loads(self._text.numpy().decode()))

    def save(self) -> None:
        """Writes the checkpoint."""
        self._text.assign(json.dumps(dataclasses.asdict(self.progress)))
        self._manager.save(checkpoint_number=self.progress.epochs)
