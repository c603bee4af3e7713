"""Runs that differ in their seeds alone, and what they come to together."""

import dataclasses
from collections.abc import Sequence

import pandas as pd

from analysis.runs import Run
from keras_bnact.statistics import STATISTICS

# Flags that say how large an experiment is.
SIZE = ("width", "train_examples", "epochs")


@dataclasses.dataclass(frozen=True, eq=False)
class Setting:
    """Runs that differ in their seeds alone.

    Attributes:
        runs: The runs, of one seed each.
    """

    runs: Sequence[Run]

    @property
    def flags(self) -> dict[str, str]:
        """What the runs have in common."""
        return dict(self.runs[0].setting_flags)

    @property
    def size(self) -> tuple[float, ...]:
        """Of the experiment: its `SIZE`, where no flag means all."""
        return tuple(float(self.flags.get(name, "inf")) for name in SIZE)

    @property
    def images(self) -> tuple[str, int | None]:
        """Which images: runs on as many classes of what is called the same are comparable."""
        return self.runs[0].images, self.runs[0].summary.get("classes")

    @property
    def held_out(self) -> bool:
        """Whether part of the training images was held out."""
        return self.runs[0].held_out

    @property
    def sound(self) -> list[Run]:
        """The runs that did not diverge; all if every one did."""
        return [run for run in self.runs if not run.diverged] or [*self.runs]

    def accuracies(self) -> pd.Series:
        """On the test images in percent, by the seed."""
        return pd.Series({run.seed: run.accuracy for run in self.runs})

    def means_of_layers(self, statistic: str) -> pd.Series:
        """Of each seed that did not diverge, by the seed."""
        return pd.Series({run.seed: run.mean_of_layers(statistic) for run in self.sound})

    def values(self, quantity: str) -> pd.Series:
        """Of `"accuracy"` or a statistic, by the seed."""
        return self.accuracies() if quantity == "accuracy" else self.means_of_layers(quantity)

    def over_layers(self, statistic: str) -> pd.DataFrame:
        """A row for each seed that did not diverge, by the seed, and a column for each layer.

        Of the layers that have it: gradients are of weight layers alone.
        """
        layers = pd.DataFrame([run.layers[statistic] for run in self.sound])
        kept = layers if statistic in STATISTICS else layers.dropna(axis="columns", how="all")
        return kept.set_axis([run.seed for run in self.sound])

    def over_epochs(self, metric: str) -> pd.DataFrame:
        """A row for each seed, a column for each epoch, as far as all runs got."""
        curves = [run.history.set_index("epoch")[metric] for run in self.runs]
        return pd.concat(curves, axis="columns", join="inner").T

    @property
    def measured_epochs(self) -> list[int]:
        """Those at whose end all runs that did not diverge were measured."""
        return sorted(set.intersection(*({*run.measured.index.unique(0)} for run in self.sound)))

    @property
    def is_followed(self) -> bool:
        """Whether its layers were measured over epochs, and not in the end alone."""
        return len(self.measured_epochs) > 1

    def layers_over_epochs(self, statistic: str) -> pd.DataFrame:
        """A row for each layer, a column for each epoch that all runs measured.

        Means over the seeds that did not diverge.
        """
        tables = [
            pd.DataFrame({e: run.measured.loc[e][statistic] for e in self.measured_epochs})
            for run in self.sound
        ]
        mean = sum(tables[1:], tables[0]) / len(tables)
        return mean if statistic in STATISTICS else mean.dropna(how="all")


def settings_of(runs: Sequence[Run]) -> list[Setting]:
    """All runs, those that differ in their seeds alone together; the first of each seed."""
    table = pd.DataFrame(
        {
            "run": runs,
            "flags": [run.setting_flags for run in runs],
            "seed": [run.seed for run in runs],
        }
    ).drop_duplicates(["flags", "seed"])
    settings = table.groupby("flags", sort=False)
    return [Setting([*alike.sort_values("seed")["run"]]) for _, alike in settings]


def varying_flags(settings: Sequence[Setting]) -> list[str]:
    """The flags that are not the same in all settings."""
    flags = pd.DataFrame([setting.flags for setting in settings])
    return [*flags.columns[flags.nunique(dropna=False) > 1]]
