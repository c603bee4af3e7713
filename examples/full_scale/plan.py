"""Runs one after another; what they have in common is read and compiled once."""

from collections.abc import Sequence
from typing import Any

import keras

from examples.full_scale import images, precision, runs
from train.run_directory import RunDirectory

# What the images depend on.
DATA = ("data_dir", "image_size", "train_examples", "test_examples", "validation_fraction")


def carry_out(pending: Sequence[tuple[RunDirectory, Any]], precision_name: str) -> None:
    """Trains what is not finished, in order.

    Args:
        pending: Where each run is written, and its flags.
        precision_name: What is computed in.
    """
    precision.start(precision_name)
    peak = precision.peak()
    data_key = trainer_key = None
    for number, (directory, flags) in enumerate(pending, 1):
        settings = {name: flags[name].value for name in flags if name not in ("seed", "run_dir")}
        if data_key != (data_key := [settings[name] for name in (*DATA, "batch_size")]):
            data = images.load(flags)
        if trainer_key != (trainer_key := settings):
            keras.backend.clear_session()
            trainer = runs.make_trainer(flags, data)
        print(f"{directory.path}, {number} of {len(pending)}", flush=True)
        summary = runs.run(flags, directory, trainer, data, peak)
        share = summary["operations_per_second"] / peak
        print(
            f"  test accuracy {summary['test']['accuracy']:.4f}, {summary['seconds']:.0f} s, "
            f"{summary['images_per_second']:,.0f} images/s, {share:.0%} of the peak",
            flush=True,
        )
