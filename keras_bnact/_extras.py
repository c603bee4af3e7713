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
        raise ModuleNotFoundError(
            f"{purpose} needs {error.name}: pip install 'keras_bnact[{extra}]'.", name=error.name
        ) from None
