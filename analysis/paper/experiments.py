"""The paper's experiments, and which runs are runs of them."""

import dataclasses
from collections.abc import Mapping, Sequence

import pandas as pd

from analysis.paper import published
from analysis.runs import ASIDE, Run
from analysis.settings import Setting, settings_of, varying_flags
from train.flag_text import LATER

# What stands in for a data set without runs: a user's own images of as many classes.
STAND_IN = "image_folder"
CLASSES = {"cifar10": 10, "cifar100": 100}
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
class Experiment:
    """A model of the paper's, on a data set.

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
    def network(self) -> str:
        """As the paper writes it: `VGG16_11`."""
        return MODELS.get(self.model, self.model.upper())

    @property
    def name(self) -> str:
        """In full: `VGG16_11 Tanh, Swap`."""
        activation = ACTIVATIONS.get(self.activation, self.activation)
        return f"{self.network} {activation}, {self.label}"

    def fits(self, run: Run) -> bool:
        """Whether a run is one of this model, on whatever scale."""
        named = (run.flags["model"], run.flags["activation"])
        return (_order(run), *named) == (self.order, self.model, self.activation)

    @property
    def flagfiles(self) -> list[Mapping[str, str]]:
        """The flags of each flagfile that trains it as the paper did."""
        named = {
            row["flagfile"]
            for row in published.numbers()
            if row["flagfile"] and all(row[k] == v for k, v in dataclasses.asdict(self).items())
        }
        return [published.flags(name) for name in sorted(named)]


def _order(run: Run) -> str | None:
    """An experiment's order that a run has; None where gamma and beta have other weight decays."""
    order, decays = run.flags["order"], {*run.gamma_beta_decays}
    if decays == {float(run.flags["weight_decay"])}:
        return order
    return "nwdbn" if order == "convention" and decays == {0.0} else None


@dataclasses.dataclass(frozen=True, eq=False)
class Chosen(Setting):
    """The setting that stands for an experiment.

    Attributes:
        alternatives: How many other settings of the same experiment there are runs of.
        searched: The flags in which these settings differ, among those of one size.
        by_test: Whether the test accuracy has chosen this setting among others.
    """

    alternatives: int
    searched: Sequence[str]
    by_test: bool

    @property
    def name(self) -> str:
        """The model in full: `VGG16_11 Tanh, Swap`."""
        flags = self.flags
        order = _order(self.runs[0]) or flags["order"]
        return Experiment(order, flags["model"], flags["activation"]).name


def made_by(setting: Setting, flags: Mapping[str, str]) -> bool:
    """Whether runs are those of a flagfile, whatever stands in for its images."""
    aside = (*ASIDE, "dataset", "data_dir")
    own = setting.runs[0].flags
    asked = DEFAULTS | {name: flags[name] for name in flags if name not in aside}
    return all(_same(own.get(name), value) for name, value in asked.items())


class Runs:
    """All runs that there are, by experiment.

    Args:
        runs: As `runs.read` gives them.
    """

    def __init__(self, runs: Sequence[Run]):
        self.all = runs

    def dataset(self, name: str) -> str:
        """The data set that stands in for one of the paper's: most often itself."""
        found = self.on(name)
        return found[0].images if found else name

    def dataset_name(self, name: str) -> str:
        """The paper's name of a data set, and what stands in for it: `CIFAR-100 (image_folder)`."""
        found = self.dataset(name)
        return DATASETS[name] if found == name else f"{DATASETS[name]} ({found})"

    def on(self, dataset: str) -> list[Run]:
        """The runs on a data set of the paper's, or on what stands in for it.

        Of those that are trained by SGD, with its schedule and loss, as the paper's are.
        """
        trained = [run for run in self.all if LATER.items() <= run.flags.items()]
        own = [run for run in trained if run.flags["dataset"] == dataset]
        if own or dataset not in CLASSES:
            return own
        found: dict[str, list[Run]] = {}
        for run in trained:
            if run.flags["dataset"] == STAND_IN and run.summary.get("classes") == CLASSES[dataset]:
                found.setdefault(run.images, []).append(run)
        # Those of one name, of which there are most: others are no comparison.
        return max(found.values(), key=len, default=[])

    def setting(self, experiment: Experiment) -> Chosen | None:
        """The runs of an experiment, of one setting; None if there are none.

        Runs that were trained on all images come first, then those of the largest size, then those
        of the experiment's own flagfile, then those of the setting that a search on held-out images
        has chosen, then those with the most seeds, and of these the setting of the highest mean
        accuracy (as the paper chose, A.1), by the held-out images where there are some.
        """
        found = self._of(experiment)
        return best(found, experiment.flagfiles) if found else None

    def search(self, experiment: Experiment) -> Chosen | None:
        """The best of an experiment's runs with held-out images: what a search has chosen."""
        found = [run for run in self._of(experiment) if run.held_out]
        return best(found) if found else None

    def _of(self, experiment: Experiment) -> list[Run]:
        return [run for run in self.on(experiment.dataset) if experiment.fits(run)]


def best(runs: Sequence[Run], flagfiles: Sequence[Mapping[str, str]] = ()) -> Chosen:
    """Of runs of one experiment those of one setting, chosen as `Runs.setting` says."""
    found = settings_of(runs)
    held_out = [setting for setting in found if setting.held_out]
    whole = [setting for setting in found if setting not in held_out] or found
    choice = _choice(held_out, varying_flags(whole))

    def rank(setting: Setting) -> tuple:
        own = any(made_by(setting, flags) for flags in flagfiles)
        return setting.size, own, choice.items() <= setting.flags.items(), len(setting.runs)

    highest = max(map(rank, whole))
    first = [setting for setting in whole if rank(setting) == highest]
    chosen = max(first, key=_chosen_by)
    return Chosen(
        chosen.runs,
        alternatives=len(found) - 1,
        searched=_searched(whole),
        by_test=len(first) > 1 and not chosen.held_out,
    )


def _choice(held_out: Sequence[Setting], names: Sequence[str]) -> dict[str, str]:
    """What a search on held-out images, in its last round, has chosen of the flags named.

    Nothing of what it did not vary; whatever the scale that it was made at.
    """
    if not held_out:
        return {}
    chosen = max(held_out, key=lambda setting: (setting.size, _chosen_by(setting)))
    searched = {*_searched(held_out)} & {*names} & chosen.flags.keys()
    return {name: chosen.flags[name] for name in searched}


def _searched(settings: Sequence[Setting]) -> list[str]:
    """The flags in which settings of one size differ: a search in rounds trains longer at last."""
    sizes = {setting.size: None for setting in settings}
    by_size = [[setting for setting in settings if setting.size == size] for size in sizes]
    return list(dict.fromkeys(name for alike in by_size for name in varying_flags(alike)))


def _chosen_by(setting: Setting) -> float:
    part = "validation" if setting.held_out else "test"
    return float(pd.Series([run.summary[part]["accuracy"] for run in setting.runs]).mean())


def _same(one: str | None, other: str) -> bool:
    """Whether two texts are the same number, or the same text."""
    try:
        return float(one or "nan") == float(other)
    except ValueError:
        return one == other
