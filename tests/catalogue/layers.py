"""One model for each of Keras' weight layers and wrappers."""

import keras
import numpy as np
from keras import layers

from catalogue import Row, case, stack
from keras_bnact.layers import DynamicTanh

TANH = {"activation": "tanh", "name": "hidden"}
NORMALIZED = {"hidden": Row(g="norm")}
PLAIN = {"hidden": Row()}


def norm(**keywords):
    return layers.BatchNormalization(name="norm", **keywords)


@case(NORMALIZED)
def dense():
    return stack((6,), layers.Dense(5, **TANH), norm(), layers.Dense(2))


@case(NORMALIZED)
def einsum_dense():
    layer = layers.EinsumDense("abc,cd->abd", (None, 5), bias_axes="d", **TANH)
    return stack((4, 3), layer, norm())


@case(NORMALIZED)
def conv1d():
    return stack((9, 3), layers.Conv1D(4, 3, **TANH), norm())


@case(NORMALIZED)
def conv2d():
    return stack(
        (8, 8, 3), layers.Conv2D(4, 3, strides=2, **TANH), norm(), layers.Flatten(), layers.Dense(2)
    )


@case(NORMALIZED)
def conv3d():
    return stack((5, 5, 5, 2), layers.Conv3D(4, 3, **TANH), norm())


@case(NORMALIZED)
def conv1d_transpose():
    return stack((5, 3), layers.Conv1DTranspose(4, 3, strides=2, **TANH), norm())


@case(NORMALIZED)
def conv2d_transpose():
    return stack((4, 4, 3), layers.Conv2DTranspose(4, 3, strides=2, **TANH), norm())


@case(NORMALIZED)
def conv3d_transpose():
    return stack((3, 3, 3, 2), layers.Conv3DTranspose(4, 2, **TANH), norm())


@case(NORMALIZED)
def depthwise_conv1d():
    return stack((9, 3), layers.DepthwiseConv1D(3, depth_multiplier=2, **TANH), norm())


@case(NORMALIZED)
def depthwise_conv2d():
    return stack((8, 8, 3), layers.DepthwiseConv2D(3, **TANH), norm())


@case(NORMALIZED)
def separable_conv1d():
    return stack((9, 3), layers.SeparableConv1D(4, 3, **TANH), norm())


@case(NORMALIZED)
def separable_conv2d():
    return stack((8, 8, 3), layers.SeparableConv2D(4, 3, **TANH), norm())


def tokens(rng, n):
    return rng.integers(0, 10, (n, 6))


@case(NORMALIZED, inputs=tokens)
def embedding():
    embedded = layers.Embedding(10, 4, embeddings_initializer="normal")
    return stack((6,), embedded, layers.Conv1D(4, 3, **TANH), norm(), dtype="int32")


@case({"hidden": Row(g="norm", weights="embedding")}, inputs=tokens)
def embedding_alone():
    embedded = layers.Embedding(10, 4, embeddings_initializer="normal", name="embedding")
    return stack((6,), embedded, layers.Activation("tanh", name="hidden"), norm(), dtype="int32")


@case(PLAIN, left_out=["lstm"])
def lstm():
    return stack((6, 3), layers.LSTM(4, name="lstm"), layers.Dense(5, **TANH))


@case(PLAIN, left_out=["gru"])
def gru():
    return stack((6, 3), layers.GRU(4, name="gru"), layers.Dense(5, **TANH))


@case(NORMALIZED, left_out=["rnn"])
def simple_rnn():
    rnn = layers.SimpleRNN(4, return_sequences=True, name="rnn")
    return stack((6, 3), rnn, layers.Conv1D(5, 3, **TANH), norm())


@case(PLAIN, left_out=["rnn"])
def stacked_cells():
    rnn = layers.RNN([layers.LSTMCell(4), layers.GRUCell(3)], name="rnn")
    return stack((6, 3), rnn, layers.Dense(5, **TANH))


@case(PLAIN, left_out=["both/forward_lstm", "both/backward_lstm"])
def bidirectional():
    both = layers.Bidirectional(layers.LSTM(4, name="lstm"), name="both")
    return stack((6, 3), both, layers.Dense(5, **TANH))


@case(NORMALIZED, left_out=["rnn"])
def conv_lstm1d():
    rnn = layers.ConvLSTM1D(3, 2, return_sequences=True, name="rnn")
    return stack((4, 6, 2), rnn, layers.Conv2D(4, 1, **TANH), norm())


@case(NORMALIZED, left_out=["rnn"])
def conv_lstm2d():
    rnn = layers.ConvLSTM2D(3, 2, name="rnn")
    return stack((4, 5, 5, 2), rnn, layers.Conv2D(4, 3, **TANH), norm())


@case(NORMALIZED, left_out=["rnn"])
def conv_lstm3d():
    rnn = layers.ConvLSTM3D(3, 2, name="rnn")
    return stack((3, 4, 4, 4, 2), rnn, layers.Conv3D(4, 2, **TANH), norm())


