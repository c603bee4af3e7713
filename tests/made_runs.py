"""Run directories with known metrics, written by hand, and the analysis of them."""

import csv

import numpy as np
import pytest

from analysis import run
from analysis.paper.experiments import DATASETS
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
# Of gamma and beta.
OFF = {"gamma_weight_decay": "0.0", "beta_weight_decay": "0.0"}


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
                "accuracy": 0.2 * epoch,
                f"{part}_cross_entropy": 4 - epoch,
                f"{part}_accuracy": 0.1 * epoch,
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
            {"epoch": epoch, "layer": layer, **dict.fromkeys(GRADIENTS, 0.05 * epoch)}
            for epoch in (1, 2)
            for layer in LAYERS
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


@pytest.fixture
def everything(make_run):
    """Runs for all figures, of models whose statistics are of different sizes."""
    for i, activation in enumerate(("tanh", "lecun_tanh", "softsign")):
        for j, order in enumerate(("swap", "convention")):
            statistics = (0.1 + 0.1 * i + 0.05 * j, 0.5 + i + 2 * j, 0.6)
            make_run(f"{activation}{order}", 0.7, statistics, activation=activation, order=order)
    make_run("nwdbn", 0.6, order="convention", **OFF)
    for decay in ("0.0001", "0.0003"):
        make_run(decay, 0.65, order="convention", **OFF | {"beta_weight_decay": decay})
    for decay in ("0.0", "1e-06", "0.0005", "0.001", "0.05"):
        make_run(f"both{decay}", 0.6, **dict.fromkeys(OFF, decay))
    for order in ("convention", "swap", "nobn"):
        make_run(f"vgg16{order}", 0.6, model="vgg16", order=order)
    for i, dataset in enumerate(DATASETS):
        statistics = (0.4, 1.0 + i, 0.5)
        make_run(f"mobilenet{dataset}", 0.6, statistics, model="mobilenet", dataset=dataset)


def lengthen(path):
    """A history of as many epochs as the flagfile asks for."""
    (path / "history.csv").write_text(
        "epoch,learning_rate,cross_entropy,accuracy,test_cross_entropy,test_accuracy\n"
        + "".join(f"{epoch},0.1,1.0,0.5,2.0,0.4\n" for epoch in range(1, 201))
    )
    summary = (path / "summary.json").read_text()
    (path / "summary.json").write_text(summary.replace('"epochs": 2', '"epochs": 200'))
    for name in ("statistics.csv", "gradients.csv"):
        text = (path / name).read_text()
        (path / name).write_text(text.replace("\n2,", "\n200,"))


def _channels(order, rng):
    of_channels = {name: rng.normal(size=3) for name in ("mean", "skewness", "saturation")}
    of_channels["std"] = np.ones(3)
    arrays = {f"{layer}/{name}": x for layer in LAYERS for name, x in of_channels.items()}
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
