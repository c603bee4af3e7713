"""What trains the epochs of a run: a module `NAME_loop` for each backend."""

import abc
import importlib
from collections.abc import Sequence
from typing import Any, Protocol

import keras

from train import backend
from train.data.image_set import ImageSet
from train.run_directory import RunDirectory
from train.training.progress import NO_STEP, PartOfEpoch


class Epochs(Protocol):
    """What a loop asks of the run that it trains for: see `train.training.driver.Run`."""

    over: bool

    def begin_step(self) -> None:
        """Says that weights change from here on."""

    def end_step(self, part: PartOfEpoch) -> None:
        """Takes what the epoch has come to after a step."""

    def end_epoch(
        self, epoch: int, metrics: dict[str, float], began: float, trained: float
    ) -> dict[str, float | None]:
        """Takes what an epoch came to."""


class Loop(abc.ABC):
    """A network in training.

    Attributes:
        model: What is trained, on all replicas.
        network: The same network on one device, without a loss: what is saved. It has the weights
            of `model` as of the last `update`.
        eval_model: `network` with the loss, which is evaluated and measured.
        variables: All that changes in training, in an order that is always the same. Between
            epochs they have their values, and training goes on from what they are given.
        metrics: What the figures of an epoch are kept in, where a run can go on within one.
        steps: An epoch's.
        replicas: On how many devices a batch is shared.
    """

    model: keras.Model
    network: keras.Model
    eval_model: keras.Model
    variables: list[keras.Variable]
    metrics: Sequence[keras.Variable] = ()
    steps: int
    replicas: int = 1

    def events(self, directory: RunDirectory) -> Any:
        """Writes TensorBoard events, as `train.training.events.Events` does; None does not."""
        return None

    @abc.abstractmethod
    def train(self, epochs: range, run: Epochs, part: PartOfEpoch = NO_STEP) -> None:
        """Trains these epochs, counted from 0, or as many as there are until the run is over.

        Args:
            epochs: Of which `part` of the first is done.
            run: Takes what steps and epochs come to; all steps of an epoch at once where that
                is one program.
            part: What the first epoch goes on from.
        """

    @abc.abstractmethod
    def train_until_not_finite(self, epochs: range, steps: int = 0) -> tuple[int, int, Any] | None:
        """Trains these epochs step by step, up to the first step whose loss is not finite.

        Of the first epoch, `steps` are done before. `variables` are left as they were before it.

        Returns:
            Its epoch and its number within that, counted from 0, and its images; None if all are
            finite.
        """

    @abc.abstractmethod
    def update(self) -> None:
        """Gives `network` the weights of `model`."""

    @abc.abstractmethod
    def evaluate(self, part: str) -> dict[str, float]:
        """Loss, cross-entropy and accuracy on the `"test"` or the `"validation"` images."""


class Module(Protocol):
    """What a module `NAME_loop` has."""

    def start(self, flags: Any) -> None:
        """Sets up devices, precision and seed; raises a `UsageError` where that cannot be."""

    def devices(self) -> list[str]:
        """A line for each device that the backend sees."""

    def make(self, flags: Any, images: ImageSet) -> Loop:
        """The loop of a run, with initial weights."""


def for_backend() -> Module:
    """That of Keras' backend."""
    return importlib.import_module(f"train.training.{backend.name()}_loop")
