"""The paper's figures. Each module here has some of a kind, in its tuple `FIGURES`.

A figure that needs runs which are not there raises `NotRunError`.
"""

import dataclasses
import functools
import importlib
import pkgutil
from collections.abc import Callable, Sequence
from typing import Any

from analysis.cells import Cell, Group, Results


class NotRunError(Exception):
    """There are no runs for a figure or a part of it."""


@dataclasses.dataclass(frozen=True)
class Drawing:
    """What is drawn.

    Attributes:
        figure: A Matplotlib figure.
        rows: The numbers that it shows, as records of the same keys.
        groups: The runs behind it.
        missing: What could be shown and has no runs, in words.
    """

    figure: Any
    rows: Sequence[dict[str, Any]]
    groups: Sequence[Group] = ()
    missing: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Figure:
    """One of the paper's.

    Attributes:
        number: In the paper.
        title: What it shows, for its heading.
        commands: What makes the runs that it needs; none for an analytic one.
        draw: Draws it from all runs.
    """

    number: int
    title: str
    commands: Sequence[str]
    draw: Callable[[Results], Drawing]


@functools.cache
def every() -> tuple[Figure, ...]:
    """All figures, in the paper's order."""
    modules = [
        importlib.import_module(f"{__name__}.{module.name}")
        for module in pkgutil.iter_modules(__path__)
    ]
    figures = [figure for module in modules for figure in module.FIGURES]
    return tuple(sorted(figures, key=lambda figure: figure.number))


def groups(results: Results, cells: Sequence[Cell]) -> tuple[dict[Cell, Group], list[str]]:
    """The cells that have runs, and in words those that have none.

    Raises:
        NotRunError: If none has.
    """
    found = {cell: results.group(cell) for cell in cells}
    there = {cell: group for cell, group in found.items() if group is not None}
    if not there:
        raise NotRunError
    return there, [c.name for c in cells if c not in there]
