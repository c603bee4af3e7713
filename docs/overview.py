"""Draws results/overview.png, the README's picture, from RESULTS.md and results/full/layers.csv.

python docs/overview.py
"""

import re
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

ROOT = Path(__file__).parent.parent
COLOURS = {"convention": "#0072B2", "swap": "#D55E00"}
# A row of RESULTS.md by how it begins, the first of these, and what it is called here.
GAPS = {
    "| **Swap - Convention** | | **+7.85**": "tanh, 100 classes",
    "| VGG16_11 Tanh, Swap |": "tanh",
    "| VGG16_11 LeCun Tanh, Swap | 0": "LeCun tanh",
    "| VGG16_11 Softsign, Swap | 0": "softsign",
    "| MobileNet Tanh, Swap | 0": "MobileNet, tanh",
    "| normal, deviation 0.01 | swap |": "normal, deviation 0.01",
    "| ±1/sqrt(fan_in), uniform | swap |": "±1/sqrt(fan_in)",
    "| Glorot uniform | swap |": "Glorot uniform",
    "| LeCun normal | swap |": "LeCun normal",
    "| He normal | swap |": "He normal",
}
GROUPS = {
    0: "Trained as in the paper",
    1: "A quarter of the width, 8 epochs",
    5: "The same with other initial weights",
}


def gaps() -> list[tuple[str, float, float, float]]:
    """Name, gap in points and its 95 % interval."""
    lines = (ROOT / "RESULTS.md").read_text().splitlines()
    interval = re.compile(r"([+-]\d+\.\d+)\D*? \(([+-]\d+\.\d+) to ([+-]\d+\.\d+)\)")
    found = []
    for start, name in GAPS.items():
        rows = (interval.search(line) for line in lines if line.startswith(start))
        gap, low, high = next(row for row in rows if row).groups()
        found.append((name, float(gap), float(low), float(high)))
    return found


def draw_gaps(axes: Axes) -> None:
    places, place = [], 0.0
    for index, (_, gap, low, high) in enumerate(gaps()):
        if index in GROUPS:
            place += 1.1
            axes.text(
                -4.6,
                place - 0.75,
                GROUPS[index],
                fontsize=8,
                color="0.35",
                style="italic",
                backgroundcolor="w",
            )
        places.append(place)
        colour = COLOURS["swap" if low > 0 else "convention"] if low * high > 0 else "0.45"
        axes.plot([low, high], [place, place], color=colour, linewidth=2)
        axes.plot(gap, place, "o", color=colour)
        place += 1
    axes.axvline(0, color="0.2", linewidth=0.8)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.set_yticks(places, [name for name, *_ in gaps()])
    axes.set(xlim=(-4.8, 10), ylim=(place - 0.3, -0.2))
    axes.set_xlabel("Swap - Convention, points")
    axes.set_title("Accuracy: Swap's lead, 95 % interval", fontsize=10, loc="left")


def draw_layers(axes: Axes, statistic: str, title: str) -> None:
    table = pd.read_csv(ROOT / "results" / "full" / "layers.csv")
    table = table[(table["images"] == "100 classes") & table["order"].isin(COLOURS)]
    names = [*dict.fromkeys(table["layer"])]
    for order, rows in table.groupby("order"):
        means = rows.groupby("layer")[statistic].mean()[names]
        marker = "^" if order == "swap" else "o"
        axes.plot(names, means, marker=marker, color=COLOURS[order], label=order)
    axes.tick_params(axis="x", rotation=60)
    axes.set_ylim(0)
    axes.set_title(title, fontsize=10, loc="left")


if __name__ == "__main__":
    matplotlib.rcParams.update({"font.size": 9, "axes.grid": True, "grid.color": "0.92"})
    matplotlib.rcParams.update({"axes.spines.top": False, "axes.spines.right": False})
    figure = Figure(figsize=(9.6, 3.9), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.5, 1, 1))
    draw_gaps(left)
    left.grid(axis="y", visible=False)
    draw_layers(middle, "skewness", "Skewness of the layers")
    draw_layers(right, "sparsity", "Sparsity")
    right.set_ylim(0, 1)
    middle.legend(frameon=False)
    figure.savefig(ROOT / "results" / "overview.png", dpi=120)
