"""`measure` against NumPy and SciPy on the same activations."""

import gc
import weakref

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from keras import layers, ops

from keras_bnact import BoundedBlock, Histogram, measure, statistics
from keras_bnact.models import VGG16

POLICIES = ("float32", "mixed_float16", "mixed_bfloat16", "float64")
# Of one example; ranks 2 to 5 with the batch, below and above where TensorFlow sums in a loop.
SHAPES = ((6,), (5, 6), (997, 8), (7, 5, 6), (32, 32, 8), (3, 4, 5, 6), (8, 8, 16, 8))


def predict(model, x, batch_size=10):
    """A model's outputs batch by batch, in float64."""
    parts = [model(x[i : i + batch_size], training=False) for i in range(0, len(x), batch_size)]
    return np.concatenate([np.asarray(part, "float64") for part in parts])


def randomize(normalization, rng):
    channels = normalization.moving_mean.shape[0]
    normalization.moving_mean.assign(rng.normal(0, 0.5, channels))
    normalization.moving_variance.assign(rng.uniform(0.1, 2, channels))
    normalization.gamma.assign(rng.normal(0, 1, channels))
    normalization.beta.assign(rng.normal(0, 0.3, channels))


def affine(normalization, a):
    """Batch normalization at inference in float64, channels last."""
    mean, variance, gamma, beta = (
        np.asarray(v, "float64")
        for v in (
            normalization.moving_mean,
            normalization.moving_variance,
            normalization.gamma,
            normalization.beta,
        )
    )
    return (a - mean) / np.sqrt(variance + normalization.epsilon) * gamma + beta


def assert_measured(layer, a, g=None, bound=1.0, atol=1e-6, skewness_atol=2e-7):
    """Compares with NumPy and SciPy on activations `a` and block outputs `g`, channels last."""
    a = a.reshape(-1, a.shape[-1])
    g = a if g is None else g.reshape(-1, g.shape[-1])
    varied = a.min(axis=0) < a.max(axis=0)
    largest = np.where(a.any(axis=0), np.abs(a).max(axis=0), 1.0) if bound is None else bound
    saturation = (np.abs(a) / largest).mean(axis=0)
    used = g.any(axis=0)
    sparsity = 1 - (np.abs(g) / np.where(used, np.abs(g).max(axis=0), 1.0)).mean(axis=0)
    skewness = np.zeros(a.shape[1])
    skewness[varied] = scipy.stats.skew(a[:, varied], bias=False)
    assert layer.bound == bound
    assert layer.count == len(a)
    assert layer.constant_channels == (~varied).sum()
    assert layer.zero_channels == (~used).sum()
    np.testing.assert_allclose(layer.channel_saturation, saturation, atol=atol)
    np.testing.assert_allclose(layer.saturation, saturation.mean(), atol=atol)
    np.testing.assert_allclose(layer.channel_sparsity, sparsity, atol=atol)
    np.testing.assert_allclose(layer.sparsity, sparsity.mean(), atol=atol)
    # The floor: a symmetric channel's skewness is a small difference of float32 sums.
    np.testing.assert_allclose(layer.channel_skewness, skewness, rtol=1e-4, atol=skewness_atol)
    np.testing.assert_allclose(layer.skewness, np.abs(skewness).mean(), rtol=1e-4)
    np.testing.assert_allclose(layer.channel_mean, a.mean(axis=0), atol=atol)
    np.testing.assert_allclose(layer.channel_std, a.std(axis=0), rtol=1e-5, atol=atol)
    np.testing.assert_allclose(layer.channel_max, np.abs(a).max(axis=0), atol=atol)
    np.testing.assert_allclose(layer.channel_output_max, np.abs(g).max(axis=0), rtol=1e-5)


# For layers deep in a network, whose float32 activations here come from other kernels.
DEEP = {"atol": 1e-5, "skewness_atol": 1e-4}


