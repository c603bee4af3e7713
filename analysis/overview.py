"""All runs there are, whatever of the paper they belong to."""

from collections.abc import Sequence

import numpy as np

from analysis import uncertainty
from analysis.runs import GAMMA_BETA_DECAYS, Run
from analysis.settings import Setting, settings_of, varying_flags
from analysis.uncertainty import mean_and_std
from keras_bnact.statistics import STATISTICS

# What a run is, whether or not it varies.
ALWAYS = ("dataset", "model", "activation", "order")


def overview(runs: Sequence[Run]) -> tuple[list[str], list[list[str]]]:
    """Headings, and a row for every setting: what varies, its seeds, and means over them.

    Of several runs of the same seed the first counts.

    With the test accuracy in percent its sample standard deviation and 95 % interval, then the
    final statistics, means of the layers, and by how much weight decay alone shrinks gamma and
    beta.
    """
    settings = settings_of(runs)
    # The images' name is the data set's.
    shown = (*ALWAYS, "dataset_name")
    columns = [*ALWAYS, *(name for name in varying_flags(settings) if name not in shown)]
    rows = []
    for setting in settings:
        flags = dict.fromkeys(GAMMA_BETA_DECAYS, setting.flags["weight_decay"]) | setting.flags
        flags["dataset"], _ = setting.images
        accuracy = uncertainty.mean(setting.accuracies())
        statistics = [mean_and_std(setting.means_of_layers(name))[0] for name in STATISTICS]
        rows.append(
            [
                *(flags.get(name, "") for name in columns),
                str(len(setting.runs)),
                f"{accuracy.value:.2f}",
                *uncertainty.cells(accuracy, 2)[:2],
                *(f"{mean:.3f}" for mean in statistics),
                _shrinkage(setting),
            ]
        )
    headings = [*columns, "seeds", "accuracy", "standard deviation", "95 % interval"]
    headings += [*STATISTICS, "shrinkage"]
    return [heading.replace("_", " ") for heading in headings], sorted(rows)


def _shrinkage(setting: Setting) -> str:
    """Of gamma and beta, as one where it is the same; the mean over the seeds."""
    values = [run.shrinkage for run in setting.runs if run.shrinkage is not None]
    if len(values) < len(setting.runs):
        return ""
    return ", ".join(dict.fromkeys(f"{value:.2g}" for value in np.mean(values, axis=0)))
