"""What a flag accepts: names, functions, numbers in a range, epochs; and how it says so."""

import contextlib
import importlib.util
import math
import os
from collections.abc import Sequence

from absl import flags

from train.errors import nearest


class Name(flags.ArgumentParser):
    """One of a few names."""

    syntactic_help = "a name"

    def __init__(self, accepted: Sequence[str]):
        self.accepted = tuple(accepted)

    def parse(self, argument: str) -> str:
        if argument not in self.accepted:
            raise ValueError(
                f"give one of {', '.join(self.accepted)}{nearest(argument, self.accepted)}"
            )
        return argument

    def flag_type(self) -> str:
        return " | ".join(self.accepted)


class NamesOrNone(Name):
    """Some of a few names, separated by commas, or `none`; stays the text that it is."""

    def parse(self, argument: str) -> str:
        chosen = argument.split(",")
        if argument != "none":
            for name in chosen:
                super().parse(name)
        if len({*chosen}) < len(chosen):
            raise ValueError("give every name once.")
        return argument

    def flag_type(self) -> str:
        return f"none, or some of {', '.join(self.accepted)}"


class NameOrFunction(Name):
    """One of a few names, or a function of one's own as `MODULE:FUNCTION`."""

    def parse(self, argument: str) -> str:
        module, colon, function = argument.partition(":")
        if not colon:
            return super().parse(argument)
        # Imported once the command runs, since it will import Keras.
        names = [*module.split("."), function]
        if not all(name.isidentifier() for name in names):
            raise ValueError(f"give {self.flag_type()}.")
        with contextlib.suppress(ModuleNotFoundError):
            if importlib.util.find_spec(module):
                return argument
        raise ValueError(f"there is no module {module} in {os.getcwd()} or on PYTHONPATH.")

    def flag_type(self) -> str:
        return f"{super().flag_type()} | MODULE:FUNCTION"


class ShortText(flags.ArgumentParser):
    """A text that can be printed in one line."""

    syntactic_help = "a name"
    LONGEST = 80

    def parse(self, argument: str) -> str:
        fits = argument.isprintable() and 0 < len(argument) <= self.LONGEST
        if not fits or argument != argument.strip():
            raise ValueError(f"give {self.flag_type()}.")
        return argument

    def flag_type(self) -> str:
        return f"a text of up to {self.LONGEST} characters that can be printed"


class Number(flags.ArgumentParser):
    """A finite number in a range; `kind` is int or float."""

    syntactic_help = "a number"

    def __init__(self, kind, at_least=None, above=None, below=None):
        self.kind, self.at_least, self.above, self.below = kind, at_least, above, below

    def parse(self, argument):
        try:
            value = self.kind(argument)
        except (TypeError, ValueError):
            value = math.nan
        inside = (
            # What an int32 and a float32 can hold, and neither NaN nor infinity.
            abs(value) < (2**31 if self.kind is int else 3e38)
            and (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )
        if not inside:
            raise ValueError(f"give {self.flag_type()}.")
        # Which makes 0.0 of -0.0, written in other words for the same run.
        return value + 0

    def flag_type(self) -> str:
        limits = [
            f"{words} {limit}"
            for words, limit in (
                ("of at least", self.at_least),
                ("above", self.above),
                ("below", self.below),
            )
            if limit is not None
        ]
        name = "a whole number" if self.kind is int else "a finite number"
        return " ".join([name, " and ".join(limits)]).strip()


class Epochs(flags.ArgumentParser):
    """Increasing epochs separated by commas; nothing at all means none."""

    syntactic_help = "epochs"

    def parse(self, argument):
        if isinstance(argument, list):
            return argument
        try:
            epochs = [int(word) for word in argument.split(",")] if argument else []
        except ValueError:
            raise ValueError(f"give {self.flag_type()}.") from None
        if epochs != sorted(set(epochs)) or min(epochs, default=1) < 1:
            raise ValueError(f"give {self.flag_type()}.")
        return epochs

    def flag_type(self) -> str:
        return "increasing epochs from 1 on, separated by commas, or nothing"


class EpochsOrParts(Epochs):
    """The same, or increasing parts of the training; `in_epochs` makes epochs of those."""

    def parse(self, argument):
        if isinstance(argument, list):
            return argument
        try:
            parts = [float(word) for word in argument.split(",")]
        except ValueError:
            parts = []
        if parts and all(0.0 < part < 1.0 for part in parts) and parts == sorted({*parts}):
            return parts
        return super().parse(argument)

    def flag_type(self) -> str:
        return f"{super().flag_type()}; or increasing parts of the training between 0 and 1"


def in_epochs(drops: Sequence[float], epochs: int) -> list[int]:
    """Epochs of a training of so many, given as such or as parts of it.

    As nearly as whole epochs allow: parts that fall together are one, and those that fall on the
    beginning or the end of the training are none.
    """
    if not any(0.0 < drop < 1.0 for drop in drops):
        return [*map(int, drops)]
    return sorted({round(drop * epochs) for drop in drops} - {0, epochs})


class EpochsSerializer(flags.ArgumentSerializer):
    def serialize(self, value) -> str:
        return ",".join(map(str, value))
