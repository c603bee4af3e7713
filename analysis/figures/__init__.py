"""The paper's figures. Each module here has some of a kind, in its tuple `FIGURES`.

A figure that needs runs which are not there raises `NotRunError`.
"""

import dataclasses
import functools
import importlib
import pkgutil
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from analysis.experiments import Experiment, Runs, Setting


class NotRunError(Exception):
    """There are no runs for a figure or a part of it."""


@dataclasses.dataclass(frozen=True)
class Drawing:
    """What is drawn.

    Attributes:
        figure: A Matplotlib figure.
        numbers: What it shows.
        settings: The runs behind it.
        missing: What could be shown and has no runs, in words.
    """

    figure: Any
    numbers: pd.DataFrame
    settings: Sequence[Setting] = ()
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
    draw: Callable[[Runs], Drawing]


@functools.cache
def every() -> tuple[Figure, ...]:
    """All figures, in the paper's order."""
    modules = [
        importlib.import_module(f"{__name__}.{module.name}")
        for module in pkgutil.iter_modules(__path__)
    ]
    figures = [figure for module in modules for figure in module.FIGURES]
    return tuple(sorted(figures, key=lambda figure: figure.number))


def with_runs(
    runs: Runs, experiments: Sequence[Experiment]
) -> tuple[dict[Experiment, Setting], list[str]]:
    """The experiments that have runs, and in words those that have none.

    Raises:
        NotRunError: If none has.
    """
    found = {experiment: runs.setting(experiment) for experiment in experiments}
    there = {experiment: setting for experiment, setting in found.items() if setting is not None}
    if not there:
        raise NotRunError
    return there, [experiment.name for experiment in experiments if experiment not in there]
