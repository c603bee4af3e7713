"""What in measured layers is worth a look, in plain sentences."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from keras_bnact.statistics import LayerStatistics, middle

# The limits from which something is a finding; all are ours.
SATURATED = 0.9
ONE_SIDED = 0.9
SHARE_OF_CHANNELS = 0.25
LINEAR = 0.1
SPARSE = 0.9
CHANGE = 0.2
# The most serious first.
KINDS = ("not finite", "zero", "constant", "saturated", "linear", "sparse", "changed")


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something about a layer that is worth a look; prints as a sentence.

    Args:
        layer: The layer's name.
        kind: `"not finite"`, `"zero"`, `"constant"`, `"saturated"`, `"linear"`, `"sparse"` or
            `"changed"`.
        text: What there is to say of it.

    Example:

    >>> from keras_bnact.reports import Finding
    >>> print(Finding("dense1", "constant", "3 of its 64 channels are constant"))
    dense1: 3 of its 64 channels are constant
    """

    layer: str
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.layer}: {self.text}"


def find(
    layers: Sequence[LayerStatistics], before: Mapping[str, float] | None = None
) -> list[Finding]:
    """What is worth a look in measured layers, the most serious first.

    | kind           | a layer of which                                                           |
    | ---            | ---                                                                        |
    | `"not finite"` | a channel holds NaN or infinity                                            |
    | `"zero"`       | a channel's output is zero for every example: a dead unit                  |
    | `"constant"`   | a channel's activation is the same for every example                       |
    | `"saturated"`  | a quarter of the channels or more have a saturation of 0.9 or more, on     |
    |                | one side (nine tenths of it or more on the same) or on both                |
    | `"linear"`     | the saturation is 0.1 or less: the activation is nearly a linear one       |
    | `"sparse"`     | the sparsity is 0.9 or more                                                |
    | `"changed"`    | the saturation is 0.2 or more from what it was before                      |

    The limits are ours. Saturation counts for activations with bounds alone. The share on one side
    is `(1 + abs(mean) / saturation) / 2`, with the channel's mean from the middle of the bounds,
    over half their span; it is exact where all of the channel is at the bounds.

    Args:
        layers: As `keras_bnact.measure` gives them.
        before: Saturation of layers at an earlier time, by name.

    Returns:
        The findings, by kind in the order of the table, then in the layers' order.

    Example:

    >>> import numpy as np
    >>> from keras_bnact import reports, statistics
    >>> values = np.tanh([[9.0, 0.1], [-9.0, 0.3], [9.0, 0.2], [-9.0, -0.4]])
    >>> print(*reports.find([statistics.describe(values, name="conv5")]), sep="\\n")
    conv5: 50 % of its channels are saturated on both sides

    Reference: the definitions of `keras_bnact.statistics`.
    """
    found = [finding for layer in layers for finding in _of_layer(layer, before or {})]
    return sorted(found, key=lambda finding: KINDS.index(finding.kind))


def _of_layer(layer: LayerStatistics, before: Mapping[str, float]) -> Iterator[Finding]:
    channels = len(layer.channel_mean)
    # A channel that is always zero is said once.
    constant = layer.constant_channels - layer.zero_channels
    for kind, number, one, several in (
        ("not finite", layer.non_finite_channels, "holds NaN or infinity", "hold NaN or infinity"),
        ("zero", layer.zero_channels, "is zero for every example", "are zero for every example"),
        ("constant", constant, "is constant", "are constant"),
    ):
        if number > 0:
            some = "all" if number == channels else number
            verb = one if number == 1 else several
            yield Finding(layer.name, kind, f"{some} of its {channels} channels {verb}")
    if layer.bounds is not None:
        yield from _of_bounded(layer, before)
    if layer.sparsity >= SPARSE and layer.zero_channels < channels:
        yield Finding(layer.name, "sparse", f"its output is sparse ({layer.sparsity:.2f})")


def _of_bounded(layer: LayerStatistics, before: Mapping[str, float]) -> Iterator[Finding]:
    lower, upper = layer.bounds or (0.0, 0.0)
    saturated = layer.channel_saturation >= SATURATED
    mean = (layer.channel_mean - middle(layer.bounds)) / ((upper - lower) / 2)
    with np.errstate(all="ignore"):
        one_sided = (1 + np.abs(mean) / layer.channel_saturation) / 2 >= ONE_SIDED
    for side, which in (("one side", one_sided), ("both sides", ~one_sided)):
        share = float(np.mean(saturated & which))
        if share >= SHARE_OF_CHANNELS:
            text = f"{100 * share:.0f} % of its channels are saturated on {side}"
            yield Finding(layer.name, "saturated", text)
    if layer.saturation <= LINEAR:
        text = f"it is nearly linear, at {100 * layer.saturation:.0f} % of its bounds"
        yield Finding(layer.name, "linear", text)
    change = layer.saturation - before.get(layer.name, layer.saturation)
    if abs(change) >= CHANGE:
        verb = "rose" if change > 0 else "fell"
        text = f"its saturation {verb} from {before[layer.name]:.2f} to {layer.saturation:.2f}"
        yield Finding(layer.name, "changed", text)
