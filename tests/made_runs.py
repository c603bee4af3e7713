"""Run directories with known metrics, written by hand, and the analysis of them."""

import csv
import json

import numpy as np
import pytest

from analysis import run
from keras_bnact.statistics import STATISTICS

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
    """Writes a run directory with known metrics."""

    def make(name, accuracy, statistics=(0.5, 1.0, 0.6), held_out=None, classes=100, **flags):
        path = tmp_path / "runs" / name
        path.mkdir(parents=True)
        text = "".join(f"--{k}={v}\n" for k, v in (FLAGS | flags).items())
        (path / "flags.txt").write_text(text + "--nodeterministic\n")
        of_layers = dict(zip(STATISTICS, statistics, strict=True))
        summary = {
            "epochs": 2,
            "test": {"accuracy": accuracy},
            "statistics": {k: 2 * v for k, v in of_layers.items()},
            "classes": classes,
        }
        if held_out is not None:
            summary["validation"] = {"accuracy": held_out}
        (path / "summary.json").write_text(json.dumps(summary))
        part = "test" if held_out is None else "val"
        write(
            path / "history.csv",
            [
                {
                    "epoch": e,
                    "learning_rate": float((FLAGS | flags)["learning_rate"]) / 10 ** (e - 1),
                    "cross_entropy": 3 - e,
                    f"{part}_cross_entropy": 4 - e,
                }
                for e in (1, 2)
            ],
        )
        layers = [
            {
                "epoch": epoch,
                "index": i,
                "layer": layer,
                **{k: v * epoch for k, v in of_layers.items()},
            }
            for epoch in (1, 2)
            for i, layer in enumerate(LAYERS)
        ]
        write(path / "statistics.csv", layers)
        gradients = dict.fromkeys(("input", "weight_gradient", "activation_gradient"), 0.1)
        write(
            path / "gradients.csv", [{"epoch": 2, "layer": layer, **gradients} for layer in LAYERS]
        )
        edges, counts = np.linspace(-1, 1, 11), rng.integers(0, 9, (10, 10))
        arrays = {f"{layer}/std": np.ones(3) for layer in LAYERS}
        for key in (
            *(f"{layer}/{of}_histogram" for layer in LAYERS for of in ("activation", "output")),
            "conv8/activation_channel_histograms",
            "conv5/output_channel_histograms",
        ):
            # As with batch normalization at the end of a block.
            wide = 2.0 if "output" in key and (FLAGS | flags)["order"] == "swap" else 1.0
            arrays[f"{key}/edges"] = np.tile(wide * edges, (10, 1))
            arrays[f"{key}/counts"] = counts
            arrays[f"{key}/channels"] = np.arange(10)
        np.savez(path / "channels.npz", **arrays)
        return path

    return make


def write(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def analyse(tmp_path, *more):
    (tmp_path / "runs").mkdir(exist_ok=True)
    out = tmp_path / "out"
    assert run.main([f"--runs={tmp_path / 'runs'}", f"--out={out}", *more]) == 0
    return out
