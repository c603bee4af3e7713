"""Settings told apart: by the flags in which they differ, and by their looks in figures."""

from collections.abc import Mapping, Sequence
from typing import Any

from analysis import style
from analysis.drawing import Shown
from analysis.overview import ALWAYS
from analysis.settings import Setting, varying_flags

# Okabe and Ito's but for the yellow, which is faint on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", "--", ":", "-.")
MARKERS = ("o", "^", "s", "x")
NOT_SET = "not set"
# More settings cannot be told apart.
MOST = len(COLOURS) * len(LINES)


def shown(settings: Sequence[Setting], names: Sequence[str]) -> list[Shown]:
    """Settings with their labels and looks, in the order of their flags.

    A label is the values of the flags that tell them apart, or of those that say what a run is
    where there is one setting. Orders are told by colour; where more differs, by lines and
    markers, and the rest by colour.

    Args:
        settings: Up to `MOST`.
        names: The flags that tell them apart.
    """
    ordered = sorted(settings, key=lambda setting: [_rank(setting, name) for name in names])
    others = [_label(setting, [name for name in names if name != "order"]) for setting in ordered]
    return [
        Shown(label(setting, names), looks, setting)
        for setting, looks in zip(ordered, _looks(ordered, others), strict=True)
    ]


def differing(settings: Sequence[Setting]) -> list[str]:
    """The flags that settings differ in: first what a run is, then how it was made."""
    # The images' name is the data set's.
    varying = ["dataset" if name == "dataset_name" else name for name in varying_flags(settings)]
    first = [name for name in ALWAYS if name in varying]
    return [*first, *(name for name in varying if name not in first)]


def label(setting: Setting, names: Sequence[str]) -> str:
    """The values of flags: `tanh, swap, learning rate 0.1`."""
    return _label(setting, names) or _label(setting, ALWAYS)


def value(setting: Setting, name: str) -> str:
    """A flag's: as it is where it says what a run is, else with its name."""
    text = given(setting, name)
    return text if name in ALWAYS else f"{name.replace('_', ' ')} {text}"


def given(setting: Setting, name: str) -> str:
    """A flag's as it is; of the data set what its images are called."""
    if name == "dataset":
        return setting.images[0]
    return setting.flags.get(name) or NOT_SET


def _label(setting: Setting, names: Sequence[str]) -> str:
    return ", ".join(value(setting, name) for name in names)


def _rank(setting: Setting, name: str) -> tuple:
    """Numbers by their size, after what is not set and before other texts."""
    text = given(setting, name)
    if text == NOT_SET:
        return 0, 0.0, ""
    try:
        return 1, float(text), ""
    except ValueError:
        return 2, 0.0, text


def _looks(settings: Sequence[Setting], others: Sequence[str]) -> list[Mapping[str, Any]]:
    """Keyword arguments of `Axes.plot`, from what else than the order tells settings apart."""
    orders = [setting.flags["order"] for setting in settings]
    rest = [*dict.fromkeys(others)]
    if len(rest) == 1:
        return [style.by_order(order) for order in orders]
    if len({*orders}) == 1 or len(rest) > len(COLOURS):
        places = [divmod(place, len(COLOURS)) for place in range(len(settings))]
    else:
        kinds = [*dict.fromkeys(orders)]
        places = [
            (kinds.index(order), rest.index(other))
            for order, other in zip(orders, others, strict=True)
        ]
    return [
        {"color": COLOURS[colour], "linestyle": LINES[line], "marker": MARKERS[line]}
        for line, colour in places
    ]