@case(PLAIN, left_out=["distributed"])
def time_distributed():
    distributed = layers.TimeDistributed(layers.Dense(4, activation="tanh"), name="distributed")
    return stack((6, 3), distributed, layers.Flatten(), layers.Dense(5, **TANH))


@case({"spectral/hidden": Row(g="norm")})
def spectral_normalization():
    wrapped = layers.SpectralNormalization(layers.Conv2D(4, 3, **TANH), name="spectral")
    return stack((8, 8, 3), wrapped, norm())


@case({"hidden": Row(g="norm", weights="attention_output")})
def multi_head_attention():
    inputs = keras.Input((6, 4))
    x = layers.MultiHeadAttention(2, 3, name="attention")(inputs, inputs)
    return keras.Model(inputs, norm()(layers.Activation("tanh", name="hidden")(x)))


@case({"hidden": Row(g="norm", weights="attention_output")})
def group_query_attention():
    inputs = keras.Input((6, 4))
    x = layers.GroupQueryAttention(3, 4, 2, name="attention")(inputs, inputs)
    return keras.Model(inputs, norm()(layers.Activation("tanh", name="hidden")(x)))


@case(NORMALIZED)
def attention():
    inputs = keras.Input((6, 4))
    x = layers.Attention(use_scale=True)([inputs, inputs])
    x = layers.AdditiveAttention()([x, inputs])
    return keras.Model(inputs, norm()(layers.Dense(5, **TANH)(x)))


@case({"hidden": Row(g="norm", weights="conv")})
def layer_normalization():
    return stack(
        (8, 3), layers.Conv1D(4, 3, name="conv"), layers.Activation("tanh", name="hidden"), norm(),
        layers.LayerNormalization(),
    )  # fmt: skip


@case({"hidden": Row(weights=None)})
def layer_normalization_before():
    return stack(
        (8, 3),
        layers.Conv1D(4, 3),
        layers.LayerNormalization(),
        layers.Activation("tanh", name="hidden"),
    )


@case({"hidden": Row(weights=None)})
def group_normalization():
    tanh = layers.Activation("tanh", name="hidden")
    return stack((8, 8, 3), layers.Conv2D(4, 3), layers.GroupNormalization(2), tanh)


@case({"hidden": Row(weights=None)})
def rms_normalization():
    tanh = layers.Activation("tanh", name="hidden")
    return stack((8,), layers.Dense(4), layers.RMSNormalization(), tanh, layers.UnitNormalization())


@case({"hidden": Row(weights="conv", g=lambda o: o["hidden"])})
def normalization_before():
    tanh = layers.Activation("tanh", name="hidden")
    return stack((8, 8, 3), layers.Conv2D(4, 3, name="conv"), norm(), tanh)


@case({"hidden": Row(bounds=None, weights="conv", g="norm")})
def prelu():
    prelu = layers.PReLU(shared_axes=[1, 2], name="hidden")
    return stack((8, 8, 3), layers.Conv2D(4, 3, name="conv"), prelu, norm())


@case({
    "relu": Row(bounds=None, weights="conv"),
    "leaky": Row(bounds=None, weights=None),
    "elu": Row(bounds=None, weights=None),
})  # fmt: skip
def activation_layers():
    leaky, elu = layers.LeakyReLU(name="leaky"), layers.ELU(name="elu")
    return stack(
        (8, 3),
        layers.Conv1D(4, 3, name="conv"),
        layers.ReLU(name="relu"),
        layers.Rescaling(2.0, -1.0),
        leaky,
        elu,
    )


def inner_tanh(outputs):
    alpha = np.float64(keras.ops.convert_to_numpy(outputs.layer("dyt").alpha))
    return np.tanh(alpha * outputs["sum"])


@case({"dyt": Row(a=inner_tanh, weights=None)})
def dynamic_tanh():
    inputs = keras.Input((4, 6))
    x = layers.Add(name="sum")([inputs, layers.Dense(6)(inputs)])
    return keras.Model(inputs, layers.Dense(2)(DynamicTanh(name="dyt")(x)))


@case(NORMALIZED, inputs=lambda rng, n: rng.uniform(0, 255, (n, 8, 8, 3)).astype("float32"))
def preprocessing():
    normalized = layers.Normalization(mean=[120.0, 100.0, 90.0], variance=[60.0, 70.0, 80.0])
    steps = [
        layers.Rescaling(1.0),
        normalized,
        layers.RandomFlip(),
        layers.Conv2D(4, 3, **TANH),
        norm(),
    ]
    return stack((8, 8, 3), *steps)


@case(PLAIN, inputs=lambda rng, n: rng.integers(0, 3, (n, 4)))
def category_encoding():
    encoded = layers.CategoryEncoding(3, output_mode="count")
    return stack((4,), encoded, layers.Dense(5, **TANH), dtype="int32")
