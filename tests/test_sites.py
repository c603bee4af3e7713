"""Which layers `measure` finds, in models of every kind."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops
from oracle import DEEP, affine, as_float64, assert_measured, names, predict, randomize

from keras_bnact import BoundedBlock, measure
from keras_bnact.models import VGG16


def test_mobilenet_as_keras_makes_it(rng):
    model = keras.applications.MobileNet((32, 32, 3), alpha=0.25, weights=None)
    before = {id(layer): dict(vars(layer)) for layer in model._flatten_layers(include_self=False)}
    weights = model.get_weights()
    x = rng.normal(size=(9, 32, 32, 3)).astype("float32")
    measured = measure(model, x, batch_size=4)
    assert all(
        before[id(layer)] == vars(layer) for layer in model._flatten_layers(include_self=False)
    )
    relus = [layer.name for layer in model.layers if isinstance(layer, layers.ReLU)]
    assert [layer.name for layer in measured] == relus
    assert len(relus) == 27
    for name in (relus[0], relus[10], relus[-1]):
        a = predict(keras.Model(model.input, model.get_layer(name).output), x, 4)
        assert_measured(measured[name], a, bound=None, **DEEP)
    for old, new in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_vgg16_of_keras_with_tanh_put_in(rng):
    model = keras.applications.VGG16(weights=None, input_shape=(32, 32, 3), classes=5)
    x = rng.normal(size=(5, 32, 32, 3)).astype("float32")
    assert measure(model, x)["block1_conv1"].activation == "relu"
    for layer in model.layers:
        if getattr(layer, "activation", None) is keras.activations.relu:
            layer.activation = keras.activations.tanh
    measured = measure(model, x, batch_size=3)
    assert len(measured) == 15  # 13 convolutions, 2 dense layers; the softmax is left out.
    assert {layer.activation for layer in measured} == {"tanh"}
    for name in ("block1_conv1", "block5_conv3", "fc2"):
        # A new model, since Keras has compiled the old one's prediction with ReLU.
        a = predict(keras.Model(model.input, model.get_layer(name).output), x, 3)
        assert_measured(measured[name], a, **DEEP)


def test_nested_models(rng):
    inner = keras.Sequential(
        [
            keras.Input((6, 6, 4)),
            layers.Conv2D(4, 3, padding="same", activation="tanh", name="conv"),
            layers.BatchNormalization(name="norm"),
        ],
        name="inner",
    )
    inputs = keras.Input((6, 6, 4))
    outputs = layers.Dense(3, activation="softmax")(layers.Flatten()(inner(inner(inputs))))
    model = keras.Model(inputs, outputs)
    randomize(inner.get_layer("norm"), rng)
    x = rng.normal(size=(12, 6, 6, 4)).astype("float32")
    once, twice = measure(model, x, batch_size=5)
    # The shared layer gives a row for each call.
    assert (once.name, twice.name) == ("inner/conv", "inner/conv#2")
    conv, norm = inner.layers
    a = predict(keras.Sequential([inner.inputs[0], conv]), x, 5)
    assert_measured(once, a, affine(norm, a))
    a = predict(keras.Sequential([keras.Input((6, 6, 4)), inner, conv]), x, 5)
    assert_measured(twice, a, affine(norm, a))


@keras.saving.register_keras_serializable("tests")
class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.stem = BoundedBlock(layers.Conv1D(4, 3), "tanh", name="stem")
        self.hidden = layers.Dense(5, activation="softsign", name="hidden")
        self.norm = layers.BatchNormalization(name="norm")
        self.lists = [layers.LeakyReLU(name="leaky"), layers.Dense(2, name="logits")]

    def call(self, inputs):
        x = self.hidden(self.stem(inputs["signal"]))
        x = ops.mean(self.norm(x), axis=1)
        for layer in self.lists:
            x = layer(ops.tanh(x))
        return x


def test_subclassed_models_with_named_inputs(rng):
    model = Subclassed()
    x = {"signal": rng.normal(size=(14, 9, 3)).astype("float32")}
    model(x)
    randomize(model.stem.normalization, rng)
    randomize(model.norm, rng)
    stem, hidden, leaky = measure(model, x, batch_size=4)
    assert (stem.name, hidden.name, leaky.name) == ("stem", "hidden", "leaky")
    a = as_float64(model.stem.activation(model.stem.layer(x["signal"])))
    assert_measured(stem, a, affine(model.stem.normalization, a))
    a = as_float64(model.hidden(model.stem(x["signal"])))
    assert_measured(hidden, a, affine(model.norm, a))
    assert leaky.activation == "LeakyReLU"
    assert leaky.bound is None


def test_a_dense_layer_without_normalization_is_left_out_among_normalized_ones():
    model = VGG16(8, width=0.05, input_shape=(64, 64, 3))
    convolutions = [f"conv{i}" for i in range(1, 6)]
    assert names(model) == convolutions
    assert names(model, layers="*") == [*convolutions, "fc1", "fc2"]
    assert names(model, layers=["fc?", "conv1"]) == ["conv1", "fc1", "fc2"]
    # Without any normalization there is nothing that would set them apart.
    assert names(VGG16(8, order="nobn", width=0.05)) == [*convolutions, "fc1", "fc2"]


def test_channels_in_the_first_axis(rng):
    model = keras.Sequential(
        [keras.Input((3, 8)), layers.Activation("tanh"), layers.BatchNormalization(axis=1)]
    )
    randomize(model.layers[1], rng)
    x = rng.normal(size=(20, 3, 8)).astype("float32")
    a = np.tanh(x).astype("float64").swapaxes(1, 2)
    (layer,) = measure(model, x)
    assert len(layer.channel_mean) == 3
    assert_measured(layer, a, affine(model.layers[1], a))


def test_layers_inside_a_loop_are_passed_over():
    model = keras.Sequential(
        [
            keras.Input((4, 3)),
            layers.LSTM(5, return_sequences=True),
            layers.TimeDistributed(layers.Dense(5, activation="tanh")),
            layers.Dense(6, activation="tanh", name="dense"),
        ]
    )
    assert names(model) == ["dense"]


def test_an_activation_layer_as_the_argument_of_another():
    model = keras.Sequential(
        [keras.Input((3,)), layers.Dense(4, activation=layers.LeakyReLU(), name="dense")]
    )
    assert names(model) == ["dense"]


def test_a_layer_that_takes_a_variable_or_a_constant():
    class Positions(keras.Model):
        def __init__(self):
            super().__init__()
            self.hidden = layers.Dense(4, activation="tanh", name="hidden")
            self.position = layers.Dense(3, activation="tanh", name="position")
            self.table = self.add_weight(shape=(2, 3))
            self.constant = tf.ones((2, 3))

        def call(self, inputs):
            return self.hidden(inputs + self.position(self.table) + self.position(self.constant))

    model = Positions()
    x = np.ones((2, 3), "float32")
    model(x)
    assert names(model, x) == ["position", "position#2", "hidden"]


def test_an_activation_that_a_layer_keeps_by_name_or_as_a_method():
    class Own(layers.Layer):
        def __init__(self, activation):
            super().__init__(name="own")
            self.activation = activation

        def call(self, inputs):
            return keras.activations.get(self.activation)(inputs)

    class Scaled:
        scale = 2.0

        def tanh(self, x):
            return ops.tanh(self.scale * x)

    scaled = Scaled()
    x = np.ones((2, 3), "float32")
    for activation in ("tanh", scaled.tanh):
        model = keras.Sequential([keras.Input((3,)), Own(activation), layers.ReLU(name="relu")])
        assert "relu" in names(model, x)
        before = measure(model, x)["relu"].channel_max[0]
        model.layers[0].activation = "relu"
        assert measure(model, x)["relu"].channel_max[0] == 1.0 > before


def test_a_shared_layer_is_chosen_by_its_name(rng):
    shared = layers.Dense(3, activation="tanh", name="shared")
    inputs = keras.Input((3,))
    model = keras.Model(inputs, layers.Dense(1, activation="tanh")(shared(shared(inputs))))
    assert names(model, layers="shared") == ["shared", "shared#2"]
    assert names(model, layers="shared#2") == ["shared#2"]


def test_the_name_of_a_function_tells_its_bound_only_where_it_is_known():
    def tanh(x):
        return 2.0 * ops.tanh(x)

    model = keras.Sequential([keras.Input((3,)), layers.Activation(tanh)])
    (layer,) = measured = measure(model, np.ones((4, 3)))
    assert layer.bound is None
    assert "no bound known" in str(measured)


def test_arguments_given_by_name(rng):
    class ByName(keras.Model):
        def __init__(self):
            super().__init__()
            self.activation_layer = layers.ReLU(name="relu")
            self.norm = layers.BatchNormalization()
            self.activation = keras.activations.tanh

        def call(self, inputs):
            return self.activation(self.norm(inputs=self.activation_layer(inputs=inputs)))

    model = ByName()
    x = rng.normal(size=(50, 3)).astype("float32")
    model(x)
    randomize(model.norm, rng)
    relu, tanh = measure(model, x)
    a = np.maximum(x, 0.0).astype("float64")
    assert (relu.name, tanh.name) == ("relu", model.name)
    assert_measured(relu, a, affine(model.norm, a), None)


def test_quantized_layers_keep_their_names():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4, activation="tanh", name="hidden")])
    model.layers[0].quantize("int8")
    assert names(model) == ["hidden"]


def test_mistakes(rng):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4, activation="tanh", name="hidden")])
    x = np.ones((4, 3))
    with pytest.raises(ValueError, match=r"'conv\*': there are hidden"):
        measure(model, x, layers=["hidden", "conv*"])
    with pytest.raises(ValueError, match="holds no batch"):
        measure(model, x[:0])
    with pytest.raises(ValueError, match=r"\[3, 4\]"):
        measure(model, (x, x[:3]))
    with pytest.raises(ValueError, match="got int"):
        measure(model, 7)
    with pytest.raises(ValueError, match=r"takes 1 inputs.*has 2"):
        measure(model, [x, x])
    with pytest.raises(ValueError, match="has no end"):
        measure(model, tf.data.Dataset.from_tensors(x).repeat())
    with pytest.raises(ValueError, match="got str"):
        measure("model.keras", x)
    with pytest.raises(ValueError, match="Name the layers"):
        measure(model, x, layers=[])
    with pytest.raises(ValueError, match=r"chosen by name.*Dense"):
        measure(model, x, layers=model.layers)
    with pytest.raises(ValueError, match="got 0"):
        measure(model, x, steps=0)
    with pytest.raises(ValueError, match="batch_size must be 1 or more; got 0"):
        measure(model, x, batch_size=0)
    with pytest.raises(ValueError, match="is not built"):
        measure(keras.Sequential([layers.Dense(2)]), x)
    linear = keras.Sequential([keras.Input((3,)), layers.Dense(4), layers.Softmax()])
    with pytest.raises(ValueError, match="no activation that can be measured"):
        measure(linear, x)
