"""Batch normalization before or after the activations of a model that exists."""

import dataclasses
from typing import Any

import keras

from keras_bnact import _keras_internals
from keras_bnact._layer_kinds import is_activation, is_linear, is_weight_layer
from keras_bnact.layers import BoundedBlock
from keras_bnact.rewriting.graph import (
    Call,
    Graph,
    New,
    Replacement,
    anew,
    check_graph,
    described,
    detour,
    graphs,
    in_own_code,
    rebuilt,
    values,
)
from keras_bnact.rewriting.report import Rewritten, check_changed

ORDERS = ("swap", "convention")
ALREADY = "in that order already"
INITIALIZERS = ("kernel_initializer", "depthwise_initializer", "pointwise_initializer")


def reorder(
    model: keras.Model,
    order: str = "swap",
    use_bias: bool | None = None,
    kernel_initializer: Any = None,
) -> Rewritten:
    """Moves batch normalization behind a model's activations, or before them.

    Each chain of a weight layer (Dense, Conv, DepthwiseConv, SeparableConv, ConvTranspose),
    `BatchNormalization` and an activation (a layer, the weight layer's `activation` argument, or a
    function of `keras.activations` in a functional model's graph) gets the order that is asked
    for, and so does each `BoundedBlock`, in models within the model as well:

    | order          | chain                                             |
    | ---            | ---                                               |
    | `"swap"`       | weight layer, activation, `BatchNormalization`    |
    | `"convention"` | weight layer, `BatchNormalization`, activation    |

    Everything else is as before: what the layers are called, how they are connected, and the values
    of their variables. In `"swap"` a weight layer without a bias gets one, of zeros, since the
    bias is what moves the activation off centre there; in `"convention"` a bias has no effect,
    and stays unless `use_bias` is False. An `activation` argument in a chain that is brought into
    `"convention"` becomes a layer `NAME_activation`.

    The weights are carried over by name. The statistics of batch normalization are those of what
    it was given before, so that the new model is one to train, not one to use. To train from
    scratch, reorder a model that was not trained, and give `kernel_initializer`: in `"swap"`
    nothing normalizes what the activation is given, so initial weights that saturate it, as Keras'
    defaults may, decide how training begins.

    Args:
        model: A functional or a built Sequential model. It stays as it is.
        order: `"swap"` (default) or `"convention"`.
        use_bias: Whether the chains' weight layers have a bias. False, for `"convention"` alone,
            takes it from the moving mean instead, which gives the same outputs. Default: those
            that have one, and in `"swap"` all.
        kernel_initializer: Draws the kernels of the chains' weight layers anew; their other
            variables and those of batch normalization begin anew as well. Layers outside of the
            chains keep their values. With
            `keras_bnact.models.KERNEL_INITIALIZER`, uniform in `+-1 / sqrt(fan_in)`, activations
            do not begin saturated. Default: all keep their values.

    Returns:
        A `Rewritten`: the new model, what was changed, and what was left as it is and why. It
        prints as a table.

    Raises:
        ValueError: For another order, `use_bias=False` in `"swap"`, a subclassed model, one with
            nothing to change, and a layer that its `get_config()` does not make anew.

    Example:

    >>> import keras, keras_bnact
    >>> convolution = keras.layers.Conv2D(8, 3, use_bias=False, name="conv")
    >>> layers = [convolution, keras.layers.BatchNormalization(name="bn")]
    >>> layers += [keras.layers.Activation("tanh", name="tanh"), keras.layers.Flatten(name="flat")]
    >>> model = keras.Sequential([keras.Input((8, 8, 3)), *layers])
    >>> swapped, changed, left = keras_bnact.reorder(model)
    >>> [layer.name for layer in swapped.layers], changed["bn"]
    (['conv', 'tanh', 'bn', 'flat'], 'conv, bn, tanh -> conv, tanh, bn; bias added')

    Reference: figure 2 of the paper.
    """
    if order not in ORDERS:
        raise ValueError(f"Unknown order {order!r}: give one of {', '.join(ORDERS)}.")
    if order == "swap" and use_bias is False:
        raise ValueError(
            "In the order 'swap' the bias moves the activation off centre and cannot be left out: "
            "give use_bias=False with the order 'convention' alone."
        )
    _keras_internals.check()
    check_graph(model)
    reordering = _Reordering(order, order == "swap" or use_bias, kernel_initializer)
    reordering.read(model)
    what = f"bring into the order {order!r}"
    check_changed(model, what, reordering.changed, reordering.left)
    made = rebuilt(model, reordering.replacements)
    return Rewritten(made, reordering.changed, reordering.left)


@dataclasses.dataclass(frozen=True)
class _Chain:
    """A weight layer, batch normalization and an activation, the latter two in either order.

    Args:
        order: "swap" or "convention".
        weights: The weight layer.
        normalization: The batch normalization.
        activation: The activation; None where it is the weight layer's `activation`.
    """

    order: str
    weights: keras.layers.Layer
    normalization: keras.layers.BatchNormalization
    activation: keras.Operation | None

    def __str__(self) -> str:
        own = None if self.activation else self.weights.activation
        weights = f"{self.weights.name} ({own.__name__})" if own else self.weights.name
        after = [self.normalization.name, *([self.activation.name] if self.activation else [])]
        return ", ".join([weights, *(after if self.order == "convention" else after[::-1])])


