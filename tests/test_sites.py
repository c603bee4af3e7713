"""Which layers `measure` finds, in models of every kind."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops
from oracle import DEEP, affine, as_float64, assert_measured, names, predict, randomize

from keras_bnact import BoundedBlock, measure, measure_gradients
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
        assert_measured(measured[name], a, bounds=None, **DEEP)
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
    assert leaky.bounds is None


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


def test_functions_in_a_functional_model(rng):
    inputs = keras.Input((6, 6, 3))
    x = layers.Conv2D(4, 3, name="conv")(inputs)
    x = ops.tanh(layers.BatchNormalization(name="before")(x))
    x = layers.BatchNormalization(name="after")(x)
    x = keras.activations.relu(x, max_value=0.5)
    inner = keras.Model(inputs, keras.activations.softsign(x * 2.0), name="inner")
    again = keras.Input((6, 6, 3))
    model = keras.Model(again, keras.activations.softmax(inner(again)))
    for name in ("before", "after"):
        randomize(inner.get_layer(name), rng)
    x = rng.normal(size=(12, 6, 6, 3)).astype("float32")
    tanh, relu, softsign = measured = measure(model, x, layers="*", batch_size=5)
    assert [layer.activation for layer in measured] == ["tanh", "relu", "softsign"]
    assert all(layer.name.startswith("inner/") for layer in measured)
    norm = inner.get_layer("after")
    a = np.tanh(as_float64(keras.Model(inputs, inner.get_layer("before").output)(x)))
    assert_measured(tanh, a, affine(norm, a), **DEEP)
    a = np.clip(affine(norm, a), 0.0, 0.5)
    assert_measured(relu, a, bounds=None, **DEEP)
    assert_measured(softsign, 2 * a / (1 + 2 * a), **DEEP)
    model.compile(loss="mse")
    gradients = measure_gradients(model, (x, np.zeros((12, 4, 4, 4))), layers="*tanh*")
    assert gradients[0].input == pytest.approx(np.abs(x).mean(), rel=1e-5)
    assert gradients[0].activation_gradient > 0


@keras.saving.register_keras_serializable("tests")
class Gated(layers.Layer):
    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.dense = layers.Dense(4, activation="tanh", name="dense")

    def build(self, input_shape):
        self.dense.build(input_shape)

    def call(self, inputs):
        return ops.sigmoid(inputs) * self.dense(inputs)


def test_what_is_not_seen_is_said():
    model = keras.Sequential(
        [
            keras.Input((4, 4)),
            layers.GRU(4, return_sequences=True, name="gru"),
            Gated(name="gated"),
            layers.BatchNormalization(),
            layers.TimeDistributed(layers.Dense(3, activation="tanh"), name="distributed"),
            layers.Activation("tanh", name="hidden"),
            layers.BatchNormalization(),
            layers.Dense(2, activation="tanh", name="last"),
        ]
    )
    measured = measure(model, np.zeros((2, 4, 4)))
    assert [layer.name for layer in measured] == ["hidden"]
    assert measured.left_out == {
        "gru": "in a loop over time steps",
        "Gated": "what its own code calls beside layers",
        "distributed": "in a loop over time steps",
        "gated/dense": "dense without batch normalization",
        "last": "dense without batch normalization",
    }
    assert str(measured).endswith(
        "not measured: gru, distributed (in a loop over time steps)\n"
        "not measured: Gated (what its own code calls beside layers)\n"
        "not measured: gated/dense, last (dense without batch normalization)"
    )
    # What the caller has chosen not to measure is no news.
    chosen = measure(model, np.zeros((2, 4, 4)), layers="hidden")
    assert "last" not in chosen.left_out
    only = keras.Sequential([keras.Input((4, 4)), layers.LSTM(3, name="lstm")])
    with pytest.raises(ValueError, match=r"not seen is lstm, in a loop over time steps\."):
        measure(only, np.zeros((2, 4, 4)))


@pytest.mark.tensorflow
def test_layers_in_functions_that_are_traced_apart():
    class Whole(keras.Model):
        def __init__(self):
            super().__init__()
            self.hidden = layers.Dense(4, activation="tanh", name="hidden")

        def call(self, inputs):
            return self.hidden(inputs)

    class Traced(Whole):
        call = tf.function(Whole.call)

    class Part(layers.Layer):
        def __init__(self):
            super().__init__(name="part")
            self.hidden = layers.Dense(4, activation="tanh", name="hidden")

        @tf.function
        def call(self, inputs):
            return self.hidden(inputs)

    x = np.ones((2, 3), "float32")
    model = Traced()
    model(x)
    with pytest.raises(ValueError, match=r"traced by itself, .* take tf\.function"):
        measure(model, x)
    model = keras.Sequential([Part(), layers.Dense(2, activation="tanh", name="last")])
    model(x)
    measured = measure(model, x)
    assert [layer.name for layer in measured] == ["last"]
    assert measured.left_out["part"] == "in a function that is traced by itself"


@pytest.mark.tensorflow
def test_a_model_that_runs_eagerly(rng):
    class Eager(keras.Model):
        def __init__(self):
            super().__init__()
            self.block = BoundedBlock(layers.Conv2D(16, 3), "tanh", name="block")
            self.flatten = layers.Flatten()
            self.last = layers.Dense(2)

        def call(self, inputs):
            x = self.block(inputs)
            assert x.numpy().shape == x.shape
            return self.last(self.flatten(x))

    model = Eager()
    model.compile("sgd", "mse", run_eagerly=True)
    x = rng.normal(size=(9, 32, 32, 3)).astype("float32")
    model(x)
    randomize(model.block.normalization, rng)
    (layer,) = measure(model, x, batch_size=4)
    a = as_float64(model.block.activation(model.block.layer(x)))
    assert_measured(layer, a, affine(model.block.normalization, a), **DEEP)
    (gradients,) = measure_gradients(model, (x, np.zeros((9, 2))), batch_size=4)
    assert gradients.input == pytest.approx(
        np.mean([np.abs(x[i : i + 4]).mean() for i in (0, 4, 8)]), rel=1e-5
    )


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
    assert layer.bounds is None
    assert "no bounds known" in str(measured)


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
    with pytest.raises(ValueError, match="holds no batch"):
        measure(model, iter([None]))
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
