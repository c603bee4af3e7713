"""Flags as text, a line each: what `flags.txt` holds, and flagfiles beside their comments."""

from collections.abc import Collection

# Flags that came later than the first runs, and what those did.
LATER = {"optimizer": "sgd", "learning_rate_schedule": "steps", "label_smoothing": "0.0"}


def parsed(text: str) -> dict[str, str]:
    """The values of the flags, by name; those of a boolean are `"on"` and `"off"`.

    Args:
        text: Lines of the form `--name=value`, `--name` or `--noname`; empty ones are passed over.
    """
    flags = {}
    for line in text.split("\n"):
        name, equals, value = line.removeprefix("--").partition("=")
        if equals:
            flags[name] = value
        elif name.startswith("no"):
            flags[name.removeprefix("no")] = "off"
        elif name:
            flags[name] = "on"
    return flags


def of_run(text: str) -> dict[str, str]:
    """Those of a run, whenever it was made, as `parsed` gives them."""
    return LATER | parsed(text)


def without(text: str, names: Collection[str]) -> list[str]:
    """The lines of all flags but these."""
    lines = text.splitlines()
    return [line for line in lines if line.removeprefix("--").partition("=")[0] not in names]
