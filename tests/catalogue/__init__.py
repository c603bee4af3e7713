"""Models of every kind that `measure` must be right on; `test_conformance.py` checks each.

A case is a function that makes a model, decorated with what should be measured of it. To add one is
to gain all checks.
"""

import dataclasses
import functools
import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

MODULES = ("layers", "forms", "keras_examples", "applications")
SYMMETRIC = (-1.0, 1.0)
# How many examples, in batches of how many: the last one is uneven.
EXAMPLES, BATCH = 13, 5


@dataclasses.dataclass(frozen=True)
class Row:
    """What `measure` should say of one activation.

    Args:
        a: What it gives: the name of the layer whose output that is, `layer#2` for its second call,
            or a function of the `Outputs`. Default: the last of the row's own names.
        g: What follows as the block's output, likewise. Default: the activation's.
        weights: Of the weight layer before it, the name, or None without one. Default: the layer
            that gives `a` if that has a kernel.
        bounds: Its bounds.
        axis: Of the channels.
        keep: From the inputs, which positions are no padding.
    """

    a: str | Callable | None = None
    g: str | Callable | None = None
    weights: str | None = ""
    bounds: tuple[float, float] | None = SYMMETRIC
    axis: int = -1
    keep: Callable | None = None


@dataclasses.dataclass(frozen=True)
class Case:
    """A model of the catalogue.

    Args:
        name: Unique.
        make: Makes it.
        rows: What should be measured of it, by the names that it should be measured by; or a
            function that tells them from the model.
        inputs: From a generator and a number, so many examples. Default: normally distributed
            numbers of the shapes of the model's inputs.
        left_out: Names of what the result should say is left out.
        policy: Of the types it computes in.
        batch: Examples a batch.
        examples: Number of examples.
        layers: As `measure` takes it.
        channel_axis: Likewise.
        run_eagerly: As `compile` takes it.
        deep: Whether rounding adds up over many layers.
        refused: By check, or check and backend, in what words it is refused, which a regular
            expression finds.
        replicas_differ: Why two replicas rightly give other figures than one device.
        slow: Whether it takes long.
    """

    name: str
    make: Callable[[], keras.Model]
    rows: Mapping[str, Row] | Callable[[keras.Model], Mapping[str, Row]]
    inputs: Callable[[np.random.Generator, int], Any] | None = None
    left_out: Sequence[str] = ()
    policy: str = "float32"
    batch: int = BATCH
    examples: int = EXAMPLES
    layers: str | None = "*"
    channel_axis: int | None = None
    run_eagerly: bool = False
    deep: bool = False
    refused: Mapping[Any, str] = dataclasses.field(default_factory=dict)
    replicas_differ: str = ""
    slow: bool = False


CASES: dict[str, Case] = {}


def case(rows, **keywords):
    """Puts the model that a function makes into the catalogue, by the function's name."""

    def add(make):
        name = keywords.pop("name", None) or make.__name__
        assert name not in CASES, name
        CASES[name] = Case(name, make, rows, **keywords)
        return make

    return add


def stack(shape, *layers, **keywords):
    """A Sequential model."""
    return keras.Sequential([keras.Input(shape, **keywords), *layers])


@functools.cache
def cases() -> tuple[Case, ...]:
    """The whole catalogue."""
    for module in MODULES:
        importlib.import_module(f"catalogue.{module}")
    return tuple(CASES.values())