class _Reordering:
    """Decides what takes the place of what, and says so."""

    def __init__(self, order: str, use_bias: bool | None, kernel_initializer: Any):
        self.order, self.use_bias = order, use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.replacements: dict[int, Replacement] = {}
        self.changed: dict[str, str] = {}
        self.left: dict[str, str] = {}

    def read(self, model: keras.Model) -> None:
        for prefix, graph in graphs(model):
            for layer in graph.normalizing:
                if isinstance(layer, BoundedBlock):
                    self._read_block(layer, prefix + layer.name)
                else:
                    self.left[prefix + layer.name] = in_own_code(layer)
            for normalization in graph.normalizations:
                self._read_normalization(graph, normalization, prefix + normalization.name)

    def _read_block(self, block: BoundedBlock, name: str) -> None:
        if block.order == self.order:
            self.left[name] = ALREADY
        else:
            layer, notes = self._weight_layer(block.layer)
            config = block.get_config() | {
                "order": self.order,
                "layer": keras.saving.serialize_keras_object(layer),
            }
            new = New(BoundedBlock.from_config(config), self._values(block))
            bias = next((x for x in new.values if x.endswith("/bias")), "")
            self._take_bias(new.values, bias, new.values, "normalization/moving_mean")
            self.replacements[id(block)] = Replacement([new])
            self.changed[name] = "; ".join([f"{block.order} -> {self.order}", *notes])

    def _read_normalization(
        self, graph: Graph, normalization: keras.layers.BatchNormalization, name: str
    ) -> None:
        chain = _find_chain(graph, normalization)
        if isinstance(chain, str):
            self.left[name] = chain
        elif chain.order == self.order:
            self.left[name] = ALREADY
        else:
            self._reorder(chain, name)

    def _reorder(self, chain: _Chain, name: str) -> None:
        old, activation = chain.weights, chain.activation
        layer, notes = self._weight_layer(old)
        weights = New(layer, self._values(old))
        normalization = New(anew(chain.normalization), self._values(chain.normalization))
        self._take_bias(weights.values, "bias", normalization.values, "moving_mean")
        if activation is None:
            layer.activation = keras.activations.linear
            activation = keras.layers.Activation(
                old.activation, dtype=old.dtype_policy, name=f"{old.name}_activation"
            )
        made = dataclasses.replace(chain, order=self.order, weights=layer, activation=activation)
        steps = [chain.activation or New(activation), normalization]
        self.replacements[id(old)] = Replacement(
            [weights, *(steps if self.order == "swap" else reversed(steps))],
            absorbed=1 if chain.activation is None else 2,
        )
        self.changed[name] = "; ".join([f"{chain} -> {made}", *notes])

    def _weight_layer(self, layer: keras.layers.Layer) -> tuple[keras.layers.Layer, list[str]]:
        """The weight layer as it is in the new order, and what is to be said of that."""
        config, notes = layer.get_config(), []
        inner = config
        while "layer" in inner:
            # That of what a wrapper wraps.
            inner = inner["layer"]["config"]
        if self.use_bias is not None and inner.get("use_bias", self.use_bias) != self.use_bias:
            inner["use_bias"] = self.use_bias
            notes.append("bias added" if self.use_bias else "bias left out")
        if self.kernel_initializer is not None:
            # Of each kernel one of its own: an initializer draws the same values at each call.
            drawn = keras.saving.serialize_keras_object(self.kernel_initializer)
            inner.update({name: drawn for name in INITIALIZERS if name in inner})
            notes.append("drawn anew")
        return anew(layer, config), notes

    def _values(self, layer: keras.layers.Layer) -> dict[str, Any]:
        return {} if self.kernel_initializer is not None else values(layer)

    def _take_bias(
        self, weights: dict[str, Any], bias: str, normalization: dict[str, Any], mean: str
    ) -> None:
        """Takes a bias that is left out from the mean, which gives the same differences."""
        if self.use_bias is False and bias in weights:
            normalization[mean] = normalization[mean] - weights.pop(bias)


def _find_chain(graph: Graph, normalization: keras.layers.BatchNormalization) -> _Chain | str:
    """The chain that a batch normalization is in, or why it is in none."""
    chains = [_chain_around(graph, call) for call in graph.calls_of(normalization)]
    first, *others = chains
    if isinstance(first, _Chain) and others != [first] * len(others):
        return "shared by chains of different layers"
    return first


def _chain_around(graph: Graph, call: Call) -> _Chain | str:
    normalization, (before, *_) = call.operation, call.before
    for name, value in call.arguments.items():
        return f"called with {name}={value}" if name == "training" else f"called with {name}"
    if is_activation(before.operation):
        activation, before = before.operation, before.before[0]
        order, steps = "swap", [activation, normalization]
    elif is_weight_layer(before.operation) and not is_linear(before.operation):
        activation = None
        order, steps = "swap", [normalization]
    else:
        activation = call.after[0].operation if call.after else None
        order, steps = "convention", [normalization, activation]
    weights = before.operation
    if not is_weight_layer(weights) or (len(steps) > 1 and not is_linear(weights)):
        return f"after {described(before)}, no weight layer that can be changed"
    for one in graph.calls_of(weights):
        why = detour(one, steps)
        if why:
            return why
    if order == "convention" and not is_activation(activation):
        return f"before {described(call.after[0])}, no activation"
    return _Chain(order, weights, normalization, activation)
