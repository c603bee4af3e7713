"""Gradients by the backend's own means, to compare ours with."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops


def gradients(
    function: Callable, tensors: Sequence[Any], variables: Sequence[keras.Variable] = ()
) -> list[np.ndarray]:
    """Of a function that returns a scalar, by the tensors that it takes and by variables.

    What it does to other variables is undone.
    """
    values = [variable.value for variable in variables]
    flat = [*map(ops.convert_to_tensor, tensors), *values]

    def scalar(*flat):
        own, values = flat[: len(tensors)], flat[len(tensors) :]
        with keras.StatelessScope(zip(variables, values, strict=True), collect_losses=True):
            return function(*own)

    found = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[keras.backend.backend()]
    return [ops.convert_to_numpy(gradient) for gradient in found(scalar, flat)]


def _tensorflow(scalar, flat):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(flat)
        loss = scalar(*flat)
    return tape.gradient(loss, flat)


def _jax(scalar, flat):
    import jax

    return jax.grad(scalar, argnums=range(len(flat)))(*flat)


def _torch(scalar, flat):
    import torch

    flat = [tensor.detach().clone().requires_grad_() for tensor in flat]
    return torch.autograd.grad(scalar(*flat), flat)
