"""What layers came to, found by name, and as records: dicts of plain numbers and text.

Of records there are means, tables, entries of a training's logs, and the way back from CSV.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

# The columns that are no numbers.
TEXTS = ("layer", "activation")


class _Named(Protocol):
    """What belongs to a layer."""

    @property
    def name(self) -> str:
        """The layer's."""


Layer = TypeVar("Layer", bound=_Named)


class ByName(list[Layer]):
    """A list of layers' results, each also found by its `name`.

    Args:
        layers: Objects with a `name`.

    Raises:
        KeyError: Where a name is asked for that no layer has.

    Example:

    >>> from keras_bnact import statistics
    >>> from keras_bnact.records import ByName
    >>> ByName([statistics.describe([0.0, 1.0], name="conv1")])["conv1"].sparsity
    0.5
    """

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, str):
            return super().__getitem__(key)
        for layer in self:
            if layer.name == key:
                return layer
        raise KeyError(f"No layer {key!r} was measured: {', '.join(x.name for x in self)}.")


def means(records: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, float]:
    """Plain means over the records, by name.

    Example:

    >>> from keras_bnact import records
    >>> records.means([{"sparsity": 0.5}, {"sparsity": 0.25}], ["sparsity"])
    {'sparsity': 0.375}
    """
    return {name: float(np.mean([record[name] for record in records])) for name in names}


def entries(layers: Sequence[Any], names: Sequence[str]) -> dict[str, float]:
    """Attributes of layers, by `STATISTIC/LAYER`.

    Example:

    >>> from keras_bnact import records, statistics
    >>> records.entries([statistics.describe([0.0, 1.0], name="toy")], ["sparsity"])
    {'sparsity/toy': 0.5}
    """
    return {f"{name}/{layer.name}": getattr(layer, name) for name in names for layer in layers}


def aligned(rows: Sequence[Sequence[str]], text_columns: int) -> str:
    """Lines of aligned columns, the first ones to the left and the others to the right.

    Args:
        rows: As many cells each.
        text_columns: Number of columns to the left.

    Returns:
        The lines.

    Example:

    >>> from keras_bnact.records import aligned
    >>> print(aligned([["layer", "count"], ["conv1", "7"]], text_columns=1))
    layer   count
    conv1       7
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if column < text_columns else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("   ".join(cells).rstrip())
    return "\n".join(lines)


def parsed(rows: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    """Records that were written as text, as `csv.DictReader` gives them, with their numbers.

    Args:
        rows: Of a table that records were written to, with or without columns of its own.

    Returns:
        The rows, in which all but `layer` and `activation` are numbers, or None where empty.

    Example:

    >>> from keras_bnact import records
    >>> records.parsed([{"epoch": "3", "layer": "conv1", "lower_bound": "", "sparsity": "0.5"}])
    [{'epoch': 3, 'layer': 'conv1', 'lower_bound': None, 'sparsity': 0.5}]
    """
    return [
        {name: text if name in TEXTS else _number(text) for name, text in row.items()}
        for row in rows
    ]


def _number(text: str) -> int | float | None:
    if not text:
        return None
    return int(text) if text.isdecimal() else float(text)
