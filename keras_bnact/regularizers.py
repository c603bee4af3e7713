"""Weight decay in the paper's sense."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_bnact")
class WeightDecay(keras.regularizers.Regularizer):
    """The penalty `weight_decay / 2 * sum(x ** 2)`, whose gradient is `weight_decay * x`.

    `keras.regularizers.L2(l)` is `l * sum(x ** 2)`, with twice the gradient, and
    `keras.optimizers.SGD(weight_decay=...)` is decoupled decay: neither is the weight
    decay of the paper's tables.

    Args:
        weight_decay: Coefficient of the gradient, finite and not negative.

    Call arguments:
        x: Parameter of any shape.

    Returns:
        The penalty, a scalar.

    Raises:
        ValueError: If `weight_decay` is negative or not finite.

    Example:

    >>> from keras_bnact.regularizers import WeightDecay
    >>> float(WeightDecay(0.1)([3.0, 4.0]))
    1.25

    Reference: "weight decay regularization" of section 2 of the paper.
    """

    def __init__(self, weight_decay: float):
        if not 0.0 <= weight_decay < float("inf"):
            raise ValueError(f"weight_decay must be finite and at least 0; got {weight_decay}.")
        self.weight_decay = float(weight_decay)

    def __call__(self, x: Any) -> Any:
        return 0.5 * self.weight_decay * ops.sum(ops.square(x))

    def get_config(self) -> dict[str, Any]:
        return {"weight_decay": self.weight_decay}