@pytest.mark.parametrize(
    ("function", "policy", "shape"),
    [
        *(("tanh", policy, shape) for policy in POLICIES for shape in SHAPES),
        *((name, "float32", shape) for name in ("softsign", "relu") for shape in SHAPES[-2:]),
    ],
    ids=str,
)
def test_figures_are_numpys(rng, shape, policy, function):
    keras.config.set_dtype_policy(policy)
    model = keras.Sequential(
        [keras.Input(shape), layers.Activation(function), layers.BatchNormalization()]
    )
    randomize(model.layers[1], rng)
    x = rng.normal(0.5, 1.0, (43, *shape)).astype(keras.config.dtype_policy().compute_dtype)
    a = predict(keras.Sequential([keras.Input(shape), model.layers[0]]), x)
    (layer,) = measure(model, x, batch_size=10)
    bound = None if function == "relu" else 1.0
    assert layer.activation == function
    assert_measured(layer, a, affine(model.layers[1], a), bound)


@pytest.mark.parametrize("shape", [(16, 2), (32, 32, 4)], ids=str)
@pytest.mark.parametrize("mean", [5.0, 6.0])
def test_deep_in_saturation(rng, shape, mean):
    # Where raw moments fail: float32 ones give -2427 for a skewness of -2.26.
    model = keras.Sequential([keras.Input(shape), layers.Activation("tanh")])
    x = rng.normal(mean, 0.3, (1000, *shape)).astype("float32")
    (layer,) = measure(model, x, batch_size=64)
    a = predict(model, x, 64)
    assert_measured(layer, a)
    assert (layer.channel_skewness < -2.0).all()


@pytest.mark.parametrize("shape", [(3,), (64, 64, 3)], ids=str)
def test_constant_and_zero_channels(rng, shape):
    x = rng.normal(size=(20, *shape)).astype("float32")
    x[..., 0], x[..., 1] = 0.7, 0.0
    model = keras.Sequential([keras.Input(shape), layers.Activation("tanh")])
    (layer,) = measure(model, x, batch_size=8)
    assert (layer.constant_channels, layer.zero_channels) == (2, 1)
    assert layer.channel_skewness[:2].tolist() == [0.0, 0.0]
    assert layer.channel_std[:2].tolist() == [0.0, 0.0]
    assert layer.channel_sparsity[0] == pytest.approx(0.0, abs=1e-6)
    assert layer.channel_sparsity[1] == 1.0
    assert np.isfinite(layer.skewness)


def test_a_channel_that_normalization_makes_constant(rng):
    model = keras.Sequential(
        [keras.Input((3,)), layers.Activation("tanh"), layers.BatchNormalization()]
    )
    model.layers[1].gamma.assign([0.0, 0.0, 1.0])
    model.layers[1].beta.assign([0.0, -2.0, 0.0])
    (layer,) = measure(model, rng.normal(size=(20, 3)))
    assert layer.channel_sparsity[:2].tolist() == [1.0, 0.0]
    assert layer.channel_output_max[:2].tolist() == [0.0, 2.0]
    assert (layer.constant_channels, layer.zero_channels) == (0, 1)


def test_more_elements_than_float32_counts(rng):
    image = rng.normal(1.0, 0.5, (1, 1024, 1024, 1)).astype("float32")
    model = keras.Sequential([keras.Input((1024, 1024, 1)), layers.Activation("tanh")])
    images = 17
    (layer,) = measure(model, (image for _ in range(images)))
    a = predict(model, image).ravel()
    count = images * a.size
    assert layer.count == count > 2**24
    assert layer.saturation == pytest.approx(np.abs(a).mean(), abs=1e-6)
    factor = np.sqrt(count * (count - 1)) / (count - 2)
    assert layer.channel_skewness[0] == pytest.approx(factor * scipy.stats.skew(a), rel=1e-4)


@pytest.mark.parametrize("shape", [(3,), (64, 64, 3)], ids=str)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_reported_by_layer(rng, shape, bad):
    x = rng.normal(size=(20, *shape)).astype("float32")
    x[13, ..., 1] = bad
    inputs = keras.Input(shape)
    first = layers.ReLU(name="first")(inputs)
    model = keras.Model(inputs, layers.Activation("tanh", name="second")(first))
    first, second = measured = measure(model, x, batch_size=8)
    assert first.non_finite_channels == 1
    assert np.isnan([first.saturation, first.skewness, first.sparsity]).all()
    assert np.isfinite(first.channel_skewness).tolist() == [True, False, True]
    assert "NaN or infinity in 1 of 3 channels of first" in str(measured)
    # The hyperbolic tangent of infinity is 1.
    assert second.non_finite_channels == (1 if np.isnan(bad) else 0)


