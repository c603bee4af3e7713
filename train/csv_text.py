"""Tables as CSV that people open in a spreadsheet, and that no program reads back."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Rows below their columns' names; what is None is empty.

    A text that a spreadsheet would take for a formula has an apostrophe before it, since names and
    flags may come from someone else.

    >>> print(csv_text(["layer", "mean"], [["=1+1", -0.5], ["-0.5", None]]), end="")
    layer,mean
    '=1+1,-0.5
    -0.5,
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([_inert(cell) for cell in row] for row in (columns, *rows))
    return text.getvalue()


def _inert(cell: Any) -> Any:
    if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t")):
        try:
            float(cell)
        except ValueError:
            return f"'{cell}"
    return cell
