"""What the paper published, and the flagfiles that train it again."""

import csv
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

from train.flag_text import parsed

ROOT = Path(__file__).parents[2]
NUMBERS = Path(__file__).with_name("published.csv")
FLAGFILES = ROOT / "train" / "flagfiles"


@functools.cache
def numbers() -> Sequence[Mapping[str, str]]:
    """A record for each published number: its table, the model that it is of, and its flagfile."""
    with NUMBERS.open(newline="") as file:
        return tuple(csv.DictReader(file))


@functools.cache
def flags(name: str) -> Mapping[str, str]:
    """The flags that a flagfile below `train/flagfiles` gives, those of its flagfiles included."""
    found: dict[str, str] = {}
    for line in (FLAGFILES / f"{name}.flags").read_text().splitlines():
        if line.startswith("--flagfile="):
            included = (ROOT / line.removeprefix("--flagfile=")).relative_to(FLAGFILES)
            found |= flags(str(included.with_suffix("")))
        elif line.startswith("--"):
            found |= parsed(line)
    return found
