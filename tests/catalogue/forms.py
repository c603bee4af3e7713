"""Forms that a model can take: data formats, types, nesting, inputs and outputs, states, masks."""

import warnings

import keras
import numpy as np
from keras import layers, ops

from catalogue import Row, case, stack
from keras_bnact import BoundedBlock
from keras_bnact.models import VGG16, MobileNet

TANH = {"activation": "tanh", "name": "hidden"}
NORMALIZED = {"hidden": Row(g="norm")}
PLAIN = {"hidden": Row()}


def norm(**keywords):
    return layers.BatchNormalization(name="norm", **keywords)


def tanh(name="hidden"):
    return layers.Activation("tanh", name=name)


# Data formats.
@case({"hidden": Row(axis=1)})
def channels_first():
    return stack(
        (3, 8, 8), layers.Conv2D(4, 3, data_format="channels_first", **TANH), layers.Flatten()
    )


@case({"hidden": Row(g="norm", axis=1)})
def channels_first_normalized():
    conv = layers.Conv2D(4, 3, data_format="channels_first", **TANH)
    return stack((3, 8, 8), conv, layers.BatchNormalization(1, name="norm"))


@case({"hidden": Row(axis=1, weights=None)})
def channels_first_through_add():
    inputs = keras.Input((3, 8, 8))
    x = layers.Conv2D(3, 3, padding="same", data_format="channels_first")(inputs)
    return keras.Model(inputs, tanh()(layers.Dropout(0.3)(layers.Add()([x, inputs]))))


@case({"hidden": Row(axis=1)})
def channels_first_volume():
    return stack((2, 4, 4, 4), layers.Conv3D(3, 2, data_format="channels_first", **TANH))


@case({"hidden": Row(axis=1), "last": Row()})
def channels_in_both_places():
    return stack(
        (3, 8),
        layers.Conv1D(4, 3, data_format="channels_first", **TANH),
        layers.Permute((2, 1)),
        layers.Conv1D(5, 3, activation="tanh", name="last"),
    )


@case({"hidden": Row(axis=1, weights=None)}, channel_axis=1)
def channels_told_by_the_caller():
    inputs = keras.Input((3, 8))
    x = layers.Conv1D(3, 1, data_format="channels_first")(inputs)
    return keras.Model(inputs, tanh()(layers.Reshape((3, 8))(layers.Flatten()(x))))


# Types. The last layer is small, so that the scaled gradients of a loss stay within float16.
def mixed():
    small = keras.initializers.RandomNormal(stddev=0.01)
    return stack(
        (8, 8, 3),
        layers.Conv2D(4, 3, **TANH),
        norm(),
        layers.Flatten(),
        layers.Dense(2, kernel_initializer=small),
    )


case(NORMALIZED, policy="mixed_float16", name="mixed_float16")(mixed)
case(NORMALIZED, policy="mixed_bfloat16", name="mixed_bfloat16")(mixed)
case(NORMALIZED, policy="float64", name="float64")(mixed)
case(NORMALIZED, policy="bfloat16", name="bfloat16")(mixed)


def quantize(model):
    with warnings.catch_warnings():
        # Of the input layer, which has nothing to quantize.
        warnings.simplefilter("ignore")
        model.quantize("int8")


@case(PLAIN)
def quantized_int8():
    model = stack((6,), layers.Dense(5, **TANH), layers.Dense(2))
    quantize(model)
    return model


@case(PLAIN)
def low_rank_adaptation():
    model = stack((6,), layers.Dense(5, **TANH), layers.Dense(2))
    model.get_layer("hidden").enable_lora(2)
    return model


@case(PLAIN)
def low_rank_adaptation_quantized():
    model = stack((6,), layers.Dense(5, **TANH), layers.Dense(2))
    model.get_layer("hidden").enable_lora(2)
    quantize(model)
    return model


# Nesting and sharing.
@case({"outer/inner/hidden": Row(g="norm")})
def nested():
    inner = stack((8, 8, 3), layers.Conv2D(4, 3, **TANH), norm())
    inner.name = "inner"
    outer = keras.Sequential(
        [keras.Input((8, 8, 3)), inner, layers.ReLU(max_value=0.0)], name="outer"
    )
    outer.pop()
    return stack((8, 8, 3), outer, layers.Flatten(), layers.Dense(2))


@case({"hidden": Row(g="norm"), "hidden#2": Row(a="hidden#2", g="norm#2", weights="hidden")})
def shared():
    inputs = keras.Input((6, 4))
    conv, normalization = layers.Conv1D(4, 3, padding="same", **TANH), norm()
    return keras.Model(inputs, normalization(conv(normalization(conv(inputs)))))


@case({"tower/hidden": Row(g="norm"),
       "tower/hidden#2": Row(a="hidden#2", g="norm#2", weights="hidden")})  # fmt: skip
