"""A small vision transformer, normalized by LayerNorm or by a bounded activation."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_bnact.layers import DynamicTanh
from keras_bnact.models.blocks import KERNEL_INITIALIZER, Blocks

# Patches a side, units of a token and heads, and what its hidden units are of those.
PATCHES, UNITS, HEADS, RATIO = 8, 192, 3, 2
# Normalization: the model's name.
NAMES = {"layer_normalization": "vit_layernorm", "dynamic_tanh": "vit_dyt"}


@keras.saving.register_keras_serializable("keras_bnact")
class PositionEmbedding(keras.layers.Layer):
    """Adds to every token a vector of its place, which is trained.

    Args:
        embeddings_initializer: Of the vectors. Default: normal with a standard deviation of 0.02.
        **kwargs: `name`, `dtype`, `trainable`.

    Call arguments:
        inputs: Float tensor of shape `(batch, tokens, units)`.

    Returns:
        A tensor of the same shape.

    Example:

    >>> import numpy as np
    >>> from keras_bnact.models.vit import PositionEmbedding
    >>> float(PositionEmbedding("ones")(np.ones((1, 4, 2)))[0, 0, 0])
    2.0
    """

    def __init__(self, embeddings_initializer: Any = None, **kwargs: Any):
        super().__init__(**kwargs)
        if embeddings_initializer is None:
            embeddings_initializer = keras.initializers.RandomNormal(stddev=0.02)
        self.embeddings_initializer = keras.initializers.get(embeddings_initializer)

    def build(self, input_shape: Any) -> None:
        self.embeddings = self.add_weight(
            tuple(input_shape[1:]), initializer=self.embeddings_initializer, name="embeddings"
        )

    def call(self, inputs: Any) -> Any:
        return inputs + ops.cast(self.embeddings, inputs.dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        initializer = keras.initializers.serialize(self.embeddings_initializer)
        return {**super().get_config(), "embeddings_initializer": initializer}


def ViT(
    normalization: str = "layer_normalization",
    depth: int = 6,
    activation: str | Callable = "tanh",
    width: float = 1.0,
    classes: int = 10,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    kernel_initializer: Any = KERNEL_INITIALIZER,
    bias_initializer: Any = "zeros",
    weight_decay: float = 0.0,
    gamma_weight_decay: float | None = None,
    beta_weight_decay: float | None = None,
    epsilon: float = 1e-5,
    preprocessing: keras.layers.Layer | None = None,
    name: str | None = None,
) -> keras.Model:
    """A vision transformer of 64 tokens, without batch normalization.

    An image is 8 x 8 patches, each a token of `192 * width` units. A layer of it is
    `x + attention(norm(x))` and then `x + out(mlp(norm(x)))`, with three heads, where `mlp` is a
    `BoundedBlock` in the order `"nobn"` of twice as many units, and `norm` either
    LayerNormalization or `DynamicTanh`, a bounded activation in its place. The mean of the
    normalized tokens goes to the logits.

    Layers: `patches`, `tokens`, `positions`; of every layer from 1 on `norm1a`, `attention1`,
    `add1a`, `norm1b`, `mlp1`, `out1`, `add1b`; `last`, `global_pool`, `logits`.

    Args:
        normalization: `"layer_normalization"` (default) or `"dynamic_tanh"`.
        depth: Number of layers. Default 6.
        activation: Of the hidden units, as in `BoundedBlock`. Default `"tanh"`.
        width: Factor on the units of a token, to the nearest multiple of the heads. Default 1.
        classes: Number of logits. Default 10.
        input_shape: Of images whose side is a multiple of 8. Default (32, 32, 3).
        kernel_initializer, bias_initializer: As in `VGG16`.
        weight_decay, gamma_weight_decay, beta_weight_decay: As in `VGG16`; gamma and beta are
            those of the normalization. Positions, and `DynamicTanh`'s alpha, have none.
        epsilon: Of LayerNormalization. Default 1e-5.
        preprocessing: As in `VGG16`.
        name: The model's name, by default `"vit_layernorm"` or `"vit_dyt"`.

    Returns:
        A `keras.Model` from images to logits of shape `(batch, classes)`, float32 under
        mixed precision too.

    Raises:
        ValueError: For another normalization, a side that is no multiple of 8, or a wrong block
            argument.

    Example:

    >>> from keras_bnact.models import ViT
    >>> ViT("dynamic_tanh", depth=1, width=0.25).get_layer("mlp1").output.shape
    (None, 64, 96)

    Reference: Dosovitskiy et al., arXiv:2010.11929; "Transformers without Normalization" (CVPR
    2025). Not of the paper.
    """
    if normalization not in NAMES:
        raise ValueError(f"normalization is {' or '.join(NAMES)}; got {normalization!r}.")
    if any(side % PATCHES for side in input_shape[:2]):
        raise ValueError(
            f"ViT takes images whose sides are multiples of {PATCHES} pixels; got "
            f"input_shape={tuple(input_shape)}."
        )
    blocks = Blocks(
        activation=activation,
        order="nobn",
        width=width,
        kernel_initializer=kernel_initializer,
        bias_initializer=bias_initializer,
        weight_decay=weight_decay,
        gamma_weight_decay=gamma_weight_decay,
        beta_weight_decay=beta_weight_decay,
        momentum=0.0,
        epsilon=epsilon,
        synchronized=False,
    )
    # Whose units are given, since heads share them evenly.
    blocks = dataclasses.replace(blocks, width=1.0)
    units = HEADS * max(1, round(UNITS * width / HEADS))
    patch = tuple(side // PATCHES for side in input_shape[:2])

    def norm(name: str) -> keras.layers.Layer:
        if normalization == "dynamic_tanh":
            return DynamicTanh(**blocks.scale_and_shift, name=name)
        return keras.layers.LayerNormalization(epsilon=epsilon, **blocks.scale_and_shift, name=name)

    inputs = keras.Input(input_shape, name="images")
    x = inputs if preprocessing is None else preprocessing(inputs)
    x = blocks.bare_conv(units, patch, patch, name="patches")(x)
    x = keras.layers.Reshape((PATCHES**2, units), name="tokens")(x)
    x = PositionEmbedding(name="positions")(x)
    for number in range(1, depth + 1):
        y = norm(f"norm{number}a")(x)
        y = blocks.attention(HEADS, units, name=f"attention{number}")(y, y)
        x = keras.layers.Add(name=f"add{number}a")([x, y])
        y = norm(f"norm{number}b")(x)
        y = blocks.dense(RATIO * units, normalized=False, name=f"mlp{number}")(y)
        y = blocks.bare_dense(units, name=f"out{number}")(y)
        x = keras.layers.Add(name=f"add{number}b")([x, y])
    x = norm("last")(x)
    x = keras.layers.GlobalAveragePooling1D(name="global_pool")(x)
    return keras.Model(inputs, blocks.logits(classes)(x), name=name or NAMES[normalization])
