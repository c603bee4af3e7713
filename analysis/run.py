"""Draws the paper's figures and tables: `python -m analysis.run --help`."""

import argparse
import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from train.devices import native_messages_held_back
from train.errors import UsageError, answered, of_files

DESCRIPTION = """\
Reads the run directories of train.run below a folder, and writes every figure of the paper that
they allow (PNG, SVG, and the numbers as CSV), every table (Markdown and CSV) and index.html.
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"analysis.run: {message}; --help tells what is accepted.\n")


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns its exit status.

    That is 0, 2 for a mistake of the user's, or 130 if interrupted.
    """
    return answered("analysis.run", lambda: _run(_parse(arguments)), "run it again.")


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = _Parser("python -m analysis.run", description=DESCRIPTION, allow_abbrev=False)
    parser.add_argument("--runs", metavar="DIR", type=Path, required=True, help="where runs are")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="what to write to")
    parser.add_argument(
        "--figures",
        metavar="N,N",
        help="draw these figures alone, by number (default: all)",
    )
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace) -> int:
    if not options.runs.is_dir():
        raise UsageError(f"--runs={options.runs} is no folder: name one that holds runs.")
    if options.out.exists() and not options.out.is_dir():
        raise UsageError(f"--out={options.out} is no folder: name one to write to.")
    # Here, since they import Keras and Matplotlib, which take longer than a mistake should.
    with native_messages_held_back():
        from analysis import results
        from analysis.cells import Results

        chosen = _chosen(options.figures)
    with of_files(f"--runs={options.runs}"):
        found, problems = results.read(options.runs)
    with of_files(f"--out={options.out}"):
        options.out.mkdir(parents=True, exist_ok=True)
        drawn = _write(options, chosen, Results(found), problems)
    for problem in problems:
        print(f"left out: {problem}")
    finished = f"{len(found)} finished run{'s' * (len(found) != 1)}"
    print(f"{finished}, {drawn} of {len(chosen)} figures: {options.out / 'index.html'}")
    return 0


def _write(
    options: argparse.Namespace, figures: Sequence[Any], cells: Any, problems: Sequence[str]
) -> int:
    """Writes figures, tables and the page; returns how many figures could be drawn."""
    from analysis import overview, page, tables

    items = [_draw(figure, cells, options.out) for figure in figures]
    entries = tables.tables(cells)
    for name, table in entries.items():
        path = options.out / page.stem(name)
        shown = [entry.cells() for entry in table]
        path.with_suffix(".md").write_text(tables.markdown(tables.HEADINGS, shown))
        _write_csv(path.with_suffix(".csv"), tables.CSV_HEADINGS, tables.with_all_digits(table))
    runs = overview.overview(cells)
    (options.out / "runs.md").write_text(tables.markdown(*runs))
    _write_csv(options.out / "runs.csv", *runs)
    html = page.render(options.runs, cells, problems, items, entries, runs)
    (options.out / "index.html").write_text(html)
    return sum(item.svg is not None for item in items)


def _write_csv(path: Path, headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([headings, *rows])


def _chosen(numbers: str | None) -> list[Any]:
    from analysis import figures

    every = {str(figure.number): figure for figure in figures.every()}
    if numbers is None:
        return list(every.values())
    for number in numbers.split(","):
        if number not in every:
            raise UsageError(
                f"--figures={numbers}: there is no figure {number!r}; give some of "
                f"{','.join(every)}."
            )
    return [every[number] for number in numbers.split(",")]


def _draw(figure: Any, results: Any, out: Path) -> Any:
    from analysis.figures import NotRunError
    from analysis.page import Item

    path = out / f"figure{figure.number}"
    try:
        drawing = figure.draw(results)
    except NotRunError:
        # Those of runs that were there before would stand beside "not run".
        for suffix in (".png", ".svg", ".csv"):
            path.with_suffix(suffix).unlink(missing_ok=True)
        return Item(figure, path.name, None)
    drawing.figure.savefig(path.with_suffix(".png"))
    svg = io.BytesIO()
    drawing.figure.savefig(svg, format="svg", metadata={"Date": None})
    path.with_suffix(".svg").write_bytes(svg.getvalue())
    # A deviation of one seed is none.
    rows = [["" if value != value else value for value in row.values()] for row in drawing.rows]
    _write_csv(path.with_suffix(".csv"), list(drawing.rows[0]), rows)
    width = drawing.figure.get_figwidth()
    return Item(figure, path.name, svg.getvalue(), width, drawing.groups, drawing.missing)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