def siamese():
    tower = keras.Sequential([keras.Input((6,)), layers.Dense(4, **TANH), norm()], name="tower")
    left, right = keras.Input((6,)), keras.Input((6,))
    distance = ops.mean(ops.square(tower(left) - tower(right)), axis=1, keepdims=True)
    return keras.Model([left, right], distance)


# Inputs and outputs.
@case({"one": Row(g="norm"), "other": Row()})
def several_inputs_and_outputs():
    a, b = keras.Input((6,), name="a"), keras.Input((3,), name="b")
    one = norm()(layers.Dense(4, activation="tanh", name="one")(a))
    other = layers.Dense(4, activation="softsign", name="other")(layers.Concatenate()([one, b]))
    return keras.Model([a, b], [layers.Dense(2)(one), layers.Dense(1)(other)])


@case(NORMALIZED)
def named_inputs_and_outputs():
    # Not in the order of the alphabet, in which some backends take them and others do not.
    inputs = {"b": keras.Input((6,), name="b"), "a": keras.Input((3,), name="a")}
    x = norm()(layers.Dense(4, **TANH)(layers.Concatenate()([inputs["b"], inputs["a"]])))
    outputs = {"z": layers.Dense(2, name="z")(x), "y": layers.Dense(1, name="y")(x)}
    return keras.Model(inputs, outputs)


@case(NORMALIZED, left_out=["OptionalSum"])
def optional_input():
    a, b = keras.Input((6,), name="a"), keras.Input((6,), name="b", optional=True)
    x = OptionalSum()(a, b)
    return keras.Model([a, b], norm()(layers.Dense(4, **TANH)(x)))


@keras.saving.register_keras_serializable("catalogue")
class OptionalSum(layers.Layer):
    def call(self, a, b=None):
        return a if b is None else a + b


@case({"hidden": Row(weights="conv")})
def residual():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same", name="conv")(inputs)
    x = tanh()(x)
    y = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(x))
    return keras.Model(inputs, layers.GlobalAveragePooling2D()(layers.Add()([x, y])))


# Classes of one's own.
@keras.saving.register_keras_serializable("catalogue")
class OwnModel(keras.Model):
    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.conv = layers.Conv1D(4, 3, **TANH)
        self.norm = norm()
        self.block = BoundedBlock(layers.Dense(5), "lecun_tanh", name="block")
        self.head = layers.Dense(2)

    def call(self, inputs, training=None):
        x = ops.mean(self.norm(self.conv(inputs), training=training), axis=1)
        return self.head(self.block(x, training=training))


LECUN = (-1.7159, 1.7159)


@case(
    {"hidden": Row(g="norm"), "block": Row(a=lambda o: lecun_tanh(o["dense"]), g="block",
                                           weights="dense", bounds=LECUN)},
    inputs=lambda rng, n: rng.normal(size=(n, 9, 3)).astype("float32"),
    left_out=["OwnModel"],
)  # fmt: skip
def subclassed():
    model = OwnModel()
    model(np.zeros((1, 9, 3)))
    return model


def lecun_tanh(x):
    return 1.7159 * np.tanh(2 / 3 * x)


@keras.saving.register_keras_serializable("catalogue")
class OwnBlock(layers.Layer):
    def __init__(self, units=4, **keywords):
        super().__init__(**keywords)
        self.units = units
        self.dense = layers.Dense(units, name="linear")
        self.tanh = tanh()
        self.norm = norm()

    def build(self, input_shape):
        self.dense.build(input_shape)
        self.norm.build((*input_shape[:-1], self.units))

    def call(self, inputs, training=None):
        return self.norm(self.tanh(self.dense(inputs)), training=training)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@case({"own/hidden": Row(g="norm", weights="linear")}, left_out=["OwnBlock"])
def layer_of_ones_own():
    return stack((6,), OwnBlock(name="own"), layers.Dense(2))


@keras.saving.register_keras_serializable("catalogue")
class Looking(keras.Model):
    """Reads a value, which no graph has."""

    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.hidden, self.norm, self.head = layers.Dense(5, **TANH), norm(), layers.Dense(2)

    def call(self, inputs, training=None):
        x = self.hidden(inputs)
        assert ops.convert_to_numpy(x).shape == x.shape
        return self.head(self.norm(x, training=training))


@case(
    NORMALIZED,
    run_eagerly=True,
    inputs=lambda rng, n: rng.normal(size=(n, 6)).astype("float32"),
    left_out=["Looking"],
    refused={
        # Keras cannot build such a model again.
        ("save_and_load", "tensorflow"): "'looking' is not built",
        ("save_and_load", "jax"): "'looking' is not built",
        # Nor train it.
        ("measure_gradients", "jax"): "The model reads values of its tensors",
        ("fit", "jax"): "Unable to automatically build the model",
    },
)
def run_eagerly():
    model = Looking(name="looking")
    model(np.zeros((1, 6)))
    return model


