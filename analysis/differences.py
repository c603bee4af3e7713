"""In which flags runs that stand beside one another differ, for the page to say so."""

from collections.abc import Sequence

from analysis.experiments import SIZE, Setting

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


def scale_differences(settings: Sequence[Setting]) -> list[str]:
    """In what of `SCALE` runs on the same images differ: `"width 0.25, 1.0"`."""
    differences = []
    for images in {setting.images: None for setting in settings}:
        there = [setting.flags for setting in settings if setting.images == images]
        for name in SCALE:
            values = list(dict.fromkeys(flags.get(name, "not given") for flags in there))
            if len(values) > 1:
                differences.append(f"{name} {', '.join(values)}")
    return list(dict.fromkeys(differences))


def hyper_parameter_differences(settings: Sequence[Setting]) -> list[str]:
    """In which hyper-parameters runs on the same images differ.

    Returns:
        Texts such as `"learning rate 0.1 (Swap), 0.01 (Convention)"`.
    """
    short = len({setting.name.split(", ")[0] for setting in settings}) == 1
    found = []
    for images in {setting.images: None for setting in settings}:
        there = [setting for setting in settings if setting.images == images]
        for flag in HYPER_PARAMETERS:
            models: dict[str, dict[str, None]] = {}
            for setting in there:
                label = setting.name.split(", ")[1] if short else setting.name
                models.setdefault(setting.flags.get(flag, "not given"), {})[label] = None
            if len(models) > 1:
                values = (f"{value} ({'; '.join(labels)})" for value, labels in models.items())
                found.append(f"{flag.replace('_', ' ')} {', '.join(values)}")
    return list(dict.fromkeys(found))
