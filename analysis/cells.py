"""The paper's models, and which runs are runs of them."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from analysis import published
from analysis.results import ASIDE, Result
from analysis.spread import mean_and_std

# What stands in for a data set without runs: a user's own images of as many classes.
STAND_IN = "image_folder"
CLASSES = {"cifar10": 10, "cifar100": 100}
# Flags that say how large an experiment is.
SIZE = ("width", "train_examples", "epochs")
# What these are where a flagfile of the paper's says nothing.
DEFAULTS = {"momentum": "0.9", "kernel_initializer": "fan_in_uniform", "bias_initializer": "zeros"}
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
        named = (result.flags["model"], result.flags["activation"])
        return (_order(result), *named) == (self.order, self.model, self.activation)

    @property
    def flagfiles(self) -> list[Mapping[str, str]]:
        """The flags of each flagfile that trains it as the paper did."""
        named = {
            row["flagfile"]
            for row in published.numbers()
            if row["flagfile"] and all(row[k] == v for k, v in dataclasses.asdict(self).items())
        }
        return [published.flags(name) for name in sorted(named)]


def _order(result: Result) -> str | None:
    """Of a cell's orders that of a run; None where gamma and beta have other weight decays."""
    order, affine = result.flags["order"], {*result.affine_decays}
    if affine == {float(result.flags["weight_decay"])}:
        return order
    return "nwdbn" if order == "convention" and affine == {0.0} else None


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """Runs that differ in their seeds alone.

    Attributes:
        results: The runs.
        alternatives: How many other settings of the same cell there are runs of.
        searched: The flags in which these settings differ, among those of one size.
        by_test: Whether the test accuracy has chosen this setting among others.
    """

    results: Sequence[Result]
    alternatives: int = 0
    searched: Sequence[str] = ()
    by_test: bool = False

    @property
    def flags(self) -> dict[str, str]:
        """What the runs have in common."""
        return dict(self.results[0].settings)

    @property
    def size(self) -> tuple[float, ...]:
        """Of the experiment: its `SIZE`, where no flag means all."""
        return tuple(float(self.flags.get(name, "inf")) for name in SIZE)

    @property
    def name(self) -> str:
        """The model in full: `VGG16_11 Tanh, Swap`."""
        flags = self.flags
        order = _order(self.results[0]) or flags["order"]
        return Cell(order, flags["model"], flags["activation"]).name

    @property
    def images(self) -> tuple[str, int | None]:
        """Which images: runs on as many classes of the same kind of data set are comparable."""
        return self.flags["dataset"], self.results[0].summary.get("classes")

    def made_by(self, flags: Mapping[str, str]) -> bool:
        """Whether the runs are those of a flagfile, whatever stands in for its images."""
        aside = (*ASIDE, "dataset", "data_dir")
        own = self.results[0].flags
        asked = DEFAULTS | {name: flags[name] for name in flags if name not in aside}
        return all(_same(own.get(name), value) for name, value in asked.items())

    @property
    def sound(self) -> list[Result]:
        """The runs that did not diverge; all if every one did."""
        return [result for result in self.results if not result.diverged] or [*self.results]

    def accuracy(self) -> tuple[float, float | None]:
        """On the test images in percent, over all seeds: mean and standard deviation."""
        return mean_and_std([result.accuracy for result in self.results])

    def statistic(self, figure: Callable[[Result], float]) -> tuple[float, float | None]:
        """Of what the layers came to, over the seeds that did not diverge: the same."""
        return mean_and_std([figure(result) for result in self.sound])

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

    def dataset_name(self, name: str) -> str:
        """The paper's name of a data set, and what stands in for it: `CIFAR-100 (image_folder)`."""
        found = self.dataset(name)
        return DATASETS[name] if found == name else f"{DATASETS[name]} ({found})"

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
        of the cell's own flagfile, then those of the setting that a search on held-out images has
        chosen, then those with the most seeds, and of these the setting of the highest mean
        accuracy (as the paper chose, A.1), by the held-out images where there are some.
        """
        return best([r for r in self.on(cell.dataset) if cell.fits(r)], cell.flagfiles)

    def search(self, cell: Cell) -> Group | None:
        """The best of a cell's runs with held-out images: what a search has chosen."""
        return best([r for r in self.on(cell.dataset) if cell.fits(r) and r.held_out])


def by_settings(results: Sequence[Result]) -> list[Group]:
    """All runs, those that differ in their seeds alone together; one a seed."""
    groups: dict[Any, dict[int, Result]] = {}
    for result in results:
        groups.setdefault(result.settings, {}).setdefault(int(result.flags["seed"]), result)
    return [Group([by_seed[seed] for seed in sorted(by_seed)]) for by_seed in groups.values()]


def best(results: Sequence[Result], flagfiles: Sequence[Mapping[str, str]] = ()) -> Group | None:
    """Of runs of one cell those of one setting, chosen as `Results.group` says."""
    found = by_settings(results)
    if not found:
        return None
    held_out = [group for group in found if group.results[0].held_out]
    whole = [group for group in found if group not in held_out] or found
    choice = _choice(held_out, varied(whole))

    def rank(group):
        own = any(map(group.made_by, flagfiles))
        return group.size, own, choice.items() <= group.flags.items(), len(group.results)

    highest = max(map(rank, whole))
    first = [group for group in whole if rank(group) == highest]
    chosen = max(first, key=_chosen_by)
    return dataclasses.replace(
        chosen,
        alternatives=len(found) - 1,
        searched=_searched(whole),
        by_test=len(first) > 1 and not chosen.results[0].held_out,
    )


def _choice(held_out: Sequence[Group], names: Sequence[str]) -> dict[str, str]:
    """What a search on held-out images, in its last round, has chosen of the flags named.

    Nothing of what it did not vary; whatever the scale that it was made at.
    """
    if not held_out:
        return {}
    chosen = max(held_out, key=lambda group: (group.size, _chosen_by(group)))
    searched = {*_searched(held_out)} & {*names} & chosen.flags.keys()
    return {name: chosen.flags[name] for name in searched}


def _searched(groups: Sequence[Group]) -> list[str]:
    """The flags in which groups of one size differ: a search in rounds trains longer at last."""
    sizes = {group.size: None for group in groups}
    names = [name for size in sizes for name in varied([g for g in groups if g.size == size])]
    return list(dict.fromkeys(names))


def varied(groups: Sequence[Group]) -> list[str]:
    """The flags that are not the same in all groups."""
    flags = {name: None for group in groups for name in group.flags}
    return [name for name in flags if len({group.flags.get(name) for group in groups}) > 1]


def _chosen_by(group: Group) -> float:
    part = "validation" if group.results[0].held_out else "test"
    return float(np.mean([result.summary[part]["accuracy"] for result in group.results]))


def _same(one: str | None, other: str) -> bool:
    """Whether two texts are the same number, or the same text."""
    try:
        return float(one or "nan") == float(other)
    except ValueError:
        return one == other
