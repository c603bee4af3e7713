"""`measure` against NumPy and SciPy on the same activations."""

import gc
import weakref

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from conftest import NEEDS_FLOAT64
from keras import layers, ops
from oracle import HALF, affine, as_float64, assert_measured, names, predict, randomize

from keras_bnact import BoundedBlock, Histogram, measure, statistics
from keras_bnact.models import VGG16

POLICIES = ("float32", "mixed_float16", "mixed_bfloat16")
# Of one example; ranks 2 to 5 with the batch, below and above where TensorFlow sums in a loop.
SHAPES = ((6,), (5, 6), (997, 8), (7, 5, 6), (32, 32, 8), (3, 4, 5, 6), (8, 8, 16, 8))


@pytest.mark.parametrize(
    ("function", "policy", "shape"),
    [
        *(("tanh", policy, shape) for policy in POLICIES for shape in SHAPES),
        *(pytest.param("tanh", "float64", shape, marks=NEEDS_FLOAT64) for shape in SHAPES),
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
    bounds = None if function == "relu" else (-1.0, 1.0)
    assert layer.activation == function
    assert_measured(layer, a, affine(model.layers[1], a), bounds)


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("shape", [(6,), (8, 8, 64)], ids=str)
@pytest.mark.parametrize("mean", [-20.0, 0.5, 3.0])
def test_bounds_that_are_not_symmetric(rng, shape, mean, normalized):
    activation = layers.Activation("sigmoid")
    stack = [keras.Input(shape), activation, *[layers.BatchNormalization()] * normalized]
    model = keras.Sequential(stack)
    x = rng.normal(mean, 1.0, (43, *shape)).astype("float32")
    a = predict(keras.Sequential([keras.Input(shape), activation]), x)
    g = None
    if normalized:
        randomize(model.layers[1], rng)
        g = affine(model.layers[1], a)
    (layer,) = measure(model, x, batch_size=10)
    # Where XLA compiles the network as one, its sigmoid is another than alone.
    rtol = 1e-4 if keras.backend.backend() == "jax" else 1e-5
    assert_measured(layer, a, g, (0.0, 1.0), atol=2e-6, skewness_atol=1e-5, max_rtol=rtol)


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


def test_a_channel_that_hardly_varies(rng):
    """Summed in float32, the mean of like values is off by more than they vary."""
    x = (0.9 + 1e-6 * rng.gamma(2.0, size=(20, 64, 64, 2))).astype("float32")
    model = keras.Sequential([keras.Input((64, 64, 2)), layers.ReLU()])
    (layer,) = measure(model, x, batch_size=10)
    a = x.astype("float64").reshape(-1, 2)
    np.testing.assert_allclose(layer.channel_std, a.std(axis=0), rtol=1e-5)
    expected = scipy.stats.skew(a, bias=False)
    np.testing.assert_allclose(layer.channel_skewness, expected, rtol=1e-4)


@NEEDS_FLOAT64
@pytest.mark.parametrize("shape", [(3,), (64, 64, 3)], ids=str)
def test_a_channel_that_hardly_varies_in_float64(shape, rng):
    """A float32 number near it is farther from its mean than its values are from one another."""
    keras.config.set_dtype_policy("float64")
    step = 2**10 * np.spacing(0.9)
    x = 0.9 + step * rng.poisson(2.0, (40, *shape))
    model = keras.Sequential([keras.Input(shape, dtype="float64"), layers.ReLU()])
    (layer,) = measure(model, x, batch_size=20)
    # Exactly, since a sample of the steps is the same one in other units.
    steps = ((x - 0.9) / step).reshape(-1, 3)
    np.testing.assert_allclose(layer.channel_std, step * steps.std(axis=0), rtol=1e-4)
    expected = scipy.stats.skew(steps, bias=False)
    # Means of batches are rounded to 2**-10 of a step.
    np.testing.assert_allclose(layer.channel_skewness, expected, rtol=1e-3)


@pytest.mark.parametrize("side", [40, 4])
def test_skewness_of_small_channels_is_right_or_0(side, rng):
    # Silu of what is far below 0, which float32 holds but not its cube.
    centres = np.array([-20.0, -45.0, -60.0, -75.0], "float32")
    x = (rng.normal(size=(16, side, side, 4)) + centres).astype("float32")
    model = keras.Sequential([layers.Input((side, side, 4)), layers.Activation("silu")])
    a = np.asarray(model(x), "float64").reshape(-1, 4)
    (layer,) = measure(model, x, channel_axis=-1, verbose=0)
    expected = scipy.stats.skew(a[:, :2], bias=False)
    np.testing.assert_allclose(layer.channel_skewness, [*expected, 0.0, 0.0], rtol=1e-4)
    assert layer.constant_channels == 0
    np.testing.assert_allclose(layer.channel_std, a.std(axis=0), rtol=1e-4, atol=1e-27)


@pytest.mark.parametrize("shape", [(3,), (64, 64, 2)], ids=str)
def test_first_examples_unlike_the_others(rng, shape):
    x = rng.uniform(0, 1, (200, *shape)).astype("float32")
    for begin in range(0, 200, 50):
        x[begin : begin + 8] *= 1e-13
    model = keras.Sequential([keras.Input(shape), layers.ReLU()])
    assert_measured(measure(model, x, batch_size=50)[0], x.astype("float64"), bounds=None)


@pytest.mark.parametrize("order", ["swap", "convention", "nobn"])
@pytest.mark.parametrize("policy", POLICIES)
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
    g = affine(block.normalization, a) if order == "swap" else a
    assert_measured(layer, a, g, (-1.7159, 1.7159), **({} if policy == "float32" else HALF))


def test_an_activation_of_another_precision_than_its_normalization(rng):
    keras.config.set_dtype_policy("mixed_bfloat16")
    activation = layers.Activation("tanh", dtype="float32")
    block = BoundedBlock(layers.Dense(4), activation, "swap")
    model = keras.Sequential([keras.Input((3,)), block])
    randomize(block.normalization, rng)
    x = rng.normal(size=(30, 3)).astype("float32")
    a = predict(keras.Sequential([keras.Input((3,)), block.layer, activation]), x)
    assert_measured(measure(model, x)[0], a, affine(block.normalization, a))


@pytest.mark.parametrize("policy", POLICIES)
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


def test_dropout_that_is_always_at_work_stands_between(rng):
    class AtWork(keras.Model):
        def __init__(self):
            super().__init__()
            self.hidden = layers.Activation("tanh", name="hidden")
            self.dropout = layers.Dropout(0.5)
            self.normalization = layers.BatchNormalization()

        def call(self, inputs):
            return self.normalization(self.dropout(self.hidden(inputs), training=True))

    model = AtWork()
    x = rng.normal(size=(50, 8)).astype("float32")
    model(x)
    randomize(model.normalization, rng)
    # The block's output is the activation's: dropout's is another.
    assert_measured(measure(model, x)[0], np.tanh(x.astype("float64")))


def test_the_uneven_last_batch_takes_the_same_trace_and_gives_the_same(rng):
    x = rng.normal(size=(37, 32, 32, 8)).astype("float32")
    model = keras.Sequential([keras.Input((32, 32, 8)), layers.Activation("tanh")])
    (whole,) = measure(model, x, batch_size=37)
    for batch_size in (5, 16):
        (parts,) = measure(model, x, batch_size=batch_size)
        assert parts.count == whole.count
        np.testing.assert_allclose(parts.channel_skewness, whole.channel_skewness, atol=2e-7)
        np.testing.assert_allclose(parts.channel_sparsity, whole.channel_sparsity, atol=1e-8)


def test_stock_operations_take_a_part_at_a_time(rng, monkeypatch):
    from keras_bnact._backends import tensorflow_sums

    # As on a GPU.
    monkeypatch.setattr(tensorflow_sums, "_loop_shape", lambda shape: (0, 0))
    monkeypatch.setattr(tensorflow_sums, "STOCK_ELEMENTS", 100)
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Activation("tanh"), layers.BatchNormalization()]
    )
    randomize(model.layers[1], rng)
    x = rng.normal(0.5, 1.0, (43, 8, 8, 3)).astype("float32")
    a = predict(keras.Sequential([keras.Input((8, 8, 3)), model.layers[0]]), x)
    assert_measured(measure(model, x, batch_size=10)[0], a, affine(model.layers[1], a))


