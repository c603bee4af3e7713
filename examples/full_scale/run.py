"""Trains the paper's networks on one GPU: `python -m examples.full_scale.run --help`."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags as absl_flags

from train import errors, grid, options
from train.datasets import image_folder
from train.errors import InUseError, UsageError
from train.flag_types import Name
from train.run_directory import RunDirectory, State

USAGE = """\
Train networks on one GPU, with JAX alone, one run after another.

  python -m examples.full_scale.run --data_dir=IMAGES --runs=runs/full \\
      --cells=table2/tanh_convention,table2/tanh_swap --grid=seed=0,1,2

Beside the flags below it takes those of train.run, and --grid of train.sweep; they hold for all
cells. Images are read from the folder --data_dir, whatever data set a cell names.
The same command goes on where it was interrupted, from the start of the run that was.
"""
# What `pip install` brings what is missing by: the package's extras would bring TensorFlow.
PACKAGES = "jax keras pillow"
FLAGFILES = Path(__file__).parent.parent.parent / "train" / "flagfiles"
# Keras' dtype policies for a network by --precision, as train.run's --mixed_precision has them.
MIXED_PRECISION = {"float32": "none", "tf32": "none", "bfloat16": "bfloat16"}


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns its exit status.

    That is 0, 1 if a run failed or was in use elsewhere, 2 for a mistake of the user's, or 130 if
    interrupted.
    """
    goes_on = "the same command goes on."
    return errors.answered("examples.full_scale.run", lambda: _run(arguments), goes_on, PACKAGES)


def define() -> absl_flags.FlagValues:
    """The flags of this program alone."""
    values = absl_flags.FlagValues()
    absl_flags.DEFINE_list(
        "cells", None, "Flagfiles of train/flagfiles by name, or paths, in order.", values
    )
    absl_flags.DEFINE_string("runs", None, "Where the runs are written, by cell.", values)
    absl_flags.DEFINE(
        Name(MIXED_PRECISION),
        "precision",
        "tf32",
        "What the device computes in; with bfloat16, weights are float32.",
        values,
        absl_flags.ArgumentSerializer(),
    )
    absl_flags.DEFINE_boolean("help", False, "Show this help.", values)
    return values


def _run(arguments: Sequence[str]) -> int:
    own, common = _parse(arguments)
    if own.help:
        print(options.usage(define(), USAGE))
        return 0
    runs = Path(own.runs).expanduser()
    planned = [
        (runs / cell / run.name, run.flags)
        for path, cell in map(_flagfile, own.cells)
        for run in _runs(path, own.precision, common)
    ]
    paths = [path for path, _ in planned]
    for path in paths:
        if paths.count(path) > 1:
            raise UsageError(f"--cells: {path} would be trained twice: name each cell once.")
    pending = []
    for path, flags in planned:
        # Beside the flags of train.run, so that runs of another precision are other runs.
        text = f"{options.as_text(flags)}--precision={own.precision}\n"
        directory = RunDirectory(path, text)
        if not _finished(directory):
            pending.append((directory, flags))
    print(f"{len(planned) - len(pending)} of {len(planned)} runs finished")
    if pending:
        os.environ["KERAS_BACKEND"] = "jax"
        from examples.full_scale import plan

        if plan.carry_out(plan.in_order(pending), own.precision):
            return 1
    return 0


def _finished(directory: RunDirectory) -> bool:
    try:
        return directory.state(overwrite=False) is State.FINISHED
    except InUseError:
        # Perhaps no longer when its turn comes.
        return False


def _parse(arguments: Sequence[str]) -> tuple[Any, list[str]]:
    """This program's flags, and the other arguments."""
    own = define()
    try:
        _, *rest = own(["run", *arguments], known_only=True)
    except absl_flags.Error as error:
        raise UsageError(" ".join(str(error).removeprefix("flag ").split())) from None
    if not own.help:
        for name in ("cells", "runs"):
            if not own[name].value:
                raise UsageError(f"--{name} is missing: see --help.")
    return own, rest


def _flagfile(name: str) -> tuple[Path, str]:
    """A cell's file, and its name among the runs."""
    for path in (FLAGFILES / f"{name}.flags", Path(name)):
        if path.is_file():
            return path, "-".join(path.with_suffix("").parts[-2:])
    known = [
        p.relative_to(FLAGFILES).with_suffix("").as_posix() for p in FLAGFILES.rglob("*.flags")
    ]
    raise UsageError(f"--cells={name}: there is no such flagfile{errors.nearest(name, known)}")


def _runs(path: Path, precision: str, common: Sequence[str]) -> list[grid.Run]:
    """The runs of a cell, all of whose flags are accepted here."""
    ours = {
        "dataset": "image_folder",
        "mixed_precision": MIXED_PRECISION[precision],
        "export": "none",
        "strategy": "single",
        "deterministic": False,
    }
    lines = [f"--{name}={value}" for name, value in ours.items()]
    sweep, flags = options.parse_sweep([f"--flagfile={path}", *lines, *common])
    for values, refused in (
        (sweep, set(sweep) - {"grid"}),
        (flags, set(options.PLACE_FLAGS)),
    ):
        for name in refused:
            if values[name].present:
                raise UsageError(f"--{name} is not for this program: take it out (see --help).")
    grids = grid.parse(sweep.grid)
    grid.check_not_given(common, grids)
    found = grid.runs(grids, flags)
    for run in found:
        for name, value in ours.items():
            if run.flags[name].value != value:
                raise UsageError(
                    f"--{name}={run.flags[name].value} is train.run's; here it is {value}"
                    f"{' with --precision=' + precision if name == 'mixed_precision' else ''}."
                )
        with errors.of_files(f"--data_dir={run.flags.data_dir}"):
            image_folder.check(run.flags)
        size = run.flags.image_size or image_folder.DEFAULT_SIZE
        if size > image_folder.SMALL_IMAGE:
            raise UsageError(
                f"--image_size={size}: images of up to {image_folder.SMALL_IMAGE} pixels are kept "
                "on the device; use train.run for larger ones."
            )
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
