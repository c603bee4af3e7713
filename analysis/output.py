"""Drawings, tables and pages as files, and the folder that they go to."""

import base64
import dataclasses
import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from analysis import style
from analysis.drawing import Drawing
from train.csv_text import csv_text

# The kinds of file of each figure.
SUFFIXES = (".png", ".svg", ".csv")
# Inches; a wider figure has panels side by side, too small to be read on a narrow screen.
SINGLE_PANEL = 7.0
TEMPLATES = Path(__file__).with_name("templates")
# Of LaTeX's own, without a package.
RULES = [{"selector": rule, "props": ":hline;"} for rule in ("toprule", "midrule", "bottomrule")]


@dataclasses.dataclass(frozen=True)
class Image:
    """A drawing on a page.

    Attributes:
        svg: What is drawn.
        inches: Its width.
    """

    svg: bytes
    inches: float

    @property
    def base64(self) -> str:
        return base64.b64encode(self.svg).decode()

    @property
    def wide(self) -> bool:
        return self.inches > SINGLE_PANEL


def figure(stem: str, drawing: Drawing) -> tuple[Image, dict[str, bytes]]:
    """A drawing for a page, and its files by name."""
    style.plain_ticks(drawing.figure)
    png, svg = io.BytesIO(), io.BytesIO()
    drawing.figure.savefig(png, format="png")
    drawing.figure.savefig(svg, format="svg", metadata={"Date": None})
    numbers = drawing.numbers.astype(object).where(drawing.numbers.notna(), None)
    table = csv_text([*numbers], numbers.to_numpy()).encode()
    files = zip(SUFFIXES, (png.getvalue(), svg.getvalue(), table), strict=True)
    image = Image(svg.getvalue(), drawing.figure.get_figwidth())
    return image, {f"{stem}{suffix}": content for suffix, content in files}


def no_figure(stem: str) -> dict[str, None]:
    """The files that are not to be there: those of runs that were there before."""
    return dict.fromkeys(f"{stem}{suffix}" for suffix in SUFFIXES)


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, with cells as they are, whatever they hold."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines)


def _cell(text: str) -> str:
    return html.escape(text, quote=False).replace("|", r"\|")


def latex(table: pd.DataFrame) -> str:
    """A table of texts, headed by its index and columns, as a `tabular` that needs no package."""
    columns = "l" * table.index.nlevels + "r" * table.shape[1]
    if table.columns.names == [None]:
        # Names of the index would have a line of their own, below those of the columns.
        styled = table.reset_index().style.hide(axis="index")
    else:
        styled = table.style.format_index(escape="latex", axis="index")
    styled = styled.format(escape="latex").format_index(escape="latex", axis="columns")
    return styled.set_table_styles(RULES).to_latex(
        column_format=columns, multicol_align="c", sparse_index=False
    )


def headings(table: pd.DataFrame) -> list[str]:
    """Those of the rows, and of every column in one text, as Markdown and CSV have them."""
    keys = [key if isinstance(key, tuple) else (key,) for key in table.columns]
    return [*table.index.names, *(", ".join(filter(None, key)) for key in keys)]


def rows(table: pd.DataFrame) -> list[list[str]]:
    """The cells below `headings`."""
    return [[*map(str, row)] for row in table.reset_index().to_numpy()]


def text_table(stem: str, table: pd.DataFrame, below: str = "") -> dict[str, bytes]:
    """Files of a table of texts by name: Markdown, with a text below, CSV and LaTeX."""
    cells = headings(table), rows(table)
    return {
        f"{stem}.md": (markdown(*cells) + below).encode(),
        f"{stem}.csv": csv_text(*cells).encode(),
        f"{stem}.tex": latex(table).encode(),
    }


def page(template: str, **values: Any) -> str:
    """A page as HTML, by the name of its template; all texts are escaped."""
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        loader=jinja2.FileSystemLoader(TEMPLATES),
    )
    return environment.get_template(f"{template}.html.jinja").render(**values)


def write(files: Mapping[str, bytes | None], folder: Path) -> None:
    """Writes files by name; deletes those that are None."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        if content is None:
            (folder / name).unlink(missing_ok=True)
        else:
            (folder / name).write_bytes(content)
