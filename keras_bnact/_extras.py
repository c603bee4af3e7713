"""Packages that only some of the library needs."""

import importlib
from typing import Any


def imported(name: str, extra: str, purpose: str) -> Any:
    """The module of that name.

    Raises:
        ModuleNotFoundError: In one sentence, where it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != name.split(".")[0]:
            raise
        raise missing(error.name, extra, purpose) from None


def missing(name: str, extra: str, purpose: str) -> ModuleNotFoundError:
    """That a module is not installed, and how it is."""
    return ModuleNotFoundError(
        f"{purpose} needs {name}, which keras_bnact's extra '{extra}' brings: pip install "
        f"'.[{extra}]' in a clone of it.",
        name=name,
    )
