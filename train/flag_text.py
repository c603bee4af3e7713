"""Flags as text, a line each: what `flags.txt` holds, and flagfiles beside their comments."""

from collections.abc import Collection


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


def without(text: str, names: Collection[str]) -> list[str]:
    """The lines of all flags but these."""
    lines = text.splitlines()
    return [line for line in lines if line.removeprefix("--").partition("=")[0] not in names]