def test_roundings_of_a_channel_that_does_not_vary_do_not_add_up():
    # Summed in float32 alone, the saturation was 1.00001.
    model = keras.Sequential([keras.Input((64, 64, 64)), layers.ReLU()])
    x = np.broadcast_to(np.linspace(0.1, 0.9, 64, dtype="float32"), (128, 64, 64, 64))
    (layer,) = measure(model, x)
    np.testing.assert_allclose(layer.channel_saturation, 1.0, atol=5e-7)
    np.testing.assert_allclose(layer.channel_sparsity, 0.0, atol=5e-7)
    assert layer.channel_sparsity.min() >= 0.0


@pytest.mark.parametrize("shape", [(3,), (64, 64, 2)], ids=str)
def test_first_examples_unlike_the_others(rng, shape):
    x = rng.uniform(0, 1, (200, *shape)).astype("float32")
    x[:100] *= 1e-13
    model = keras.Sequential([keras.Input(shape), layers.ReLU()])
    assert_measured(measure(model, x, batch_size=50)[0], x.astype("float64"), bound=None)


@pytest.mark.parametrize("order", ["swap", "convention", "nobn"])
@pytest.mark.parametrize("policy", POLICIES[:3])
def test_blocks(rng, order, policy):
    keras.config.set_dtype_policy(policy)
    block = BoundedBlock(layers.Conv2D(5, 3), "lecun_tanh", order, name="block")
    model = keras.Sequential([keras.Input((8, 8, 3)), block])
    if block.normalization:
        randomize(block.normalization, rng)
    x = rng.normal(0.5, 1.0, (23, 8, 8, 3)).astype("float32")
    before = keras.Sequential([keras.Input((8, 8, 3)), *block.steps[:-1]])
    whole = keras.Sequential([before, block.steps[-1]])
    a = predict(before if order == "swap" else whole, x)
    (layer,) = measure(model, x, batch_size=10)
    assert (layer.name, layer.activation) == ("block", "lecun_tanh")
    assert_measured(layer, a, affine(block.normalization, a) if order == "swap" else a, 1.7159)


def test_an_activation_of_another_precision_than_its_normalization(rng):
    keras.config.set_dtype_policy("mixed_bfloat16")
    activation = layers.Activation("tanh", dtype="float32")
    block = BoundedBlock(layers.Dense(4), activation, "swap")
    model = keras.Sequential([keras.Input((3,)), block])
    randomize(block.normalization, rng)
    x = rng.normal(size=(30, 3)).astype("float32")
    a = predict(keras.Sequential([keras.Input((3,)), block.layer, activation]), x)
    assert_measured(measure(model, x)[0], a, affine(block.normalization, a))


@pytest.mark.parametrize("policy", POLICIES[:3])
def test_stock_normalization_is_known_in_every_precision(policy):
    keras.config.set_dtype_policy(policy)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            layers.Conv2D(4, 3),
            layers.BatchNormalization(),
            layers.Activation("tanh", name="normalized"),
            layers.Flatten(),
            layers.Dense(4, activation="tanh", name="hidden"),
        ]
    )
    assert names(model) == ["normalized"]
    model = keras.Sequential(
        [keras.Input((3, 8)), layers.BatchNormalization(axis=1), layers.Activation("tanh")]
    )
    assert len(measure(model, np.ones((4, 3, 8)))[0].channel_mean) == 3


def test_dropout_between_activation_and_normalization(rng):
    model = keras.Sequential(
        [
            keras.Input((3,)),
            layers.Activation("tanh"),
            layers.Dropout(0.5),
            layers.BatchNormalization(),
        ]
    )
    randomize(model.layers[2], rng)
    x = rng.normal(size=(50, 3)).astype("float32")
    a = np.tanh(x.astype("float64"))
    assert_measured(measure(model, x)[0], a, affine(model.layers[2], a))


