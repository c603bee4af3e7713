"""The paper's figures. Each module here has some of a kind, in its tuple `FIGURES`.

A figure that needs runs which are not there raises `NotRunError`.
"""

import dataclasses
import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence

from analysis import style
from analysis.drawing import Drawing, Shown
from analysis.paper.experiments import Chosen, Experiment, Runs


class NotRunError(Exception):
    """There are no runs for a figure or a part of it."""


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
) -> tuple[dict[Experiment, Chosen], list[str]]:
    """The experiments that have runs, and in words those that have none.

    Raises:
        NotRunError: If none has.
    """
    found = {experiment: runs.setting(experiment) for experiment in experiments}
    there = {experiment: setting for experiment, setting in found.items() if setting is not None}
    if not there:
        raise NotRunError
    return there, [experiment.name for experiment in experiments if experiment not in there]


def by_order(found: Mapping[Experiment, Chosen]) -> list[Shown]:
    """Settings named after their order, which has the colour."""
    return [
        Shown(experiment.label, style.by_order(experiment.order), setting)
        for experiment, setting in found.items()
    ]