def test_a_model_of_one_batch_size(rng):
    class Numbered(layers.Layer):
        def call(self, inputs):
            return inputs + ops.reshape(ops.arange(10.0), (10, 1))

    model = keras.Sequential(
        [keras.Input((3,), batch_size=10), Numbered(), layers.Activation("tanh")]
    )
    x = rng.normal(size=(30, 3)).astype("float32")
    assert_measured(measure(model, x, batch_size=10)[0], predict(model, x, batch_size=10))


def test_unknown_sizes(rng):
    model = keras.Sequential([keras.Input((None, None, 3)), layers.Activation("tanh")])
    batches = [rng.normal(size=(4, side, side, 3)).astype("float32") for side in (5, 64, 9)]
    a = np.concatenate([predict(model, batch).reshape(-1, 3) for batch in batches])
    dataset = tf.data.Dataset.from_generator(
        lambda: batches, output_signature=tf.TensorSpec((None, None, None, 3))
    )
    assert_measured(measure(model, dataset)[0], a)


# The model


def test_a_second_measurement_does_not_trace_again(rng, counting):
    model = keras.Sequential(
        [keras.Input((3,)), counting, layers.Dense(4, activation="tanh", name="hidden")]
    )
    x = rng.normal(size=(20, 3)).astype("float32")
    first = measure(model, x, batch_size=8)
    traces = counting.traces
    again = measure(model, x, batch_size=8)
    assert again[0].skewness == first[0].skewness
    model.set_weights([2 * weight for weight in model.get_weights()])
    # Programs of TensorFlow take batches of any length.
    heavier = measure(model, x, batch_size=7 if keras.backend.backend() == "tensorflow" else 8)
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


