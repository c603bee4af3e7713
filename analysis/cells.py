"""The paper's models, and which runs are runs of them."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from analysis.results import Result

# What stands in for a data set without runs: a user's own images of as many classes.
STAND_IN = "image_folder"
CLASSES = {"cifar10": 10, "cifar100": 100}
# Flags that a comparison takes to be the same: how large it is, and of what else.
SIZE = ("width", "train_examples", "epochs")
SCALE = (
    *SIZE,
    "test_examples",
    "batch_size",
    "image_size",
    "data_dir",
    "mixed_precision",
    "precision",
)
DATASETS = {
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "tiny_imagenet": "Tiny ImageNet",
    "imagenet2012": "ImageNet",
}
ORDERS = {"convention": "Convention", "swap": "Swap", "nwdbn": "NWDBN", "nobn": "NoBN"}
MODELS = {"mobilenet": "MobileNet"}
ACTIVATIONS = {
    "tanh": "Tanh",
    "lecun_tanh": "LeCun Tanh",
    "softsign": "Softsign",
    "relu": "ReLU",
}


@dataclasses.dataclass(frozen=True)
class Cell:
    """A model of the paper's.

    Args:
        order: `"convention"`, `"swap"`, `"nobn"`, or `"nwdbn"`: the convention without weight
            decay on gamma and beta, but with some on the kernels.
        model, activation, dataset: As the flags of `train.run`.
    """

    order: str
    model: str = "vgg16_11"
    activation: str = "tanh"
    dataset: str = "cifar100"

    @property
    def label(self) -> str:
        """For legends: `Swap`."""
        return ORDERS[self.order]

    @property
    def name(self) -> str:
        """In full: `VGG16_11 Tanh, Swap`."""
        model = MODELS.get(self.model, self.model.upper())
        return f"{model} {ACTIVATIONS[self.activation]}, {self.label}"

    def fits(self, result: Result) -> bool:
        """Whether a run is one of this model, on whatever scale."""
        flags = result.flags
        order, affine = flags["order"], {*result.affine_decays}
        if affine != {float(flags["weight_decay"])}:
            order = "nwdbn" if order == "convention" and affine == {0.0} else None
        return (order, flags["model"], flags["activation"]) == (
            self.order,
            self.model,
            self.activation,
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """Runs that differ in their seeds alone.

    Attributes:
        results: The runs.
        alternatives: How many other settings of the same cell there are runs of.
        searched: The flags in which these settings differ.
    """

    results: Sequence[Result]
    alternatives: int = 0
    searched: Sequence[str] = ()

    @property
    def flags(self) -> dict[str, str]:
        """What the runs have in common."""
        return dict(self.results[0].settings)

    @property
    def size(self) -> tuple[float, ...]:
        """Of the experiment: its `SIZE`, where no flag means all."""
        return tuple(float(self.flags.get(name, "inf")) for name in SIZE)

    @property
    def sound(self) -> list[Result]:
        """The runs that did not diverge; all if every one did."""
        return [result for result in self.results if not result.diverged] or [*self.results]

    def accuracy(self) -> tuple[float, float | None]:
        """On the test images in percent, over all seeds: mean and standard deviation."""
        return _mean_and_std([result.accuracy for result in self.results])

    def statistic(self, figure: Callable[[Result], float]) -> tuple[float, float | None]:
        """Of what the layers came to, over the seeds that did not diverge: the same."""
        return _mean_and_std([figure(result) for result in self.sound])

    def over_layers(self, table: str, figure: str) -> tuple[list[str], np.ndarray]:
        """The layers' names, and a figure of theirs: an array of shape `(seeds, layers)`."""
        names = [record["layer"] for record in getattr(self.results[0], table)]
        values = [[record[figure] for record in getattr(result, table)] for result in self.sound]
        return names, np.array(values, "float64")

    def over_epochs(self, column: str) -> np.ndarray:
        """A column of the history, of shape `(seeds, epochs)`, as far as all runs got."""
        columns = [[row[column] for row in result.history] for result in self.results]
        epochs = min(map(len, columns))
        return np.array([column[:epochs] for column in columns], "float64")


class Results:
    """All runs that there are, by cell.

    Args:
        results: As `results.read` gives them.
    """

    def __init__(self, results: Sequence[Result]):
        self.results = results

    def dataset(self, name: str) -> str:
        """The data set that stands in for one of the paper's: most often itself."""
        found = self.on(name)
        return found[0].flags["dataset"] if found else name

    def on(self, dataset: str) -> list[Result]:
        """The runs on a data set of the paper's, or on what stands in for it."""
        own = [result for result in self.results if result.flags["dataset"] == dataset]
        if own or dataset not in CLASSES:
            return own
        return [
            result
            for result in self.results
            if result.flags["dataset"] == STAND_IN
            and result.summary.get("classes") == CLASSES[dataset]
        ]

    def group(self, cell: Cell) -> Group | None:
        """The runs of a cell, of one setting; None if there are none.

        Runs that were trained on all images come first, then those of the largest size, then those
        with the most seeds, and of these the setting of the highest mean accuracy (as the paper
        chose, A.1), by the held-out images where there are some.
        """
        return best([result for result in self.on(cell.dataset) if cell.fits(result)])

    def search(self, cell: Cell) -> Group | None:
        """The best of a cell's runs with held-out images: what a search has chosen."""
        return best([r for r in self.on(cell.dataset) if cell.fits(r) and r.held_out])


def unlike(groups: Sequence[Group]) -> list[str]:
    """In what of `SCALE` runs on the same data set differ: `"width 0.25, 1.0"`."""
    differences = []
    for dataset in {group.flags["dataset"]: None for group in groups}:
        there = [group.flags for group in groups if group.flags["dataset"] == dataset]
        for name in SCALE:
            values = list(dict.fromkeys(flags.get(name, "not given") for flags in there))
            if len(values) > 1:
                differences.append(f"{name} {', '.join(values)}")
    return list(dict.fromkeys(differences))


def by_settings(results: Sequence[Result]) -> list[Group]:
    """All runs, those that differ in their seeds alone together; one a seed."""
    groups: dict[Any, dict[int, Result]] = {}
    for result in results:
        groups.setdefault(result.settings, {}).setdefault(int(result.flags["seed"]), result)
    return [Group([by_seed[seed] for seed in sorted(by_seed)]) for by_seed in groups.values()]


def best(results: Sequence[Result]) -> Group | None:
    """Of runs of one cell those of one setting, chosen as `Results.group` says."""
    found = by_settings(results)
    if not found:
        return None
    whole = [group for group in found if not group.results[0].held_out] or found
    chosen = max(whole, key=lambda group: (group.size, len(group.results), _chosen_by(group)))
    return dataclasses.replace(chosen, alternatives=len(found) - 1, searched=varied(whole))


def varied(groups: Sequence[Group]) -> list[str]:
    """The flags that are not the same in all groups."""
    flags = {name: None for group in groups for name in group.flags}
    return [name for name in flags if len({group.flags.get(name) for group in groups}) > 1]


def _chosen_by(group: Group) -> float:
    part = "validation" if group.results[0].held_out else "test"
    return float(np.mean([result.summary[part]["accuracy"] for result in group.results]))


def _mean_and_std(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean, and the sample's standard deviation, None for one value."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None
