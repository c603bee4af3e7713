"""Lays runs side by side: `python -m analysis.compare --help`."""

import argparse
import glob
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from analysis.arguments import Parser, check_out, check_packages
from train.csv_text import csv_text
from train.errors import UsageError, file_errors, nearest, run_command
from train.native_messages import suppressed

DESCRIPTION = """\
Reads run directories of train.run, puts those together that differ in their seeds alone, and writes
index.html: in which flags they differ, what they came to and how sure that is, learning curves, and
their layers and channels, after the last epoch and over epochs (of runs with --statistics_every).
"""
OUT = Path("comparison")


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns its exit status.

    That is 0, 2 for a mistake of the user's, or 130 if interrupted.
    """
    return run_command("analysis.compare", lambda: _run(_parse(arguments)), "run it again.")


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser("analysis.compare", DESCRIPTION)
    parser.add_argument(
        "runs",
        metavar="RUN",
        nargs="+",
        help="a run directory, a folder of them such as a sweep's, or a pattern: 'runs/tanh*'",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        default=OUT,
        help="what to write to (default: %(default)s)",
    )
    parser.add_argument(
        "--by",
        metavar="FLAG,FLAG",
        help="flags that settings are named by, where they differ in others too, such as a "
        "learning rate that was searched for each (default: all in which they differ)",
    )
    parser.add_argument(
        "--layers",
        metavar="NAME,NAME",
        help="layers whose histograms are drawn (default: the first, one in the middle, the last)",
    )
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace) -> int:
    folders = [folder for given in options.runs for folder in _folders(given)]
    check_out(options.out)
    check_packages()
    # Here, since they import Keras and Matplotlib, which take longer than a mistake should.
    with suppressed():
        from analysis import output
        from analysis.comparison import labels
        from analysis.settings import settings_of

    runs, problems = _read(folders)
    for problem in problems:
        print(f"left out: {problem}")
    if not runs:
        raise UsageError(f"there is no finished run in {', '.join(options.runs)}.")
    settings = settings_of(runs)
    if len(settings) > labels.MOST:
        raise UsageError(
            f"these are {len(settings)} settings, and up to {labels.MOST} can be told apart in a "
            "figure: name fewer."
        )
    names = _names(options.by, settings)
    shown = labels.shown(settings, names)
    layers = _layers(options.layers, shown)
    files = _files(shown, names, layers, problems)
    with file_errors(f"--out={options.out}"):
        output.write(files, options.out)
    number = sum(len(setting.runs) for setting in settings)
    print(
        f"{number} run{'s' * (number != 1)} of {len(settings)} "
        f"setting{'s' * (len(settings) != 1)}: {options.out / 'index.html'}"
    )
    return 0


def _folders(given: str) -> list[Path]:
    """The folders that an argument names."""
    with file_errors(given):
        if Path(given).is_dir():
            return [Path(given)]
        found = [Path(path) for path in sorted(glob.glob(given, recursive=True))]
    folders = [path for path in found if path.is_dir()]
    if not folders:
        raise UsageError(f"{given} is no folder, and as a pattern it fits none: name one of runs.")
    return folders


def _read(folders: Sequence[Path]) -> tuple[list[Any], list[str]]:
    """The runs in folders, each once, and a sentence for each that is left out."""
    from analysis import runs as run_directories

    runs: dict[Path, Any] = {}
    problems: dict[str, None] = {}
    for folder in folders:
        with file_errors(str(folder)):
            found, sentences = run_directories.read(folder)
        for run in found:
            runs.setdefault(run.path.resolve(), run)
        problems |= dict.fromkeys(sentences)
    first: dict[tuple, Any] = {}
    for run in runs.values():
        other = first.setdefault((run.setting_flags, run.seed), run)
        if other is not run:
            problems[f"{run.path} has the flags and the seed of {other.path}"] = None
    return [*first.values()], [*problems]


def _names(given: str | None, settings: Sequence[Any]) -> list[str]:
    """The flags that tell settings apart."""
    from analysis.comparison.labels import differing, label

    differ = differing(settings)
    if given is None:
        return differ
    names = given.split(",")
    for name in names:
        if name not in differ:
            raise UsageError(
                f"--by={given}: the settings do not differ in {name}; give some of "
                f"{', '.join(differ) or 'those in which they do, of which there are none'}."
            )
    found: dict[str, Any] = {}
    for setting in settings:
        other = found.setdefault(label(setting, names), setting)
        if other is not setting:
            apart = ", ".join(differing([setting, other]))
            raise UsageError(
                f"--by={given}: two settings are {label(setting, names)}, and differ in {apart}: "
                "name that as well, or fewer runs."
            )
    return names


def _layers(given: str | None, shown: Sequence[Any]) -> list[str]:
    """Layers to draw histograms of."""
    every = dict.fromkeys(layer for one in shown for layer in one.setting.runs[0].layers.index)
    if given is None:
        first = [*shown[0].setting.runs[0].layers.index]
        return [*dict.fromkeys(first[place] for place in (0, len(first) // 2, -1))]
    for name in given.split(","):
        if name not in every:
            raise UsageError(f"--layers={given}: no run has a layer {name!r}{nearest(name, every)}")
    return given.split(",")


def _files(
    shown: Sequence[Any], names: Sequence[str], layers: Sequence[str], problems: Sequence[str]
) -> dict[str, bytes | None]:
    """The page and what stands beside it, by name."""
    from analysis import output
    from analysis.comparison import figures, tables
    from analysis.comparison.labels import differing

    differ = differing([one.setting for one in shown])
    others = [name for name in differ if name not in names]
    gaps = tables.gaps(shown, names)
    means = tables.means(shown, others)
    files: dict[str, bytes | None] = dict(output.text_table("settings", means))
    files["settings.csv"] = csv_text(*tables.means_with_all_digits(shown)).encode()
    # What was there before of other runs would stand beside these.
    files |= dict.fromkeys(f"gaps.{kind}" for kind in ("md", "csv", "tex"))
    if gaps:
        files |= output.text_table("gaps", tables.gaps_shown(gaps))
        files["gaps.csv"] = csv_text(*tables.gaps_with_all_digits(gaps)).encode()
    drawn = []
    for figure in figures.figures(shown, layers):
        if figure.draw is None:
            files |= output.no_figure(figure.stem)
            continue
        image, contents = output.figure(figure.stem, figure.draw())
        drawn.append((figure, image))
        files |= contents
    told = tables.gaps_shown(gaps) if gaps else None
    page = _page(shown, names, others, drawn, means, told, problems)
    return files | {"index.html": page.encode()}


def _page(
    shown: Sequence[Any],
    names: Sequence[str],
    others: Sequence[str],
    drawn: Sequence[tuple[Any, Any]],
    means: Any,
    gaps: Any,
    problems: Sequence[str],
) -> str:
    from analysis import output
    from analysis.comparison.labels import value
    from analysis.overview import ALWAYS

    flags = [one.setting.flags for one in shown]
    differ = [*names, *others]
    once = [one.label for one in shown if not one.setting.is_followed]
    # Images of other names are other data sets.
    apart = [*differ, *(["dataset_name"] if "dataset" in differ else [])]
    common = {name: text for name, text in flags[0].items() if name not in apart}
    return output.page(
        "comparison",
        title=", ".join(value(shown[0].setting, name) for name in ALWAYS if name not in differ),
        shown=shown,
        differ=[name.replace("_", " ") for name in names],
        others=[name.replace("_", " ") for name in others],
        common=" ".join(f"--{name}={value}" for name, value in common.items() if value),
        means=(output.headings(means), output.rows(means)),
        gaps=None if gaps is None else (output.headings(gaps), output.rows(gaps)),
        figures=drawn,
        once=once,
        problems=problems,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
