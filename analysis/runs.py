"""Run directories as `train.run` writes them, read as far as tables and figures need it."""

import contextlib
import dataclasses
import functools
import io
import json
import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import train.run_directory as files
from keras_bnact.statistics import STATISTICS
from train.errors import UsageError
from train.flag_text import of_run
from train.names import ORDERS

# Of each weight layer.
GRADIENTS = ("input", "weight_gradient", "activation_gradient")
FILES = (
    files.FLAGS,
    files.HISTORY,
    files.STATISTICS,
    files.GRADIENTS,
    files.CHANNELS,
    files.SUMMARY,
)
# Flags that make no other run: where and how it is made, and what is written of it.
ASIDE = ("seed", "strategy", "replicas", "deterministic", "export", "statistics_every")
# Of gamma and beta.
GAMMA_BETA_DECAYS = ("gamma_weight_decay", "beta_weight_decay")
NEEDED = ("dataset", "model", "activation", "order", "weight_decay", "seed")


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """One finished run.

    Attributes:
        path: Its directory.
        flags: Text by name, as in `flags.txt`.
        history: A row for each epoch.
        measured: A row for each layer of each epoch at whose end it was measured, by epoch and
            name: its statistics, and the means that `GRADIENTS` names, NaN where it has none.
        summary: Final metrics.
    """

    path: Path
    flags: Mapping[str, str]
    history: pd.DataFrame
    measured: pd.DataFrame
    summary: Mapping[str, Any]

    @property
    def seed(self) -> int:
        return int(self.flags["seed"])

    @property
    def images(self) -> str:
        """What its images are called."""
        return self.flags.get("dataset_name", self.flags["dataset"])

    @functools.cached_property
    def layers(self) -> pd.DataFrame:
        """What was measured after the last epoch, by the layer."""
        return self.measured.loc[self.summary["epochs"]]

    @property
    def accuracy(self) -> float:
        """On the test images, in percent."""
        return 100.0 * self.summary["test"]["accuracy"]

    def mean_of_layers(self, statistic: str) -> float:
        """A statistic's mean over the layers after the last epoch; NaN if the run diverged."""
        return float(self.layers[statistic].mean(skipna=False))

    @functools.cached_property
    def diverged(self) -> bool:
        """Whether statistics of its layers are NaN or infinite."""
        return not np.isfinite(self.layers[[*STATISTICS]]).all(axis=None)

    @property
    def gamma_beta_decays(self) -> tuple[float, ...]:
        """Weight decays of gamma and beta, by default those of the kernels."""
        default = self.flags["weight_decay"]
        return tuple(float(self.flags.get(name, default)) for name in GAMMA_BETA_DECAYS)

    @property
    def shrinkage(self) -> tuple[float, ...] | None:
        """By how much weight decay alone shrinks gamma and beta: by a factor of `exp(-shrinkage)`.

        `weight_decay * sum of the steps' learning rates / (1 - momentum)`, of gamma and
        of beta, the momentum that of SGD and 0 of an optimizer that decouples the decay; None of a
        run without them, or that does not say how many steps it took.
        """
        steps, flags = self.summary.get("steps"), self.flags
        if steps is None or flags["order"] == "nobn":
            return None
        if "momentum" not in flags and flags["optimizer"] == "sgd":
            return None
        rates = float(self.history["learning_rate"].mean()) * steps
        scale = rates / (1.0 - float(flags.get("momentum", 0.0)))
        return tuple(decay * scale for decay in self.gamma_beta_decays)

    @property
    def held_out(self) -> bool:
        """Whether part of the training images was held out."""
        return "validation" in self.summary

    @functools.cached_property
    def setting_flags(self) -> tuple[tuple[str, str], ...]:
        """The flags that make the run what it is, without its seed and decays of no effect."""
        aside = {*ASIDE}
        # A folder of images without a name is the data set itself, else it is where that is kept.
        if self.flags["dataset"] != "image_folder" or "dataset_name" in self.flags:
            aside.add("data_dir")
        decay = float(self.flags["weight_decay"])
        aside |= {name for name in GAMMA_BETA_DECAYS if float(self.flags.get(name, decay)) == decay}
        return tuple(sorted((k, v) for k, v in self.flags.items() if k not in aside))

    @functools.cached_property
    def channels(self) -> Mapping[str, np.ndarray]:
        """What `channels.npz` holds."""
        with np.load(self.path / files.CHANNELS) as file:
            return dict(file)


def read(folder: Path) -> tuple[list[Run], list[str]]:
    """All finished runs below a folder, and a sentence for each that cannot be used or diverged."""
    runs, problems = [], []
    for path in sorted({file.parent for name in FILES for file in folder.rglob(name)}):
        try:
            run = _run(path)
        except FileNotFoundError as error:
            name = Path(error.filename).name
            if (path / files.DIVERGED).is_file():
                reason = "diverged: diverged.json says where"
            elif (path / files.SUMMARY).is_file():
                reason = f"has no {name}: of an older format"
            else:
                reason = "is not finished"
            problems.append(f"{path} {reason}")
        except UsageError as error:
            problems.append(str(error))
        else:
            runs.append(run)
            if run.diverged:
                problems.append(f"the layers of {path}, which diverged; its accuracy counts")
    return runs, problems