def test_the_uneven_last_batch_takes_the_same_trace_and_gives_the_same(rng):
    x = rng.normal(size=(37, 32, 32, 8)).astype("float32")
    model = keras.Sequential([keras.Input((32, 32, 8)), layers.Activation("tanh")])
    (whole,) = measure(model, x, batch_size=37)
    for batch_size in (5, 16):
        (parts,) = measure(model, x, batch_size=batch_size)
        assert parts.count == whole.count
        np.testing.assert_allclose(parts.channel_skewness, whole.channel_skewness, atol=2e-7)
        np.testing.assert_allclose(parts.channel_sparsity, whole.channel_sparsity, atol=1e-8)


def test_unknown_sizes(rng):
    model = keras.Sequential([keras.Input((None, None, 3)), layers.Activation("tanh")])
    batches = [rng.normal(size=(4, side, side, 3)).astype("float32") for side in (5, 64, 9)]
    a = np.concatenate([predict(model, batch).reshape(-1, 3) for batch in batches])
    dataset = tf.data.Dataset.from_generator(
        lambda: batches, output_signature=tf.TensorSpec((None, None, None, 3))
    )
    assert_measured(measure(model, dataset)[0], a)


# Which layers


def names(model, x=None, **keywords):
    x = np.zeros((2, *model.input_shape[1:])) if x is None else x
    return [layer.name for layer in measure(model, x, **keywords)]


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
    a = np.asarray(model.stem.activation(model.stem.layer(x["signal"])), "float64")
    assert_measured(stem, a, affine(model.stem.normalization, a))
    a = np.asarray(model.hidden(model.stem(x["signal"])), "float64")
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


# The model


class Counting(layers.Layer):
    """Counts how often it is traced."""

    traces = 0

    def call(self, inputs):
        self.traces += 1
        return inputs


def test_a_second_measurement_does_not_trace_again(rng):
    counting = Counting()
    model = keras.Sequential(
        [keras.Input((3,)), counting, layers.Dense(4, activation="tanh", name="hidden")]
    )
    x = rng.normal(size=(20, 3)).astype("float32")
    first = measure(model, x, batch_size=8)
    traces = counting.traces
    again = measure(model, x, batch_size=8)
    assert again[0].skewness == first[0].skewness
    model.set_weights([2 * weight for weight in model.get_weights()])
    heavier = measure(model, x, batch_size=7)
    assert counting.traces == traces
    assert_measured(heavier[0], predict(model, x))
    assert heavier[0].saturation > first[0].saturation


def change_activation(model):
    model.layers[0].activation = keras.activations.softsign


def change_adapter(model):
    model.layers[0].enable_lora(2)
    model.layers[0].lora_kernel_b.assign(np.ones((2, 4)))


def change_precision(model):
    model.layers[0].dtype_policy = "mixed_bfloat16"


def change_attribute(model):
    model.layers[1].negative_slope = 0.9
    model.compile(loss="mse")


@pytest.mark.parametrize(
    "change", [change_activation, change_adapter, change_precision, change_attribute]
)
def test_a_changed_model_is_measured_as_it_is_now(rng, change):
    model = keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(4, activation="tanh", name="hidden"),
            layers.LeakyReLU(name="leaky"),
        ]
    )
    model.compile(loss="mse")
    x = rng.normal(size=(40, 3)).astype("float32")
    before = measure(model, x)
    change(model)
    changed = measure(model, x)
    anew = measure(keras.Sequential([keras.Input((3,)), *model.layers]), x)
    for layer, expected in zip(changed, anew, strict=True):
        np.testing.assert_array_equal(layer.channel_mean, expected.channel_mean)
    assert before.records() != changed.records()


def test_normalization_by_the_batch_is_refused_and_not_updated(rng):
    class ByBatch(keras.Model):
        def __init__(self):
            super().__init__()
            self.hidden = layers.Activation("tanh", name="hidden")
            self.norm = layers.BatchNormalization()
            self.other = layers.ReLU(name="other")

        def call(self, inputs):
            return self.other(self.norm(self.hidden(inputs), training=True))

    model = ByBatch()
    x = rng.normal(size=(20, 3)).astype("float32")
    model(x)
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"'hidden' is normalized with training=True"):
        measure(model, x)
    assert names(model, x, layers="other") == ["other"]
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_failure_midway_leaves_the_model_as_it_was(rng):
    class Failing(layers.Layer):
        fails = False

        def call(self, inputs):
            if self.fails:
                raise RuntimeError("midway")
            return inputs

    failing = Failing()
    block = BoundedBlock(layers.Dense(4), name="block")
    dense = layers.Dense(4, activation="tanh")
    model = keras.Sequential([keras.Input((3,)), block, dense, failing])
    x = rng.normal(size=(5, 3)).astype("float32")
    expected = predict(model, x)
    before = {id(layer): dict(vars(layer)) for layer in model._flatten_layers(include_self=False)}
    failing.fails = True
    before[id(failing)]["fails"] = True
    with pytest.raises(RuntimeError, match="midway"):
        measure(model, x, layers="*")
    assert all(
        before[id(layer)] == vars(layer) for layer in model._flatten_layers(include_self=False)
    )
    failing.fails = False
    np.testing.assert_array_equal(predict(model, x), expected)
    assert len(measure(model, x, layers="*")) == 2


