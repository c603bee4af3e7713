"""Draws the paper's figures and tables: `python -m analysis.run --help`."""

import argparse
import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

DESCRIPTION = """\
Reads the run directories of train.run below a folder, and writes every figure of the paper that
they allow (PNG, SVG, and the numbers as CSV), every table (Markdown and CSV) and index.html.
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"analysis.run: {message}; --help tells what is accepted.\n")


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns its exit status: 0, or 2 for a mistake of the user's."""
    try:
        options = _parse(arguments)
        return _run(options)
    except ModuleNotFoundError as error:
        print(
            f"analysis.run: {error.name} is missing: pip install -e '.[analysis]'", file=sys.stderr
        )
    except (OSError, UnicodeError, ValueError) as error:
        print(f"analysis.run: {' '.join(str(error).split())}", file=sys.stderr)
    return 2


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
        raise ValueError(f"--runs={options.runs} is no folder: name one that holds runs.")
    if options.out.exists() and not options.out.is_dir():
        raise ValueError(f"--out={options.out} is no folder: name one to write to.")
    # Here, since they import NumPy and Matplotlib, which take longer than a mistake should.
    from analysis import page, results, tables
    from analysis.cells import Results

    chosen = _chosen(options.figures)
    found, problems = results.read(options.runs)
    options.out.mkdir(parents=True, exist_ok=True)
    cells = Results(found)
    items = [_draw(figure, cells, options.out) for figure in chosen]
    entries = tables.tables(cells)
    for name, table in entries.items():
        path = options.out / page.stem(name)
        path.with_suffix(".md").write_text(tables.markdown(table))
        tables.write_csv(table, path.with_suffix(".csv"))
    html = page.render(options.runs, cells, problems, items, entries)
    (options.out / "index.html").write_text(html)
    for problem in problems:
        print(f"left out: {problem}")
    drawn = sum(item.svg is not None for item in items)
    runs = f"{len(found)} finished run{'s' * (len(found) != 1)}"
    print(f"{runs}, {drawn} of {len(items)} figures: {options.out / 'index.html'}")
    return 0


def _chosen(numbers: str | None) -> list[Any]:
    from analysis import figures

    every = {str(figure.number): figure for figure in figures.every()}
    if numbers is None:
        return list(every.values())
    for number in numbers.split(","):
        if number not in every:
            raise ValueError(
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
        return Item(figure, path.name, None)
    drawing.figure.savefig(path.with_suffix(".png"))
    svg = io.BytesIO()
    drawing.figure.savefig(svg, format="svg", metadata={"Date": None})
    path.with_suffix(".svg").write_bytes(svg.getvalue())
    with path.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(drawing.rows[0]), lineterminator="\n")
        writer.writeheader()
        # A deviation of one seed is none.
        writer.writerows({k: "" if v != v else v for k, v in row.items()} for row in drawing.rows)
    return Item(figure, path.name, svg.getvalue(), drawing.groups, drawing.missing)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
