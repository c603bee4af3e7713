"""The network that the flags name, its loss, and what it costs."""

import importlib
import math
from collections.abc import Callable
from typing import Any

import keras

from keras_bnact import activations, models
from train import names
from train.data.image_set import ImageSet
from train.errors import UsageError, nearest

# Forward passes that a step of training costs: the gradients by the inputs and by the weights are
# one each.
TRAINING_PASSES = 3


def build(flags: Any, images: ImageSet, synchronized: bool = False) -> keras.Model:
    """From images in 0 to 255 to logits; `synchronized` over the replicas of a strategy."""
    function, arguments = names.MODELS[flags.model]
    standardisation = keras.layers.Normalization(
        mean=images.mean, variance=images.variance, dtype="float32", name="standardisation"
    )
    if flags.model not in names.UNNORMALIZED:
        arguments = arguments | {"order": flags.order, "synchronized": synchronized}
    return getattr(models, function)(
        **arguments,
        activation=activation(flags.activation),
        width=flags.width,
        classes=images.classes,
        input_shape=(images.size, images.size, 3),
        kernel_initializer=names.KERNEL_INITIALIZERS[flags.kernel_initializer],
        bias_initializer=names.BIAS_INITIALIZERS[flags.bias_initializer],
        **_penalties(flags),
        preprocessing=standardisation,
    )


def _penalties(flags: Any) -> dict[str, float | None]:
    """Of the weights, where the optimizer does not decay them itself."""
    kinds = ("weight_decay", "gamma_weight_decay", "beta_weight_decay")
    return {kind: flags[kind].value if flags.optimizer == "sgd" else 0.0 for kind in kinds}


def activation(name: str) -> str | Callable:
    """The activation of a flag: a name, or the function that `MODULE:FUNCTION` stands for.

    Raises:
        UsageError: If the module has no such function, or its bounds are not known.
    """
    module_name, colon, function_name = name.partition(":")
    if not colon:
        return name
    module = importlib.import_module(module_name)
    function = getattr(module, function_name, None)
    if not callable(function):
        raise UsageError(
            f"--activation={name}: the module has no function {function_name}"
            f"{nearest(function_name, vars(module))}"
        )
    try:
        activations.bounds(function)
    except ValueError as error:
        raise UsageError(f"--activation={name}: {error}") from None
    return function


class CrossEntropy(keras.losses.Loss):
    """Of labels that are numbers, and logits.

    Args:
        label_smoothing: Part of each label that is spread over all classes.
    """

    def __init__(self, label_smoothing: float = 0.0):
        super().__init__(name="cross_entropy")
        self.label_smoothing = label_smoothing

    def call(self, labels: Any, logits: Any) -> Any:
        """Of every example."""
        if not self.label_smoothing:
            return keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
        targets = keras.ops.one_hot(keras.ops.cast(labels, "int32"), logits.shape[-1])
        return keras.losses.categorical_crossentropy(
            targets, logits, from_logits=True, label_smoothing=self.label_smoothing
        )


def set_loss(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer | None,
    label_smoothing: float = 0.0,
) -> list[keras.metrics.Metric]:
    """Compiles a network with the cross-entropy, and that and the accuracy as metrics.

    Args:
        model: The network.
        optimizer: None for one that is not trained.
        label_smoothing: Of the loss, not of the metrics.

    Returns:
        All metrics; Keras knows those but the loss after the first batch alone.
    """
    # The metric is the cross-entropy alone; Keras' loss holds the weight penalties too.
    metrics = [
        keras.metrics.SparseCategoricalCrossentropy(from_logits=True, name="cross_entropy"),
        keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
    ]
    model.compile(optimizer, CrossEntropy(label_smoothing), metrics=metrics)
    return [*model.metrics, *metrics]


def operations_per_image(model: keras.Model) -> int:
    """Multiplications and additions of a forward pass, two for each weight and position.

    Of convolutions and dense layers alone; what meets padding is counted, too.
    """
    return sum(
        2 * math.prod(step.kernel.shape) * math.prod(layer.output.shape[1:-1])
        for layer in model.layers
        for step in _steps(layer)
        if hasattr(step, "kernel")
    )


def _steps(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    if isinstance(layer, keras.layers.MultiHeadAttention):
        # Its projections, one for each token.
        return [layer.query_dense, layer.key_dense, layer.value_dense, layer.output_dense]
    return getattr(layer, "steps", [layer])