def _run(path: Path) -> Run:
    for name in FILES:
        if not (path / name).is_file():
            raise FileNotFoundError(2, "missing", str(path / name))
    with _whole(path, files.FLAGS):
        flags = of_run(_text(path / files.FLAGS))
        _check_flags(flags)
    with _whole(path, files.SUMMARY):
        summary = json.loads((path / files.SUMMARY).read_text())
        _check_summary(summary)
    with _whole(path, files.HISTORY):
        history = _history(path / files.HISTORY, summary)
    with _whole(path, files.STATISTICS):
        statistics = _by_layer(_table(path / files.STATISTICS, STATISTICS), summary)
    with _whole(path, files.GRADIENTS):
        gradients = _by_layer(_table(path / files.GRADIENTS, GRADIENTS), summary)
        # Activations of sums have no weight layer, and so no gradients.
        if not {*gradients.index} <= {*statistics.index}:
            raise ValueError("gradients.csv and statistics.csv do not hold the same layers")
    with _whole(path, files.CHANNELS):
        _check_channels(path / files.CHANNELS, statistics.loc[summary["epochs"]].index)
    measured = statistics[[*STATISTICS]].join(gradients[[*GRADIENTS]])
    return Run(path, flags, history, measured, summary)


@contextlib.contextmanager
def _whole(folder: Path, name: str) -> Iterator[None]:
    """Makes a sentence of whatever a damaged file makes of itself in the block.

    Raises:
        UsageError: Naming the run, the file and what to do.
    """
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split())
        if not isinstance(error, ValueError):
            reason = f"{type(error).__name__}: {reason}"
        raise UsageError(
            f"{folder} has a damaged {name} ({reason}): train it anew with train.run's --overwrite"
        ) from None


def _text(path: Path) -> str:
    text = path.read_text()
    if not text.endswith("\n"):
        # Of a file that was cut short, whose last number may be, too.
        raise ValueError("its last line is not whole")
    return text


def _check_flags(flags: Mapping[str, str]) -> None:
    missing = [name for name in NEEDED if name not in flags]
    if missing:
        raise ValueError(f"flags.txt lacks {', '.join(missing)}")
    if flags["order"] not in ORDERS:
        raise ValueError(f"flags.txt has the order {flags['order']!r}")
    if not flags["seed"].isdigit():
        raise ValueError(f"flags.txt has the seed {flags['seed']!r}")
    for name in ("weight_decay", *GAMMA_BETA_DECAYS, "momentum"):
        try:
            number = float(flags.get(name, "0"))
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise ValueError(f"flags.txt has the {name} {flags[name]!r}")


def _check_summary(summary: Mapping[str, Any]) -> None:
    files.check_accuracies(summary)
    for name in ("epochs", *({"steps", "classes"} & summary.keys())):
        if type(summary[name]) is not int or summary[name] < 1:
            raise ValueError(f"{summary[name]!r} is no number of {name}")
    if not {*STATISTICS} <= summary["statistics"].keys():
        raise ValueError("summary.json lacks statistics")


def _history(path: Path, summary: Mapping[str, Any]) -> pd.DataFrame:
    part = "val" if "validation" in summary else "test"
    metrics = ("cross_entropy", "accuracy")
    numbers = ("learning_rate", *metrics, *(f"{part}_{metric}" for metric in metrics))
    history = _table(path, numbers)
    if [*history["epoch"]] != [*range(1, summary["epochs"] + 1)]:
        raise ValueError(f"history.csv does not hold the {summary['epochs']} epochs, in order")
    return history


def _by_layer(table: pd.DataFrame, summary: Mapping[str, Any]) -> pd.DataFrame:
    """The layers, by epoch and name."""
    if summary["epochs"] not in {*table["epoch"]}:
        raise ValueError(f"it lacks the layers after epoch {summary['epochs']}")
    table = table.set_index(["epoch", "layer"])
    if table.index.has_duplicates:
        raise ValueError("it holds a layer twice")
    if len({tuple(of_epoch["layer"]) for _, of_epoch in table.reset_index().groupby("epoch")}) > 1:
        raise ValueError("its epochs do not hold the same layers")
    return table


def _check_channels(path: Path, layers: pd.Index) -> None:
    with zipfile.ZipFile(path) as file:
        if file.testzip():
            raise ValueError("channels.npz has a damaged part")
        there = {name.removesuffix(".npy") for name in file.namelist()}
    if {f"{layer}/std" for layer in layers} != {name for name in there if name.endswith("/std")}:
        raise ValueError("channels.npz and statistics.csv do not hold the same layers")
    for layer in layers:
        if not {f"{layer}/{of}_histogram/counts" for of in ("activation", "output")} <= there:
            raise ValueError(f"channels.npz lacks histograms of {layer}: of an older format")
    for of in ("activation", "output"):
        ending = f"/{of}_channel_histograms/channels"
        shown = [name.removesuffix(ending) for name in there if name.endswith(ending)]
        # Of a network of few layers, none.
        if len(shown) > 1 or not {*shown} <= {*layers}:
            raise ValueError(f"channels.npz holds histograms of the channels of {', '.join(shown)}")
    with np.load(path) as file:
        for key in (name.removesuffix("/counts") for name in there if name.endswith("/counts")):
            edges, counts = file[f"{key}/edges"], file[f"{key}/counts"]
            rows, bins = counts.shape
            if edges.shape != (rows, bins + 1) or not np.issubdtype(counts.dtype, np.number):
                raise ValueError(f"channels.npz holds no histograms as {key}")


def _table(path: Path, numbers: Sequence[str]) -> pd.DataFrame:
    """A CSV file with its epochs and the columns that are numbers; all others as text."""
    # As text at first: not every version of pandas reads all digits of a number.
    table = pd.read_csv(io.StringIO(_text(path)), dtype=str, keep_default_na=False)
    missing = [name for name in numbers if name not in table or "" in {*table[name]}]
    if missing:
        raise ValueError(f"{path.name} lacks {', '.join(missing)}")
    return table.astype({"epoch": int} | dict.fromkeys(numbers, float))
