"""What a search chooses from: `--range=learning_rate=log:1e-3:1`."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

from train import options
from train.errors import UsageError, nearest
from train.sweeps.grid import ODD, TOGETHER, meaning

PARTS = ":"
KINDS = {
    "log": "log:LOW:HIGH",
    "linear": "linear:LOW:HIGH",
    "whole": "whole:LOW:HIGH",
    "any": "any:NAME:NAME:...",
}
# Significant digits of what is chosen, which names a folder.
DIGITS = 4


@dataclasses.dataclass(frozen=True)
class Range:
    """The values of a flag, or of several with a plus between them.

    Attributes:
        flag: Its name.
        kind: Of `KINDS`: on a logarithmic or a linear scale, whole numbers, or some names.
        values: The lowest and the highest, or the names.
    """

    flag: str
    kind: str
    values: Sequence[Any]

    def distribution(self) -> Any:
        """Optuna's."""
        from optuna import distributions

        if self.kind == "any":
            return distributions.CategoricalDistribution(self.values)
        if self.kind == "whole":
            return distributions.IntDistribution(*self.values)
        return distributions.FloatDistribution(*self.values, log=self.kind == "log")

    def text(self, value: Any) -> str:
        """A value as a flag has it, a number to `DIGITS` digits."""
        return f"{value:.{DIGITS}g}" if self.kind in ("log", "linear") else str(value)


def parse(given: Sequence[str]) -> dict[str, Range]:
    """The ranges by their flag; a later one takes the place of an earlier one.

    Raises:
        UsageError: For what is none, a flag that `train.run` lacks or ends that it does not take.
    """
    found = {}
    for text in given:
        flag, equals, rest = text.partition("=")
        kind, *words = rest.split(PARTS)
        if not equals or kind not in KINDS or len(words) < 2 or not all(words):
            raise UsageError(f"--range={text}: give FLAG= and one of {', '.join(KINDS.values())}.")
        found[flag] = Range(flag, kind, _values(kind, words, text))
        _check(found[flag], text)
    return found


def _values(kind: str, words: Sequence[str], text: str) -> Sequence[Any]:
    if kind == "any":
        return _names(words, text)
    number: Callable[[str], Any] = int if kind == "whole" else float
    try:
        low, high = map(number, words)
    except ValueError:
        raise UsageError(f"--range={text}: give {KINDS[kind]} with two numbers.") from None
    if not (-math.inf < low < high < math.inf) or (kind == "log" and low <= 0):
        above = " above 0" if kind == "log" else ""
        raise UsageError(f"--range={text}: give {KINDS[kind]}, the lower number first{above}.")
    return low, high


def _names(words: Sequence[str], text: str) -> Sequence[str]:
    odd = sorted(ODD & set("".join(words)))
    if odd or not text.isprintable():
        raise UsageError(
            f"--range={text!a} has {' '.join(odd) or 'what cannot be printed'} in a value, which "
            "names a folder: make a search for each value."
        )
    return tuple(words)


def _check(of: Range, text: str) -> None:
    """Refuses what is no flag to vary, and ends that it does not take."""
    flags = options.define()
    known = [name for name in flags if name not in (*options.BESIDE, "seed")]
    for name in of.flag.split(TOGETHER):
        if name not in known:
            raise UsageError(f"--range={text}: {name} is no flag to vary{nearest(name, known)}")
        whole = getattr(flags[name].parser, "kind", None) is int
        if whole and of.kind in ("log", "linear"):
            raise UsageError(f"--range={text}: {name} takes whole numbers; give {KINDS['whole']}.")
        if of.kind == "any" and len({meaning(flags[name].parser, v) for v in of.values}) < len(
            of.values
        ):
            raise UsageError(f"--range={text} has a value twice: name each once.")
        for value in of.values:
            try:
                flags[name].parser.parse(of.text(value))
            except ValueError as error:
                raise UsageError(f"--range={text}: {of.text(value)} of {name}: {error}") from None
