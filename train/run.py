"""Trains one network into a run directory: `python -m train.run --help`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from train import backend, data, errors, interruption, native_messages, options, run_directory
from train.run_directory import RunDirectory, State


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns its exit status.

    That is 0, 2 for a mistake of the user's, 3 if the loss is no longer finite, 75 if another
    process works on the run, 130 if interrupted, or 143 if terminated.
    """
    interruption.raise_when_terminated()
    goes_on = "without --overwrite, the same command goes on."
    return errors.run_command("train.run", lambda: _run(arguments), goes_on)


def _run(arguments: Sequence[str]) -> int:
    flags = options.parse(arguments)
    if flags.help:
        print(options.usage(options.define(), options.RUN_USAGE))
        return 0
    backend.check(flags)
    data.check(flags)
    directory = RunDirectory(_path(flags), options.as_text(flags), flags.extend)
    state = directory.state(flags.overwrite)
    if state is not State.NEW:
        directory.check_backend(backend.name())
    if state is State.DIVERGED:
        reason = directory.diverged()["reason"]
        raise errors.DivergedError(
            f"{directory.path} holds this run, which diverged: {reason} --overwrite trains it anew."
        )
    if state is State.FINISHED:
        report = _report(directory.summary(), directory)
        print(f"{directory.path} holds this run, finished; --overwrite trains it anew.")
        print(report)
        return 0

    # From here on Keras is needed, which takes seconds to import.
    from train.training import start

    start.start(flags)
    from train.training import driver

    try:
        summary = driver.run(flags, directory)
    finally:
        # This process may go on to other runs.
        directory.release()
    print(_report(summary, directory))
    return 0


def _path(flags: Any) -> Path:
    if flags.run_dir is not None:
        return Path(flags.run_dir)
    activation = flags.activation.replace(":", ".")
    name = f"{flags.dataset}-{flags.model}-{activation}-{flags.order}-seed{flags.seed}"
    return Path("runs", name)


def _report(summary: dict[str, Any], directory: RunDirectory) -> str:
    """What a run came to, for people.

    Raises:
        UsageError: If a file that says so is damaged.
    """
    with directory.whole(run_directory.SUMMARY):
        lines = _figures(summary)
    if (directory.path / run_directory.STATISTICS).is_file():
        with directory.whole(run_directory.STATISTICS):
            table = _layers(directory, summary["epochs"])
        lines.append(f"\nLayers on the test images:\n{table}")
    lines.append(f"\nResults are in {directory.path}:")
    for entry in sorted(directory.path.glob("[!.]*")):
        lines.append(f"  {entry.name}{'/' if entry.is_dir() else ''}")
    return "\n".join(lines)


def _figures(summary: dict[str, Any]) -> list[str]:
    """Lines of the speed and of the accuracies."""
    epochs = f"{summary['epochs']} epoch{'s' * (summary['epochs'] > 1)}"
    lines = [
        f"\n{epochs} in {summary['seconds']:.0f} s, "
        f"{summary['images_per_second']:,.0f} images/s in training\n",
        f"{'':12}{'accuracy, %':>12}{'cross-entropy':>15}{'loss':>10}",
    ]
    for part in ("train", "validation", "test"):
        if part in summary:
            accuracy = f"{100.0 * summary[part]['accuracy']:.2f}"
            others = [summary[part][name] for name in ("cross_entropy", "loss")]
            cross_entropy, loss = ("nan" if f is None else f"{f:.4f}" for f in others)
            lines.append(f"{part:12}{accuracy:>12}{cross_entropy:>15}{loss:>10}")
    return lines


def _layers(directory: RunDirectory, epochs: int) -> str:
    """The table of the layers after the last epoch."""
    # Here, since it imports Keras, which takes longer than a mistake should.
    with native_messages.suppressed():
        from keras_bnact import records, statistics

    layers = records.parsed(directory.read_csv(run_directory.STATISTICS))
    last = [layer for layer in layers if layer["epoch"] == epochs]
    if not last:
        raise ValueError(f"it lacks the layers after epoch {epochs}")
    return statistics.table(last)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
