"""Choosing layers by name."""

import fnmatch
import re
from collections.abc import Sequence


def patterns(layers: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """Names or shell patterns as a tuple, which can be kept and compared; None stays None.

    Raises:
        ValueError: For none at all, or what is no text.

    Example:

    >>> from keras_bnact.measuring.layer_names import patterns
    >>> patterns("conv*")
    ('conv*',)
    """
    if layers is None:
        return None
    if hasattr(layers, "shape"):
        raise ValueError(
            "Layers are chosen by name, as text; got an array: labels are part of the data, (x, y)."
        )
    chosen = (layers,) if isinstance(layers, str) else tuple(layers)
    if not chosen:
        raise ValueError("Name the layers, or leave them to the default.")
    for pattern in chosen:
        if not isinstance(pattern, str):
            raise ValueError(f"Layers are chosen by name, as text; got {pattern!r}.")
    return chosen


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether one of the patterns fits the whole name, or that without a repeated call's `#2`.

    Example:

    >>> from keras_bnact.measuring.layer_names import matches
    >>> matches("conv1", ["fc?", "conv*"])
    True
    """
    names = {name, re.sub(r"#\d+$", "", name)}
    return any(fnmatch.fnmatchcase(name, pattern) for name in names for pattern in patterns)
