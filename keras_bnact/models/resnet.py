"""He et al.'s residual networks for small images, with pre-activation."""

from collections.abc import Callable
from typing import Any

import keras

from keras_bnact.models.blocks import KERNEL_INITIALIZER, Blocks

# Filters of each stage; every stage but the first begins with stride 2.
STAGES = (16, 32, 64)


def ResNet(
    n: int = 20,
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
    name: str | None = None,
) -> keras.Model:
    """A residual network with `n` weight layers, in either order of normalization and activation.

    Its units are those of pre-activation, `x + out(conv(pre(x)))`: `pre` is normalization and
    activation alone, in the order of the blocks (`tanh(BN(x))` in `"convention"`,
    `BN(tanh(x))` in `"swap"`), `conv` is a `BoundedBlock` of a 3x3 convolution, `out` a bare 3x3
    convolution. So what shortcuts carry is a sum that nothing bounds. Where a unit changes the
    shape, `x` is a 1x1 convolution of `pre(x)`. After the last unit normalization and activation
    come once more.

    Layers: `stem`; of every unit from 1 on `pre1` and `pre1_normalization`, `conv1`, `out1`,
    `shortcut1` where there is one, `add1`; `last` and `last_normalization`, `global_pool`,
    `logits`.

    Args:
        n: Number of weight layers but for shortcuts, `6 * k + 2`: 20, 32, 44, 56 or 110, say.
            Default 20.
        activation, order, width, classes: As in `VGG16`.
        input_shape: Of images that are 32 or 64 pixels wide, say: three stages halve them twice.
            Default (32, 32, 3).
        kernel_initializer, bias_initializer: As in `VGG16`.
        weight_decay, gamma_weight_decay, beta_weight_decay: As in `VGG16`.
        momentum, epsilon, synchronized, preprocessing: As in `VGG16`.
        name: The model's name, by default `"resnet20"` and the like.

    Returns:
        A `keras.Model` from images to logits of shape `(batch, classes)`, float32 under
        mixed precision too.

    Raises:
        ValueError: For an `n` that is not `6 * k + 2` or a wrong block argument.

    Example:

    >>> from keras_bnact.models import ResNet
    >>> model = ResNet(20, order="convention", width=0.25)
    >>> model.get_layer("conv9").output.shape
    (None, 8, 8, 16)

    Reference: He et al., "Identity Mappings in Deep Residual Networks", arXiv:1603.05027, figure
    4e; the sizes are those of arXiv:1512.03385, section 4.2. Not of the paper.
    """
    if n < 8 or n % 6 != 2:
        raise ValueError(f"ResNet takes an n of 6 * k + 2, such as 20, 32, 44, 56 or 110; got {n}.")
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
    inputs = keras.Input(input_shape, name="images")
    x = inputs if preprocessing is None else preprocessing(inputs)
    x = blocks.bare_conv(STAGES[0], 3, name="stem")(x)
    number = 0
    for stage, filters in enumerate(STAGES):
        for unit in range(n // 6):
            number += 1
            strides = 2 if stage and not unit else 1
            x = _unit(blocks, x, filters, strides, number)
    x = blocks.pre_activation("last")(x)
    x = keras.layers.GlobalAveragePooling2D(name="global_pool")(x)
    return keras.Model(inputs, blocks.logits(classes)(x), name=name or f"resnet{n}")


def _unit(blocks: Blocks, x: Any, filters: int, strides: int, number: int) -> Any:
    before = blocks.pre_activation(f"pre{number}")(x)
    inside = blocks.conv(filters, 3, strides, name=f"conv{number}")(before)
    out = blocks.bare_conv(filters, 3, name=f"out{number}")(inside)
    if strides > 1:
        x = blocks.bare_conv(filters, 1, strides, name=f"shortcut{number}")(before)
    return keras.layers.Add(name=f"add{number}")([x, out])