def test_a_measured_model_is_freed(rng):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4, activation="tanh")])
    measure(model, rng.normal(size=(5, 3)))
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


# The data


class Numbers(keras.utils.PyDataset):
    def __init__(self, x):
        super().__init__()
        self.x = x

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return self.x[index::4], np.zeros(len(self.x[index::4]))


def test_every_kind_of_data_gives_the_same(rng):
    x = rng.normal(size=(18, 3)).astype("float32")
    y = np.zeros(18)
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4, activation="tanh")])
    expected = measure(model, x, batch_size=18)[0]
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(5)
    kinds = (x, (x, y), (x, y, y), tf.constant(x), dataset, Numbers(x), iter([x[:7], x[7:]]))
    for data in kinds:
        (layer,) = measure(model, data, batch_size=5)
        assert layer.count == 18
        assert layer.skewness == pytest.approx(expected.skewness, abs=1e-6)
    assert measure(model, dataset, steps=2)[0].count == 10
    assert measure(model, Numbers(x), steps=1)[0].count == 5


def test_several_inputs(rng):
    one, other = keras.Input((3,)), keras.Input((2,))
    model = keras.Model(
        [one, other], layers.Dense(4, activation="tanh")(layers.Concatenate()([one, other]))
    )
    x = [rng.normal(size=(18, n)).astype("float32") for n in (3, 2)]
    assert_measured(measure(model, x, batch_size=7)[0], np.asarray(model(x), "float64"))


def test_the_progress_bar_ends_its_line(capsys):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4, activation="tanh")])
    measure(model, np.ones((20, 3)), batch_size=5, verbose=0)
    measure(model, np.ones((20, 3)), batch_size=5)
    assert capsys.readouterr().out == ""
    measure(model, np.ones((20, 3)), batch_size=5, verbose=1)
    out = capsys.readouterr().out
    assert "4/4" in out
    assert out.endswith("\n")


# Histograms


@pytest.mark.parametrize("order", ["swap", "convention"])
def test_histograms_are_numpys(rng, order):
    block = BoundedBlock(layers.Dense(3), "lecun_tanh", order, name="block")
    model = keras.Sequential([keras.Input((5,)), block])
    randomize(block.normalization, rng)
    block.normalization.gamma.assign([0.7, -1.2, 0.4])
    x = rng.normal(size=(1000, 5)).astype("float32")
    before = keras.Sequential([keras.Input((5,)), *block.steps[:-1]])
    g = predict(model, x)
    a = predict(before, x) if order == "swap" else g
    wanted = [
        Histogram(bins=20),
        Histogram("block", of="output", bins=20),
        Histogram("bl*", channels=[2, 1], bins=10),
        Histogram(channels=range(3), of="output", bins=10),
    ]
    (layer,) = measure(model, x, histograms=wanted, batch_size=300)
    whole, output, some, outputs = layer.histograms
    values = {"activation": a, "output": g}
    for histogram in layer.histograms:
        rows = histogram.channels or [slice(None)]
        for row, channels in enumerate(rows):
            edges = histogram.edges[row]
            assert (np.diff(edges) > 0).all()
            expected, _ = np.histogram(values[histogram.of][:, channels], edges)
            assert histogram.counts[row].sum() == expected.sum()
            # A value on an edge may fall to either side.
            assert np.abs(histogram.counts[row] - expected).sum() <= 4
    assert whole.edges[0, [0, -1]] == pytest.approx([-1.7159, 1.7159])
    assert some.channels == (2, 1)
    assert outputs.edges.shape == (3, 11)
    assert outputs.counts.dtype == np.int64
    assert output.counts.sum() == 3000


