"""`index.html`: every figure and table on one page."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis import output
from analysis.output import Image
from analysis.paper.differences import hyper_parameter_differences, scale_differences
from analysis.paper.experiments import CLASSES, DATASETS, Chosen, Runs
from analysis.paper.figures import Figure
from analysis.paper.tables import COLUMNS, HEADINGS, SEARCHED, TITLES, Entry, notes

# Of the names of a table's files in the layout of the paper.
LAYOUT = "_paper_layout"


@dataclasses.dataclass(frozen=True)
class Item:
    """A figure of the page.

    Attributes:
        figure: What it is.
        stem: Its files' name without their ending.
        image: The drawing, None if it has not been run.
        settings: The runs behind it.
        missing: What could be shown and has not been run.
    """

    figure: Figure
    stem: str
    image: Image | None
    settings: Sequence[Chosen] = ()
    missing: Sequence[str] = ()

    @property
    def flags(self) -> list[str]:
        return [_flags(setting) for setting in self.settings]

    @property
    def hyper_parameter_differences(self) -> list[str]:
        return hyper_parameter_differences(self.settings)

    @property
    def scale_differences(self) -> list[str]:
        return scale_differences(self.settings)

    @property
    def seeds(self) -> int:
        return sum(len(setting.runs) for setting in self.settings)


def render(
    folder: Path,
    runs: Runs,
    problems: Sequence[str],
    items: Sequence[Item],
    tables: Mapping[str, Sequence[Entry]],
    laid_out: Mapping[str, pd.DataFrame],
    overview: tuple[Sequence[str], Sequence[Sequence[str]]],
) -> str:
    """The page as HTML, with its images in it.

    Args:
        folder: Where the runs are.
        runs: Those that are finished.
        problems: A sentence for each other one.
        items: The figures.
        tables: As `tables.tables` gives them.
        laid_out: Those that the paper lays out, as `layout.laid_out` gives them.
        overview: As `overview.overview` gives it.
    """
    entries = [entry for table in tables.values() for entry in table]
    return output.page(
        "paper",
        folder=folder,
        runs=len(runs.all),
        problems=problems,
        figures=items,
        drawn=sum(item.image is not None for item in items),
        filled=sum(entry.ours is not None for entry in entries),
        numbers=len(entries),
        overview=overview,
        stand_ins=[
            (DATASETS[name], runs.dataset(name)) for name in CLASSES if runs.dataset(name) != name
        ],
        tables=[_table(name, table, laid_out.get(name)) for name, table in tables.items()],
    )


def _table(name: str, entries: Sequence[Entry], laid_out: pd.DataFrame | None) -> dict[str, Any]:
    """What the page shows of a table.

    Names that all of its rows share stand once, above it; of the others the last two have columns,
    so that a narrow screen shows the numbers too, and the first are headings of the rows below.
    """
    settings = [setting for entry in entries for setting in entry.settings]
    cells = pd.DataFrame([entry.cells() for entry in entries], columns=[*HEADINGS])
    varying = [column for column in COLUMNS if cells[column].nunique() > 1]
    heading, columns = varying[:-2], varying[-2:]
    shown = [*columns, *HEADINGS[len(COLUMNS) :]]
    sections = cells.groupby(heading, sort=False) if heading else [((), cells)]
    return {
        "name": name,
        "heading": "In the text" if name == "text" else f"Table {name}",
        "stem": stem(name),
        "title": TITLES[name],
        "shared": [cells[column][0] for column in COLUMNS if column not in varying],
        "laid_out": None if laid_out is None else _laid_out(name, laid_out),
        "headings": shown,
        "names": len(columns),
        "sections": [(", ".join(names), rows[shown].to_numpy()) for names, rows in sections],
        "notes": notes(name),
        "flags": list(dict.fromkeys(map(_flags, settings))),
        "scale_differences": scale_differences(settings),
        # The hyper-parameters are what these tables are of.
        "hyper_parameter_differences": (
            [] if name in SEARCHED else hyper_parameter_differences(settings)
        ),
        "commands": list(dict.fromkeys(entry.command for entry in entries if entry.command)),
    }


def _laid_out(name: str, table: pd.DataFrame) -> dict[str, Any]:
    """What the page shows of a table in the paper's layout."""
    return {
        "stem": f"{stem(name)}{LAYOUT}",
        "headings": output.headings(table),
        "names": table.index.nlevels,
        "rows": output.rows(table),
    }


def stem(table: str) -> str:
    """Name of a table's files without their ending."""
    return "numbers_in_the_text" if table == "text" else f"table{table}"


def _flags(setting: Chosen) -> str:
    seeds = ", ".join(str(run.seed) for run in setting.runs)
    flags = " ".join(f"--{name}={value}" for name, value in setting.flags.items() if value)
    others = f"\nother settings of it: {setting.alternatives}" if setting.alternatives else ""
    return f"{flags}\nseeds {seeds}{others}"
