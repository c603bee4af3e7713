"""VGG16_n and VGG11: Simonyan and Zisserman's networks, with the paper's changes."""

from collections.abc import Callable
from typing import Any

import keras

from keras_bnact.models.blocks import KERNEL_INITIALIZER, Blocks, functional_model

# Filters of each stage's 3x3 convolutions; a 2x2 max pooling closes every stage.
VGG16_STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
VGG11_STAGES = ((64,), (128,), (256, 256), (512, 512), (512, 512))

# Largest image side: units of the two hidden dense layers, and whether they have
# batch normalization (caption of figure 9).
HIDDEN = {32: (512, True), 64: (512, False), 224: (4096, False)}

# What n counts beside the convolutions: two hidden dense layers and the logits.
DENSE_LAYERS = 3


def VGG16(
    n: int = 16,
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
    """The paper's VGG16_n: VGG16 without its last `16 - n` convolutions.

    A stage that loses all its convolutions loses its pooling too: VGG16_11 has 8
    convolutions in 4 stages. The hidden dense layers are `BoundedBlock`s of 512 units,
    with batch normalization up to 32 pixels and without up to 64, and of 4096 units
    without batch normalization above, all times `width`. There is no dropout.

    Layers: `conv1` to `conv13`, `pool1` to `pool5`, `flatten`, `fc1`, `fc2`, `logits`.

    NWDBN, the convention without weight decay on batch normalization, is
    `VGG16(11, order="convention", weight_decay=5e-4, gamma_weight_decay=0, beta_weight_decay=0)`.

    Args:
        n: Number of weight layers, 8 to 16. Default 16.
        activation: As in `BoundedBlock`. Default `"tanh"`.
        order: `"swap"` (default), `"convention"` or `"nobn"`. Weight layers have a bias
            except where batch normalization follows them directly.
        width: Factor on the numbers of filters and of hidden units. Default 1.
        classes: Number of logits. Default 10.
        input_shape: Height, width and channels; a side of at least 2 to the power of the
            number of stages. Default (32, 32, 3).
        kernel_initializer: Of all kernels, the logits' too: a name, a configuration or an
            initializer of Keras'. Default: uniform in `+-1 / sqrt(fan_in)`, which is
            `keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")` and PyTorch's
            default: in `"swap"` nothing but the initial weights keeps activations from
            being saturated when training begins. An initializer that is seeded with an
            integer gives layers of one shape the same weights.
        bias_initializer: Of all biases. Default `"zeros"`.
        weight_decay: Gradient per unit of weight of the penalty on kernels and biases (see
            `keras_bnact.regularizers.WeightDecay`). Default 0.
        gamma_weight_decay: The same for gamma. Default: `weight_decay`.
        beta_weight_decay: The same for beta. Default: `weight_decay`.
        momentum: Of batch normalization's moving statistics. Default 0.9.
        epsilon: Of batch normalization. Default 1e-5.
        synchronized: As in `BoundedBlock`. Default False.
        preprocessing: A layer applied to the images first, for example an adapted
            `keras.layers.Normalization`. Default None.
        name: The model's name, by default `"vgg16"` or `"vgg16_n"`.

    Returns:
        A `keras.Model` from images to logits of shape `(batch, classes)`, float32 under
        mixed precision too.

    Raises:
        ValueError: For an `n` outside 8 to 16, too small an image or a wrong block argument.

    Example:

    >>> from keras_bnact.models import VGG16
    >>> model = VGG16(11, order="swap", width=0.25)
    >>> model.output_shape
    (None, 10)

    Reference: section 2 and appendix A.6 of the paper; the hidden sizes are ours.
    """
    if n not in range(8, 17):
        raise ValueError(f"VGG16 takes an n from 8 to 16; got {n}.")
    return _vgg(
        _first_convolutions(VGG16_STAGES, n - DENSE_LAYERS),
        Blocks(
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
        ),
        classes,
        input_shape,
        preprocessing,
        name or ("vgg16" if n == 16 else f"vgg16_{n}"),
    )


def VGG11(
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
    name: str = "vgg11",
) -> keras.Model:
    """VGG11: 8 convolutions in 5 stages, else as `VGG16`.

    Args:
        activation, order, width, classes, input_shape: As in `VGG16`.
        kernel_initializer, bias_initializer: As in `VGG16`.
        weight_decay, gamma_weight_decay, beta_weight_decay: As in `VGG16`.
        momentum, epsilon, synchronized, preprocessing, name: As in `VGG16`.

    Returns:
        A `keras.Model` from images to logits of shape `(batch, classes)`.

    Raises:
        ValueError: For too small an image or a wrong block argument.

    Example:

    >>> from keras_bnact.models import VGG11
    >>> VGG11(width=0.25, classes=100).output_shape
    (None, 100)

    Reference: section 2 of the paper (64.55 and 69.94 on CIFAR-100).
    """
    return _vgg(
        VGG11_STAGES,
        Blocks(
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
        ),
        classes,
        input_shape,
        preprocessing,
        name,
    )


def _first_convolutions(stages, count):
    kept = []
    for stage in stages:
        kept.append(stage[:count])
        count -= len(kept[-1])
    return [stage for stage in kept if stage]


def _vgg(stages, blocks, classes, input_shape, preprocessing, name):
    side = min(input_shape[:2])
    if side < 2 ** len(stages):
        raise ValueError(
            f"{name} halves the image {len(stages)} times and needs at least "
            f"{2 ** len(stages)} pixels a side; got input_shape={tuple(input_shape)}."
        )
    units, normalized = next(
        (form for largest, form in HIDDEN.items() if side <= largest), HIDDEN[224]
    )
    layers = []
    convolutions = 0
    for number, stage in enumerate(stages, start=1):
        for filters in stage:
            convolutions += 1
            layers.append(blocks.conv(filters, 3, name=f"conv{convolutions}"))
        layers.append(keras.layers.MaxPooling2D(name=f"pool{number}"))
    layers += [
        keras.layers.Flatten(name="flatten"),
        blocks.dense(units, normalized=normalized, name="fc1"),
        blocks.dense(units, normalized=normalized, name="fc2"),
        blocks.logits(classes),
    ]
    return functional_model(layers, input_shape, preprocessing, name)
