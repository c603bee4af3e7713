"""All runs there are, whatever of the paper they belong to."""

import operator

import numpy as np

from analysis.cells import Group, Results, by_settings, varied
from analysis.results import AFFINE
from keras_bnact.statistics import STATISTICS

# What a run is, whether or not it varies.
ALWAYS = ("dataset", "model", "activation", "order")


def overview(results: Results) -> tuple[list[str], list[list[str]]]:
    """Headings, and a row for every setting: what varies, its seeds, and means over them.

    Of several runs of the same seed the first counts.

    With the test accuracy in percent its sample standard deviation, then the final statistics,
    means of the layers, and by how much weight decay alone shrinks gamma and beta.
    """
    groups = by_settings(results.results)
    columns = [*ALWAYS, *(name for name in varied(groups) if name not in ALWAYS)]
    rows = []
    for group in groups:
        flags = dict.fromkeys(AFFINE, group.flags["weight_decay"]) | group.flags
        accuracy, std = group.accuracy()
        statistics = [
            group.statistic(operator.methodcaller("mean_of_layers", figure))
            for figure in STATISTICS
        ]
        rows.append(
            [
                *(flags.get(name, "") for name in columns),
                str(len(group.results)),
                f"{accuracy:.2f}",
                "" if std is None else f"{std:.2f}",
                *(f"{mean:.3f}" for mean, _ in statistics),
                _shrinkage(group),
            ]
        )
    headings = [*columns, "seeds", "accuracy", "standard deviation", *STATISTICS, "shrinkage"]
    return [heading.replace("_", " ") for heading in headings], sorted(rows)


def _shrinkage(group: Group) -> str:
    """Of gamma and beta, as one where it is the same; the mean over the seeds."""
    values = [result.shrinkage for result in group.results]
    if None in values:
        return ""
    return ", ".join(dict.fromkeys(f"{value:.2g}" for value in np.mean(values, axis=0)))
