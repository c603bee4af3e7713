"""The epochs of a run on TensorFlow: Keras' `fit`, on one device or on replicas."""

import sys
import time
from typing import Any

import keras

from train import run_directory
from train.data.image_set import ImageSet
from train.training import devices
from train.training.network import build, set_loss
from train.training.progress import METRICS


def make(flags: Any, images: ImageSet) -> "TensorFlowLoop":
    """The loop of a run."""
    return TensorFlowLoop(flags, images)


class TensorFlowLoop:
    """A network in training.

    Attributes:
        model: In training, on all replicas.
        network: The same for one device, without an optimizer: what is saved. It has the model's
            weights once it is given them by `update`.
        judge: That network with a loss: what is evaluated and measured. Keras cannot evaluate a
            last batch that leaves a replica without images.
        variables: All that changes in training.
        replicas: On how many devices a batch is shared.
    """

    def __init__(self, flags: Any, images: ImageSet):
        self.flags, self.images = flags, images
        strategy = devices.strategy(flags)
        self.replicas = strategy.num_replicas_in_sync
        with strategy.scope():
            self.model = build(flags, images, synchronized=self.replicas > 1)
            optimizer = keras.optimizers.SGD(flags.learning_rate, momentum=flags.momentum)
            set_loss(self.model, optimizer)
            # Built at once, so that a checkpoint finds its state to restore.
            self.model.optimizer.build(self.model.trainable_variables)
        self.variables = [*self.model.variables, *self.model.optimizer.variables]
        self.network = build(flags, images)
        self.judge = keras.Model(self.network.input, self.network.output)
        set_loss(self.judge, optimizer=None)
        self._batches = {
            name: source.test_batches()
            for name, source in (("validation", images.validation), ("test", images.test))
            if source is not None
        }

    def train(self, epochs: range, training: Any) -> None:
        """Trains these epochs, counted from 0, or as many as there are before training is over.

        Args:
            epochs: Up to the last.
            training: Whose `rate(epoch)` is the learning rate, whose `end_epoch` is called after
                every epoch, and whose `over` says then whether it was the last.
        """
        self.model.fit(
            self.images.train.training_batches(
                self.flags.batch_size, epochs, self.flags.seed, self.images.flip
            ),
            steps_per_epoch=len(self.images.train) // self.flags.batch_size,
            initial_epoch=epochs.start,
            epochs=epochs.stop,
            callbacks=[
                keras.callbacks.LearningRateScheduler(training.rate),
                _EndEpoch(training),
                keras.callbacks.TensorBoard(
                    training.directory.path / run_directory.TENSORBOARD,
                    write_graph=False,
                    profile_batch=0,
                ),
            ],
            verbose=1 if sys.stdout.isatty() else 2,
            shuffle=False,
        )

    def update(self) -> None:
        """Gives the network the weights of the model."""
        self.network.set_weights(self.model.get_weights())

    def evaluate(self, part: str) -> dict[str, float]:
        """The `METRICS` of the network on the `"test"` or the `"validation"` images."""
        figures = self.judge.evaluate(self._batches[part], verbose=0, return_dict=True)
        return {name: figures[name] for name in METRICS}


class _EndEpoch(keras.callbacks.Callback):
    """Has an epoch recorded; adds to its logs, for callbacks that come later."""

    def __init__(self, training: Any):
        super().__init__()
        self.training = training

    def on_epoch_begin(self, epoch, logs=None):
        self.began = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.trained = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        row = self.training.end_epoch(epoch, logs, self.began, self.trained)
        logs |= {name: value for name, value in row.items() if name != "epoch"}
        self.model.stop_training = self.training.over
