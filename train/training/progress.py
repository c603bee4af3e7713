"""What the epochs of a run came to: their history, the tables of their layers, their times."""

import dataclasses
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from train import run_directory
from train.data.image_set import ImageSet
from train.run_directory import RunDirectory

METRICS = ("loss", "cross_entropy", "accuracy")


@dataclasses.dataclass(frozen=True)
class PartOfEpoch:
    """What the steps of an epoch that is not over came to.

    Attributes:
        steps: How many are done.
        seconds: That they took.
        figures: Of the images so far, by name.
        metrics: The values of the variables that figures are kept in.
    """

    steps: int = 0
    seconds: float = 0.0
    figures: Mapping[str, float] = dataclasses.field(default_factory=dict)
    metrics: Sequence[Any] = ()


NO_STEP = PartOfEpoch()


@dataclasses.dataclass
class Progress:
    """What the finished epochs came to, in plain numbers and text.

    Attributes:
        history: A dict for every finished epoch; None of what was not measured.
        layers: By the name of a table, a dict for every layer of every measured epoch.
        seconds: Seconds each finished epoch spent training, without its evaluation.
        total_seconds: Seconds of all finished epochs.
    """

    history: list[dict[str, float | None]] = dataclasses.field(default_factory=list)
    layers: dict[str, list[dict[str, Any]]] = dataclasses.field(default_factory=dict)
    seconds: list[float] = dataclasses.field(default_factory=list)
    total_seconds: float = 0.0

    @property
    def epochs(self) -> int:
        """Number of finished epochs."""
        return len(self.history)

    @property
    def last_measured(self) -> int:
        """The number of the epoch whose layers were measured last, from 1; 0 for none."""
        return max((rows[-1]["epoch"] for rows in self.layers.values()), default=0)

    def add_layers(self, tables: Mapping[str, list[dict[str, Any]]]) -> None:
        """Adds the rows of a measured epoch, by the name of their table."""
        for name, rows in tables.items():
            self.layers.setdefault(name, []).extend(rows)

    def add_epoch(self, row: dict[str, float | None], seconds: float, total_seconds: float) -> None:
        """Adds a finished epoch."""
        self.history.append(row)
        self.seconds.append(seconds)
        self.total_seconds += total_seconds

    def write(self, directory: RunDirectory) -> None:
        """Writes the tables of a run directory."""
        directory.write_csv(run_directory.HISTORY, self.history)
        for name, rows in self.layers.items():
            directory.write_csv(name, rows)

    def summarize(
        self,
        images: ImageSet,
        batch_size: int,
        parameters: int,
        evaluate: Callable[[], Mapping[str, float]],
        statistics_means: Mapping[str, float],
    ) -> dict[str, Any]:
        """Final figures of each part, and the speed.

        Those of the training set are the last epoch's running means, on augmented images.

        Args:
            images: The run's.
            batch_size: Images a step.
            parameters: The network's number of them.
            evaluate: Gives the `METRICS` on the test images, where epochs are not judged by them.
            statistics_means: What the layers came to.
        """
        last = self.history[-1]
        summary: dict[str, Any] = {"epochs": self.epochs}
        summary["train"] = {name: last[name] for name in METRICS}
        if images.validation:
            summary["validation"] = {name: last[f"val_{name}"] for name in METRICS}
            test = evaluate()
        else:
            test = {name: last[f"test_{name}"] for name in METRICS}
        summary["test"] = {name: test[name] for name in METRICS}
        steps = len(images.train) // batch_size
        summary["steps"] = self.epochs * steps
        # The first epoch traces and compiles.
        seconds = statistics.median(self.seconds[1:] or self.seconds)
        summary["images_per_second"] = round(steps * batch_size / seconds, 1)
        summary["seconds"] = round(self.total_seconds, 1)
        summary["parameters"] = parameters
        summary["classes"] = images.classes
        summary["statistics"] = dict(statistics_means)
        return summary
