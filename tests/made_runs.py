"""Run directories with known metrics, written by hand, and the analysis of them."""

import csv

import numpy as np
import pytest

from analysis import run
from analysis.runs import GRADIENTS
from keras_bnact.statistics import STATISTICS
from train import run_directory
from train.run_directory import RunDirectory

LAYERS = [f"conv{i}" for i in range(1, 9)] + ["fc1", "fc2"]
FLAGS = {
    "dataset": "cifar100",
    "model": "vgg16_11",
    "activation": "tanh",
    "order": "swap",
    "epochs": "2",
    "learning_rate": "0.1",
    "learning_rate_drops": "100,150",
    "weight_decay": "0.0005",
    "batch_size": "128",
    "kernel_initializer": "fan_in_uniform",
    "bias_initializer": "zeros",
    "momentum": "0.9",
    "seed": "0",
}


@pytest.fixture
def make_run(tmp_path, rng):
    """Writes a run directory with known metrics; returns its path."""

    def make(name, accuracy, statistics=(0.5, 1.0, 0.6), held_out=None, classes=100, **flags):
        flags = FLAGS | flags
        text = "".join(f"--{name}={value}\n" for name, value in flags.items())
        directory = RunDirectory(tmp_path / "runs" / name, text + "--nodeterministic\n")
        directory.create(overwrite=False)
        part = "test" if held_out is None else "val"
        history = [
            {
                "epoch": epoch,
                "learning_rate": float(flags["learning_rate"]) / 10 ** (epoch - 1),
                "cross_entropy": 3 - epoch,
                f"{part}_cross_entropy": 4 - epoch,
            }
            for epoch in (1, 2)
        ]
        directory.write_csv(run_directory.HISTORY, history)
        # The second epoch has twice the statistics of the first.
        layers = [
            {
                "epoch": epoch,
                "index": index,
                "layer": layer,
                **{k: epoch * v for k, v in zip(STATISTICS, statistics, strict=True)},
            }
            for epoch in (1, 2)
            for index, layer in enumerate(LAYERS)
        ]
        directory.write_csv(run_directory.STATISTICS, layers)
        gradients = [
            {"epoch": 2, "layer": layer, **dict.fromkeys(GRADIENTS, 0.1)} for layer in LAYERS
        ]
        directory.write_csv(run_directory.GRADIENTS, gradients)
        with directory.writing(run_directory.CHANNELS) as path, path.open("wb") as file:
            np.savez(file, **_channels(flags["order"], rng))
        summary = {
            "epochs": 2,
            "test": {"accuracy": accuracy},
            "statistics": {k: 2 * v for k, v in zip(STATISTICS, statistics, strict=True)},
            "classes": classes,
        }
        if held_out is not None:
            summary["validation"] = {"accuracy": held_out}
        directory.write_json(run_directory.SUMMARY, summary)
        directory.release()
        return directory.path

    return make


def _channels(order, rng):
    arrays = {f"{layer}/std": np.ones(3) for layer in LAYERS}
    edges, counts = np.linspace(-1, 1, 11), rng.integers(0, 9, (10, 10))
    for key in (
        *(f"{layer}/{of}_histogram" for layer in LAYERS for of in ("activation", "output")),
        "conv8/activation_channel_histograms",
        "conv5/output_channel_histograms",
    ):
        # As with batch normalization at the end of a block.
        wide = 2.0 if "output" in key and order == "swap" else 1.0
        arrays[f"{key}/edges"] = np.tile(wide * edges, (10, 1))
        arrays[f"{key}/counts"] = counts
        arrays[f"{key}/channels"] = np.arange(10)
    return arrays


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def analyse(tmp_path, *more):
    (tmp_path / "runs").mkdir(exist_ok=True)
    out = tmp_path / "out"
    assert run.main([f"--runs={tmp_path / 'runs'}", f"--out={out}", *more]) == 0
    return out
