"""Draws the paper's figures and tables: `python -m analysis.run --help`."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.arguments import Parser, check_out, check_packages
from train.csv_text import csv_text
from train.errors import UsageError, file_errors, run_command
from train.native_messages import suppressed

DESCRIPTION = """\
Reads the run directories of train.run below a folder, and writes every figure of the paper that
they allow (PNG, SVG, and the numbers as CSV), every table (Markdown and CSV) and index.html.
"""


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns its exit status.

    That is 0, 2 for a mistake of the user's, or 130 if interrupted.
    """
    return run_command("analysis.run", lambda: _run(_parse(arguments)), "run it again.")


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser("analysis.run", DESCRIPTION)
    parser.add_argument("--runs", metavar="DIR", type=Path, required=True, help="where runs are")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="what to write to")
    parser.add_argument(
        "--figures",
        metavar="N,N",
        help="draw these figures alone, by number (default: all)",
    )
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace) -> int:
    with file_errors(f"--runs={options.runs}"):
        if not options.runs.is_dir():
            raise UsageError(f"--runs={options.runs} is no folder: name one that holds runs.")
    check_out(options.out)
    check_packages()
    # Here, since they import Keras and Matplotlib, which take longer than a mistake should.
    with suppressed():
        from analysis import output
        from analysis.paper import figures
        from analysis.paper.experiments import Runs
        from analysis.runs import read

    chosen = _chosen(options.figures, figures.every())
    with file_errors(f"--runs={options.runs}"):
        found, problems = read(options.runs)
        runs = Runs(found)
        drawn = [_drawn(figure, runs) for figure in chosen]
    items = [item for item, _ in drawn]
    files = {name: content for _, contents in drawn for name, content in contents.items()}
    files |= _tables_and_page(options.runs, runs, problems, items)
    with file_errors(f"--out={options.out}"):
        output.write(files, options.out)
    for problem in problems:
        print(f"left out: {problem}")
    finished = f"{len(found)} finished run{'s' * (len(found) != 1)}"
    number = sum(item.image is not None for item in items)
    print(f"{finished}, {number} of {len(items)} figures: {options.out / 'index.html'}")
    return 0


def _chosen(given: str | None, every: Sequence[Any]) -> list[Any]:
    """The figures that `--figures` names, by default all."""
    if given is None:
        return [*every]
    known = {str(figure.number): figure for figure in every}
    for number in given.split(","):
        if number not in known:
            raise UsageError(
                f"--figures={given}: there is no figure {number!r}; give some of {','.join(known)}."
            )
    return [known[number] for number in known if number in given.split(",")]


def _drawn(figure: Any, runs: Any) -> tuple[Any, Mapping[str, bytes | None]]:
    """A figure for the page, and its files by name: None for one that is not to be there."""
    from analysis import output
    from analysis.paper.figures import NotRunError
    from analysis.paper.page import Item

    stem = f"figure{figure.number}"
    try:
        drawing = figure.draw(runs)
    except NotRunError:
        return Item(figure, stem, None), output.no_figure(stem)
    image, files = output.figure(stem, drawing)
    return Item(figure, stem, image, drawing.settings, drawing.missing), files


def _tables_and_page(
    folder: Path, runs: Any, problems: Sequence[str], items: Sequence[Any]
) -> dict[str, bytes]:
    """The other files, by name."""
    from analysis import output
    from analysis.overview import overview
    from analysis.paper import layout, page, tables

    files = {}
    entries = tables.tables(runs)
    laid_out = {name: layout.laid_out(name, entries[name]) for name in layout.LAYOUTS}
    for name, table in entries.items():
        shown = [entry.cells() for entry in table]
        below = "".join(f"\n{note}\n" for note in tables.notes(name))
        text = output.markdown(tables.HEADINGS, shown) + below
        files[f"{page.stem(name)}.md"] = text.encode()
        files[f"{page.stem(name)}.csv"] = csv_text(
            tables.CSV_HEADINGS, tables.with_all_digits(table)
        ).encode()
        if name in laid_out:
            stem = f"{page.stem(name)}{page.LAYOUT}"
            files |= output.text_table(stem, laid_out[name], below)
    every_run = overview(runs.all)
    files["runs.md"] = output.markdown(*every_run).encode()
    files["runs.csv"] = csv_text(*every_run).encode()
    html = page.render(folder, runs, problems, items, entries, laid_out, every_run)
    return files | {"index.html": html.encode()}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
