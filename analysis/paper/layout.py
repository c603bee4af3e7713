"""The tables as the paper lays them out: its value beside ours."""

from collections.abc import Sequence

import pandas as pd

from analysis.paper.tables import COLUMNS, Entry
from analysis.uncertainty import Estimate

# Of each table, what has a row of its own, and what its columns are of.
LAYOUTS = {
    "1": (["data set"], ["model", "activation", "order"]),
    "2": (["activation"], ["order", "quantity"]),
    **dict.fromkeys("3456", (["data set", "quantity"], ["order"])),
    "7": (["model"], ["quantity"]),
}
NOT_RUN = "not run"


def laid_out(name: str, entries: Sequence[Entry]) -> pd.DataFrame:
    """A table of texts: ours, and in brackets the paper's.

    Ours is a mean ± the seeds' standard deviation, or a difference with its 95 % interval.

    Args:
        name: The table's, of `LAYOUTS`.
        entries: As `tables.tables` gives them.
    """
    rows, columns = LAYOUTS[name]
    cells = pd.DataFrame([entry.names for entry in entries], columns=[*COLUMNS])
    cells["text"] = [_text(entry) for entry in entries]
    # In the paper's order, which `pivot` does not keep.
    index, header = (cells[names].drop_duplicates() for names in (rows, columns))
    table = cells.pivot(index=rows, columns=columns, values="text")
    table = table.loc[_keys(index)][_keys(header)].fillna("")
    return table.rename_axis(index=rows, columns=columns)


def _text(entry: Entry) -> str:
    ours, digits = entry.ours, entry.digits
    paper = f" ({entry.paper})" if entry.paper else ""
    if not isinstance(ours, Estimate):
        return f"{ours or NOT_RUN}{paper}"
    sign = "+" if entry.is_difference else ""
    text = f"{ours.value:{sign}.{digits}f}"
    if entry.is_difference and ours.interval:
        text += " [" + ", ".join(f"{end:+.{digits}f}" for end in ours.interval) + "]"
    elif not entry.is_difference and ours.std is not None:
        text += f" ± {ours.std:.{digits}f}"
    return text + paper


def _keys(frame: pd.DataFrame) -> list:
    """Labels of `loc`: texts of one level, tuples of several."""
    if frame.shape[1] == 1:
        return [*frame.iloc[:, 0]]
    return [*frame.itertuples(index=False, name=None)]