def test_the_histogram_of_an_unbounded_activation_spans_the_first_batch(rng):
    model = keras.Sequential([keras.Input((2,)), layers.ReLU()])
    x = np.array([[1.0, 2.0], [0.0, 4.0], [9.0, 0.0]], "float32")
    (layer,) = measure(model, x, histograms=[Histogram(bins=4)], batch_size=2)
    assert layer.histograms[0].edges.tolist() == [[0.0, 1.0, 2.0, 3.0, 4.0]]
    assert layer.histograms[0].counts.tolist() == [[2, 1, 1, 2]]


def test_histograms_leave_nan_out(rng):
    x = np.array([[0.5, np.nan], [np.inf, 0.5], [-0.5, 0.5]], "float32")
    model = keras.Sequential([keras.Input((2,)), layers.Activation("tanh")])
    wanted = [Histogram(bins=4), Histogram(channels=1, bins=4)]
    (layer,) = measure(model, x, histograms=wanted)
    assert [h.counts.tolist() for h in layer.histograms] == [[[0, 1, 3, 1]], [[0, 0, 2, 0]]]
    assert layer.non_finite_channels == 1


def test_mistakes_with_histograms():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4, activation="tanh", name="hidden")])
    for histogram, message in (
        (Histogram("conv8"), "'conv8'.*there are hidden"),
        (Histogram(channels=[3, 4]), "'hidden' has 4 channels.*channel 4"),
    ):
        with pytest.raises(ValueError, match=message):
            measure(model, np.ones((2, 3)), histograms=[histogram])
    for keywords, message in (
        ({"of": "input"}, "'input'"),
        ({"bins": 0}, "got 0"),
        ({"channels": []}, "Name the channels"),
    ):
        with pytest.raises(ValueError, match=message):
            Histogram(**keywords)


# Replicas


@pytest.mark.parametrize("order", ["swap", "convention"])
def test_two_replicas_equal_one(rng, order):
    x = rng.normal(size=(43, 32, 32, 3)).astype("float32")
    strategy = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
    with strategy.scope():
        model = VGG16(8, order=order, width=0.1, synchronized=True)
    single = VGG16(8, order=order, width=0.1)
    weights = [rng.uniform(0.1, 0.5, weight.shape) for weight in single.get_weights()]
    single.set_weights(weights)
    model.set_weights(weights)
    wanted = [Histogram("conv1", of="output")]
    two = measure(model, x, histograms=wanted, batch_size=20)
    one = measure(single, x, histograms=wanted, batch_size=20)
    assert len(two) == len(one) == 7
    for mirrored, alone in zip(two, one, strict=True):
        assert mirrored.count == alone.count
        for figure in statistics.FIGURES:
            assert getattr(mirrored, figure) == pytest.approx(getattr(alone, figure), abs=1e-6)
            np.testing.assert_allclose(
                getattr(mirrored, f"channel_{figure}"),
                getattr(alone, f"channel_{figure}"),
                atol=1e-6,
            )
    for mirrored, alone in zip(two[0].histograms, one[0].histograms, strict=True):
        assert mirrored.counts.sum() == alone.counts.sum()
    # One image: the other replica has none.
    assert measure(model, x[:1])[0].count == measure(single, x[:1])[0].count


def test_replicas_that_disagree_are_measured_as_what_would_be_saved(rng):
    def make():
        return keras.Sequential(
            [keras.Input((3,)), layers.Activation("tanh"), layers.BatchNormalization()]
        )

    strategy = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
    with strategy.scope():
        model = make()
        model.compile("sgd", "mse")
    x = (rng.normal(size=(64, 3)) + np.arange(64)[:, None] / 16).astype("float32")
    model.fit(x, x, batch_size=64, verbose=0)
    single = make()
    single.set_weights(model.get_weights())
    (two,), (one,) = measure(model, x, batch_size=20), measure(single, x, batch_size=20)
    assert two.count == one.count == 64
    np.testing.assert_allclose(two.channel_sparsity, one.channel_sparsity, atol=1e-6)
    np.testing.assert_allclose(two.channel_skewness, one.channel_skewness, atol=1e-6)
