"""What layers came to, found by name, and as records: dicts of plain numbers and text.

Of records there are means, tables, entries of a training's logs, and the way back from CSV.
"""

import html
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np

from keras_bnact import _extras

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


class Results(ByName[Layer]):
    """Results of a model's layers, which a notebook shows as a table.

    Attributes:
        PLOTTED: Names of the numbers that `plot` draws, a panel each.
        SCALE: Of its axes, as matplotlib calls it.

    Example:

    >>> from keras_bnact import statistics
    >>> toy = statistics.ModelStatistics([statistics.describe([0.0, 1.0], name="toy")])
    >>> toy.to_frame().loc["toy", "sparsity"]
    np.float64(0.5)
    """

    PLOTTED: ClassVar[tuple[str, ...]] = ()
    SCALE: ClassVar[str] = "linear"

    def records(self) -> list[dict[str, Any]]:
        """A dict of plain numbers and text for each layer."""
        # A subclass of list is made though it lacks what is abstract.
        raise NotImplementedError

    def to_frame(self) -> Any:
        """The records as a `pandas.DataFrame`, by the layers' names.

        Raises:
            ModuleNotFoundError: Without pandas.
        """
        pandas = _extras.imported("pandas", "notebook", "to_frame()")
        return pandas.DataFrame(self.records()).set_index("layer").drop(columns="index")

    def plot(self) -> Any:
        """Draws the numbers by layer, with a panel for each.

        Returns:
            A `matplotlib.figure.Figure`, which a notebook shows; `savefig(path)` writes it.

        Raises:
            ModuleNotFoundError: Without matplotlib.
        """
        figure_module = _extras.imported("matplotlib.figure", "notebook", "plot()")
        records = self.records()
        size = (3.4 * len(self.PLOTTED) + 1.2, 0.8 + 0.28 * len(records))
        figure = figure_module.Figure(figsize=size, layout="constrained")
        panels = figure.subplots(1, len(self.PLOTTED), sharey=True, squeeze=False)[0]
        # Between two dollar signs Matplotlib would read mathematics.
        names = [record["layer"].replace("$", r"\$") for record in records]
        for axes, name in zip(panels, self.PLOTTED, strict=True):
            axes.barh(names, [record[name] for record in records], color="#0072B2", height=0.7)
            axes.set_title(name.replace("_", " "), fontsize=10)
            axes.set_xscale(self.SCALE)
            axes.spines[["top", "right"]].set_visible(False)
        # The first layer above the others, as in the table.
        panels[0].invert_yaxis()
        return figure

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        rows = self.records()
        columns = [name for name in rows[0] if name != "index"] if rows else []
        head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(_cell(row[name]))}</td>" for name in columns)
            for row in rows
        )
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes())
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{notes}"

    def notes(self) -> list[str]:
        """Sentences to be said below a table."""
        return []


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


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _number(text: str) -> int | float | None:
    if not text:
        return None
    return int(text) if text.isdecimal() else float(text)
