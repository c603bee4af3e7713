"""In which flags runs that stand beside one another differ, for the page to say so."""

from collections.abc import Sequence

import pandas as pd

from analysis.paper.experiments import Chosen
from analysis.settings import SIZE

# Flags that a comparison takes to be the same.
SCALE = (
    *SIZE,
    "test_examples",
    "validation_fraction",
    "early_stopping_patience",
    "batch_size",
    "image_size",
    "data_dir",
    "precision",
)
# Flags in which runs that are compared may differ, and which are told where they do.
HYPER_PARAMETERS = (
    "learning_rate",
    "learning_rate_drops",
    "momentum",
    "weight_decay",
    "kernel_initializer",
    "bias_initializer",
)


def scale_differences(settings: Sequence[Chosen]) -> list[str]:
    """In what of `SCALE` runs on the same images differ: `"width 0.25, 1.0"`."""
    differences = {
        f"{flag} {', '.join(table[flag].unique())}": None
        for table in _on_the_same_images(settings, SCALE)
        for flag in SCALE
        if table[flag].nunique() > 1
    }
    return [*differences]


def hyper_parameter_differences(settings: Sequence[Chosen]) -> list[str]:
    """In which hyper-parameters runs on the same images differ.

    Returns:
        Texts such as `"learning rate 0.1 (Swap), 0.01 (Convention)"`.
    """
    short = len({setting.name.split(", ")[0] for setting in settings}) == 1
    differences: dict[str, None] = {}
    for table in _on_the_same_images(settings, HYPER_PARAMETERS):
        models = table["model"].str.split(", ").str[1] if short else table["model"]
        for flag in HYPER_PARAMETERS:
            having = models.groupby(table[flag], sort=False).unique()
            if len(having) > 1:
                values = (f"{value} ({'; '.join(names)})" for value, names in having.items())
                differences[f"{flag.replace('_', ' ')} {', '.join(values)}"] = None
    return [*differences]


def _on_the_same_images(settings: Sequence[Chosen], flags: Sequence[str]) -> list[pd.DataFrame]:
    """Tables of the settings that are on the same images: their models, and these flags."""
    rows = [
        (setting.images, setting.name, *(setting.flags.get(flag, "not given") for flag in flags))
        for setting in settings
    ]
    table = pd.DataFrame(rows, columns=["images", "model", *flags])
    return [alike for _, alike in table.groupby("images", sort=False)]
