"""The runs of a sweep: every combination of the values that some flags take."""

import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from absl.flags import ArgumentParser

from train import flag_text, options
from train.errors import UsageError, nearest
from train.flag_types import Epochs, in_epochs

SEPARATOR = ","
TOGETHER = "+"
# What a folder's name cannot have, or TensorFlow not find a SavedModel by.
ODD = set('/\\*?[]"')


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """One of a sweep.

    Attributes:
        settings: The varied flags with their values, as text.
        flags: All flags of `train.run`.
    """

    settings: Mapping[str, str]
    flags: Any

    @property
    def name(self) -> str:
        """What varies: `order=swap,seed=0`."""
        return SEPARATOR.join(f"{name}={value}" for name, value in self.settings.items()) or "run"


def parse(grids: Sequence[str], flag: str = "--grid") -> dict[str, list[str]]:
    """The values of each grid, by its flag, or by several flags with a plus between them.

    Args:
        grids: Of the form `name=value,value` or `name+name=value,value`. A later one takes the
            place of an earlier one of the same flags.
        flag: The flag that they were given by.

    Raises:
        UsageError: For anything else, a flag that `train.run` lacks, or one named twice.
    """
    flags = options.define()
    known = [name for name in flags if name not in options.BESIDE]
    values: dict[str, list[str]] = {}
    for grid in grids:
        key, equals, text = grid.partition("=")
        chosen = text.split(SEPARATOR)
        if not equals or not all(chosen):
            raise UsageError(f"{flag}={grid}: give a flag and its values, as in seed=0,1,2.")
        for name in key.split(TOGETHER):
            if name not in known:
                raise UsageError(f"{flag}={grid}: {name} is no flag to vary{nearest(name, known)}")
            if isinstance(flags[name].parser, Epochs):
                raise UsageError(
                    f"{flag}={grid}: the commas of {name} cannot be told from those between "
                    "values; make a sweep for each value."
                )
            if len({meaning(flags[name].parser, value) for value in chosen}) < len(chosen):
                raise UsageError(f"{flag}={grid} has a value twice: name each once.")
        if not text.isprintable():
            raise UsageError(f"{flag}={grid!a} has characters that cannot be printed.")
        odd = sorted(ODD & set(text))
        if odd:
            raise UsageError(
                f"{flag}={grid} has {' '.join(odd)} in a value, which names a folder: make a "
                "sweep for each value."
            )
        values[key] = chosen
    _check_once(values)
    return values


def meaning(parser: ArgumentParser, text: str) -> Any:
    """What a value stands for: 0.1 and 1e-1 are one; the text of one that is refused later."""
    try:
        return parser.parse(text)
    except ValueError:
        return text


def _check_once(keys: Iterable[str]) -> None:
    names = [name for key in keys for name in key.split(TOGETHER)]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{name} is in two grids: take it out of one.")


def check_not_given(arguments: Sequence[str], grids: Iterable[str], kind: str = "grid") -> None:
    """Refuses a flag that is given beside a grid of its own, or a range.

    Of the command line alone: a grid in a flagfile varies what an earlier flagfile has set.

    Args:
        arguments: Of the command line.
        grids: Their flags.
        kind: What they are.

    Raises:
        UsageError: Naming the flag.
    """
    words = {argument.lstrip("-").split("=")[0] for argument in arguments}
    # --nodeterministic gives a flag, too.
    given = words | {word.removeprefix("no") for word in words}
    for name in (name for key in grids for name in key.split(TOGETHER)):
        if name in given:
            raise UsageError(f"--{name} is given and varies in a {kind}: take one of them out.")


def runs(
    grids: Mapping[str, Sequence[str]],
    common: Any,
    settled: Mapping[str, str] | None = None,
    epochs: int | None = None,
) -> list[Run]:
    """Every combination, the last grid's values next to one another.

    Args:
        grids: As `parse` gives them.
        common: The flags that do not vary.
        settled: Settings that all runs have, trained on all images: none are held out.
        epochs: Of a shorter training, in which the learning rate drops at the same parts, as
            nearly as whole epochs allow: drops that fall together are one.

    Raises:
        UsageError: For a combination that `train.run` would refuse.
    """
    aside = () if settled is None else ("validation_fraction", "early_stopping_patience")
    text = options.as_text(common) + options.checkpoint_text(common)
    lines = flag_text.without(text, aside)
    _check_once([*(settled or {}), *(key for key in grids if key not in (settled or {}))])
    if epochs is not None:
        lines += _shortened(common, epochs)
    found = []
    for combination in itertools.product(*grids.values()):
        settings = {**(settled or {}), **dict(zip(grids, combination, strict=True))}
        found.append(Run(settings, options.parse([*lines, *_lines(settings)])))
    return found


def _shortened(common: Any, epochs: int) -> list[str]:
    whole = in_epochs(common.learning_rate_drops, common.epochs)
    parts = [drop / common.epochs for drop in whole if drop < common.epochs]
    kept = in_epochs(parts, epochs)
    return [f"--epochs={epochs}", f"--learning_rate_drops={SEPARATOR.join(map(str, kept))}"]


def _lines(settings: Mapping[str, str]) -> list[str]:
    return [f"--{name}={value}" for key, value in settings.items() for name in key.split(TOGETHER)]