# Functions in a functional model.
@case(
    {
        "tanh": Row(a=lambda o: np.tanh(o["conv"]), g="norm", weights="conv"),
        "sigmoid": Row(a=lambda o: 1 / (1 + np.exp(-o["norm"])), bounds=(0.0, 1.0), weights=None),
    },
    deep=True,
)
def functions():  # fmt: skip
    inputs = keras.Input((8, 3))
    x = norm()(ops.tanh(layers.Conv1D(4, 3, name="conv")(inputs)))
    return keras.Model(inputs, ops.mean(keras.activations.sigmoid(x), axis=1))


# Bounds.
@case({
    "sigmoid": Row(bounds=(0.0, 1.0)),
    "hard_sigmoid": Row(bounds=(0.0, 1.0)),
    "softsign": Row(),
    "hard_tanh": Row(),
    "relu6": Row(bounds=None),
    "tanh_shrink": Row(bounds=None),
}, deep=True)  # fmt: skip
def bounds_of_every_kind():
    names = ("sigmoid", "hard_sigmoid", "softsign", "hard_tanh", "relu6", "tanh_shrink")
    return stack((6,), *(layers.Dense(5, activation=name, name=name) for name in names))


# Our block in each order.
@case({"block": Row(a=lambda o: np.tanh(o["conv"]), g="block", weights="conv")})
def block_swap():
    return stack((8, 8, 3), BoundedBlock(layers.Conv2D(4, 3, name="conv"), "tanh", name="block"))


@case({"block": Row(a="block", weights="conv")})
def block_convention():
    conv = layers.Conv2D(4, 3, name="conv")
    return stack((8, 8, 3), BoundedBlock(conv, "softsign", "convention", name="block"))


@case({"block": Row(a="block", weights="dense", bounds=LECUN)})
def block_nobn():
    block = BoundedBlock(layers.Dense(4, name="dense"), "lecun_tanh", "nobn", name="block")
    return stack((8,), block)


# What is random in training alone.
@case({"hidden": Row(g="norm")})
def dropout_between():
    return stack(
        (6,), layers.Dense(5, **TANH), layers.Dropout(0.5), norm(), layers.GaussianNoise(0.1)
    )


@keras.saving.register_keras_serializable("catalogue")
class AlwaysDropping(keras.Model):
    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.hidden, self.drop, self.norm = layers.Dense(5, **TANH), layers.Dropout(0.5), norm()

    def call(self, inputs, training=None):
        return self.norm(self.drop(self.hidden(inputs), training=True), training=training)


@case(PLAIN, inputs=lambda rng, n: rng.normal(size=(n, 6)).astype("float32"),
      left_out=["AlwaysDropping"])  # fmt: skip
def dropout_at_inference():
    model = AlwaysDropping()
    model(np.zeros((1, 6)))
    return model


# States and fixed sizes.
@case(
    PLAIN,
    batch=4,
    examples=12,
    left_out=["lstm"],
    refused={
        "two_replicas": "states for 4 examples on each of 2 replicas",
        # Keras does not train it.
        ("fit", "torch"): "has been modified by an inplace operation",
    },
)
def stateful():
    lstm = layers.LSTM(3, stateful=True, name="lstm")
    return stack(None, lstm, layers.Dense(5, **TANH), batch_shape=(4, 6, 2))


@case(NORMALIZED, batch=4, examples=12)
def fixed_batch_size():
    return stack(None, layers.Dense(5, **TANH), norm(), batch_shape=(4, 6))


# Padding.
def padded(rng, n):
    tokens = rng.integers(1, 10, (n, 7))
    for row, length in enumerate(rng.integers(1, 8, n)):
        tokens[row, length:] = 0
    return tokens


def unpadded(x):
    return x != 0


@case(
    {"hidden": Row(g="norm", keep=unpadded)},
    inputs=padded,
    left_out=["lstm", "padding in hidden"],
)
def masked():
    return stack(
        (7,),
        layers.Embedding(10, 4, mask_zero=True, embeddings_initializer="normal"),
        layers.LSTM(3, return_sequences=True, name="lstm"),
        layers.Dense(4, **TANH),
        norm(),
        layers.GlobalAveragePooling1D(),
        dtype="int32",
    )


# The paper's networks.
def normalized_blocks(n):
    def rows(model):
        blocks = [layer for layer in model.layers if isinstance(layer, BoundedBlock)]
        blocks = [block for block in blocks if block.order != "nobn"]
        assert len(blocks) == n
        return {
            block.name: Row(
                a=lambda outputs, block=block: np.tanh(outputs[block.layer]),
                g=block.name,
                weights=block.layer,
            )
            for block in blocks
        }

    return rows


def images(rng, n):
    return rng.normal(size=(n, 32, 32, 3)).astype("float32")


@case(normalized_blocks(7), inputs=images, deep=True)
def paper_vgg16_8():
    return VGG16(8, width=0.1, input_shape=(32, 32, 3), classes=5)


@case(normalized_blocks(27), inputs=images, deep=True, slow=True)
def paper_mobilenet():
    return MobileNet(width=0.1, input_shape=(32, 32, 3), classes=5)