def test_frozen_normalization_has_statistics_of_its_own(rng):
    class Frozen(keras.Model):
        def __init__(self):
            super().__init__()
            self.activation = layers.Activation("tanh", name="hidden")
            self.normalization = layers.BatchNormalization(trainable=False)

        def call(self, inputs):
            return self.normalization(self.activation(inputs), training=True)

    model = Frozen()
    x = rng.normal(size=(20, 3)).astype("float32")
    model(x)
    randomize(model.normalization, rng)
    a = predict(model.activation, x)
    assert_measured(measure(model, x)[0], a, affine(model.normalization, a))


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


def test_several_inputs(rng):
    one, other = keras.Input((3,)), keras.Input((2,))
    model = keras.Model(
        [one, other], layers.Dense(4, activation="tanh")(layers.Concatenate()([one, other]))
    )
    x = [rng.normal(size=(18, n)).astype("float32") for n in (3, 2)]
    assert_measured(measure(model, x, batch_size=7)[0], as_float64(model(x)))


def test_the_progress_bar_ends_its_line(capsys):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4, activation="tanh")])
    measure(model, np.ones((20, 3)), batch_size=5, verbose=0)
    measure(model, np.ones((20, 3)), batch_size=5)
    assert capsys.readouterr().out == ""
    measure(model, np.ones((20, 3)), batch_size=5, verbose=1)
    out = capsys.readouterr().out
    assert "4/4" in out
    assert out.endswith("\n")


# Replicas


@pytest.mark.parametrize("order", ["swap", "convention"])
def test_two_replicas_equal_one(rng, order, two_replicas):
    keras.config.set_dtype_policy("float64")
    x = rng.normal(size=(43, 32, 32, 3)).astype("float32")
    with two_replicas.scope():
        model = VGG16(8, order=order, width=0.1, synchronized=True)
    single = VGG16(8, order=order, width=0.1)
    # Not such that a channel saturates: it would hardly vary, and rounding decide its skewness.
    weights = [
        weight * rng.uniform(0.5, 1.5, weight.shape) + 0.3 * (weight.ndim == 1) * rng.uniform()
        for weight in single.get_weights()
    ]
    single.set_weights(weights)
    model.set_weights(weights)
    wanted = [Histogram("conv1", of="output")]
    two = measure(model, x, histograms=wanted, batch_size=20)
    one = measure(single, x, histograms=wanted, batch_size=20)
    assert len(two) == len(one) == 7
    for mirrored, alone in zip(two, one, strict=True):
        assert mirrored.count == alone.count
        for figure in statistics.STATISTICS:
            assert getattr(mirrored, figure) == pytest.approx(getattr(alone, figure), abs=1e-6)
            np.testing.assert_allclose(
                getattr(mirrored, f"channel_{figure}"),
                getattr(alone, f"channel_{figure}"),
                atol=1e-6,
            )
    for mirrored, alone in zip(two[0].histograms, one[0].histograms, strict=True):
        np.testing.assert_allclose(mirrored.edges, alone.edges, rtol=1e-5)
        # A value near an edge may fall to either side.
        assert np.abs(mirrored.counts - alone.counts).sum() <= 1e-4 * alone.counts.sum()
    # One image: the other replica has none.
    assert measure(model, x[:1])[0].count == measure(single, x[:1])[0].count


def test_replicas_that_disagree_are_measured_as_what_would_be_saved(rng, two_replicas):
    def make():
        return keras.Sequential(
            [keras.Input((3,)), layers.Activation("tanh"), layers.BatchNormalization()]
        )

    with two_replicas.scope():
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
