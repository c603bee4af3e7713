"""MobileNet v1: Howard et al.'s depthwise separable network."""

from collections.abc import Callable
from typing import Any

import keras

from keras_bnact.models.blocks import KERNEL_INITIALIZER, Blocks, functional_model

STEM_FILTERS = 32

# Filters and stride of each pair of a depthwise 3x3 and a pointwise convolution.
PAIRS = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (1024, 2),
    (1024, 1),
)

# Images up to this side keep their size through the stem.
SMALL_IMAGE = 64


def MobileNet(
    activation: str | Callable = "tanh",
    order: str = "swap",
    width: float = 1.0,
    classes: int = 10,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    kernel_initializer: Any = KERNEL_INITIALIZER,
    bias_initializer: Any = "zeros",
    weight_decay: float = 0.0,
    gamma_weight_decay: float | None = None,
    beta_weight_decay: float | None = None,
    momentum: float = 0.9,
    epsilon: float = 1e-5,
    synchronized: bool = False,
    preprocessing: keras.layers.Layer | None = None,
    name: str = "mobilenet",
) -> keras.Model:
    """MobileNet v1 of `BoundedBlock`s, as published but for the stem's stride on small images.

    The stem has stride 2, and stride 1 up to 64 pixels. Every depthwise and every pointwise
    convolution is a block of its own.

    Layers: `conv1` (the stem), `depthwise1` and `pointwise1` to `depthwise13` and
    `pointwise13`, `global_pool`, `logits`.

    Args:
        activation, order, width, classes, input_shape: As in `VGG16`.
        kernel_initializer, bias_initializer: As in `VGG16`.
        weight_decay, gamma_weight_decay, beta_weight_decay: As in `VGG16`.
        momentum, epsilon, synchronized, preprocessing, name: As in `VGG16`.

    Returns:
        A `keras.Model` from images to logits of shape `(batch, classes)`, float32 under
        mixed precision too.

    Raises:
        ValueError: For a wrong block argument.

    Example:

    >>> from keras_bnact.models import MobileNet
    >>> MobileNet(width=0.25).get_layer("pointwise13").output.shape
    (None, 2, 2, 256)

    Reference: table 1 of the paper; Howard et al., arXiv:1704.04861.
    """
    blocks = Blocks(
        activation=activation,
        order=order,
        width=width,
        kernel_initializer=kernel_initializer,
        bias_initializer=bias_initializer,
        weight_decay=weight_decay,
        gamma_weight_decay=gamma_weight_decay,
        beta_weight_decay=beta_weight_decay,
        momentum=momentum,
        epsilon=epsilon,
        synchronized=synchronized,
    )
    stem_strides = 1 if min(input_shape[:2]) <= SMALL_IMAGE else 2
    layers = [blocks.conv(STEM_FILTERS, 3, stem_strides, name="conv1")]
    for number, (filters, strides) in enumerate(PAIRS, start=1):
        layers.append(blocks.depthwise(3, strides, name=f"depthwise{number}"))
        layers.append(blocks.conv(filters, 1, name=f"pointwise{number}"))
    layers += [keras.layers.GlobalAveragePooling2D(name="global_pool"), blocks.logits(classes)]
    return functional_model(layers, input_shape, preprocessing, name)
