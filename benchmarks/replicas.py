"""How far training on two and on four devices is from training on one.

    python -m benchmarks.replicas

Every network is trained by `train.run` on digits, in both orders and in several precisions, on
logical CPU devices. Printed for each is the largest difference of a number in the network's
variables and their momenta from that of one device, and the difference of the loss on the test
images, over it; these are no multiple of a batch or of the devices.
"""

import itertools
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import app, flags

from train import run_directory
from train.run_directory import RunDirectory

NETWORKS = ("mobilenet", "vgg16_8")
ORDERS = ("swap", "convention")
PRECISIONS = ("float64", "float32", "bfloat16", "float16")
STEPS = flags.DEFINE_integer("steps", 8, "Steps of training.", lower_bound=1)
BATCH_SIZE = flags.DEFINE_integer("batch_size", 32, "Images a step.", lower_bound=4)
WIDTH = flags.DEFINE_float("width", 0.1, "Factor on the numbers of filters.")
NETWORK = flags.DEFINE_multi_enum("network", NETWORKS, NETWORKS, "Of train.run.")
PRECISION = flags.DEFINE_multi_enum("precision", PRECISIONS, PRECISIONS, "Of train.run.")
DEVICES = (1, 2, 4)


def main(arguments: Sequence[str]) -> None:
    """Prints a row for every network, order and precision as it is measured."""
    if len(arguments) > 1:
        raise app.UsageError(f"'{arguments[1]}' is no flag.")
    print(f"{STEPS.value} steps of {BATCH_SIZE.value} images, width {WIDTH.value:g}\n")
    print("| network | order | precision | weights, 2 | weights, 4 | test loss, 2 | test loss, 4 |")
    print("| --- | --- | --- | ---: | ---: | ---: | ---: |")
    for cell in itertools.product(NETWORK.value, ORDERS, PRECISION.value):
        with tempfile.TemporaryDirectory() as folder:
            one, *others = [_trained(Path(folder), *cell, devices) for devices in DEVICES]
        of_weights = [_difference(one[0], other[0]) for other in others]
        of_loss = [abs(other[1] / one[1] - 1.0) for other in others]
        figures = [f"{figure:.1e}" for figure in (*of_weights, *of_loss)]
        print(f"| {' | '.join((*cell, *figures))} |", flush=True)


def _trained(
    folder: Path, network: str, order: str, precision: str, devices: int
) -> tuple[list[np.ndarray], float]:
    """The variables and their momenta, in float64, and the loss on the test images."""
    place = folder / str(devices)
    command = [
        *(sys.executable, "-m", "train.run", f"--model={network}", f"--order={order}"),
        *(f"--precision={precision}", f"--width={WIDTH.value}", "--epochs=1", "--export=none"),
        *(f"--batch_size={BATCH_SIZE.value}", f"--train_examples={STEPS.value * BATCH_SIZE.value}"),
        *("--test_examples=99", "--deterministic", f"--run_dir={place}"),
    ]
    if devices > 1:
        command += ["--strategy=mirrored", f"--replicas={devices}"]
    finished = subprocess.run(command, capture_output=True, text=True)
    if finished.returncode:
        raise RuntimeError(f"{' '.join(command)}: {finished.stderr}")
    with np.load(place / run_directory.CHECKPOINT) as saved:
        values = [saved[name].astype("float64") for name in saved.files if name.isdigit()]
    # Without the optimizer's count of steps and the scale of a float16 loss.
    values = [value for value in values if value.ndim]
    summary = RunDirectory(place, "").read_json(run_directory.SUMMARY)
    return values, summary["test"]["loss"]


def _difference(one: list[np.ndarray], other: list[np.ndarray]) -> float:
    return max(float(np.abs(a - b).max()) for a, b in zip(one, other, strict=True))


if __name__ == "__main__":
    app.run(main)
