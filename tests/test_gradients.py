"""`measure_gradients` against gradients taken by hand."""

import gc
import weakref

import keras
import numpy as np
import pytest
from differentiation import gradients
from keras import layers, ops
from oracle import as_float64

from keras_bnact import BoundedBlock, measure_gradients
from keras_bnact.models import VGG16
from keras_bnact.regularizers import WeightDecay

# Of gradients in float16; PyTorch's convolutions add up in it.
HALF = 0.05 if keras.backend.backend() == "torch" else 0.02


def compiled(model, **keywords):
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), **keywords)
    return model


def block_model(order, **keywords):
    block = BoundedBlock(layers.Conv2D(4, 3), "tanh", order, name="block", **keywords)
    stack = [keras.Input((6, 6, 3)), block, layers.Flatten(), layers.Dense(5, name="logits")]
    return compiled(keras.Sequential(stack))


def batches_of(rng, sizes):
    return [(rng.normal(size=(n, 6, 6, 3)).astype("float32"), rng.integers(0, 5, n)) for n in sizes]


def by_hand(model, batches):
    """Means of the absolute values, batch by batch, from the block's steps one by one."""
    block, flatten, logits = model.layers
    rows = []
    for x, y in batches:

        def loss(offset, x=x, y=y):
            hidden = x
            for step in block.steps:
                if step is block.activation:
                    hidden = hidden + offset
                hidden = (
                    step(hidden, training=True) if step is block.normalization else step(hidden)
                )
            log_probabilities = ops.log_softmax(logits(flatten(hidden)))
            return -ops.mean(ops.take_along_axis(log_probabilities, y[:, None], axis=1))

        zeros = np.zeros(block.compute_output_shape(x.shape), "float32")
        of_activation, of_kernel = gradients(loss, [zeros], [block.layer.kernel])
        rows.append([np.abs(tensor).mean() for tensor in (x, of_kernel, of_activation)])
    return np.mean(rows, axis=0)


def figures(layer):
    return [layer.input, layer.weight_gradient, layer.activation_gradient]


@pytest.mark.parametrize("order", ["swap", "convention", "nobn"])
def test_gradients_are_those_of_training_without_penalties(rng, order):
    model = block_model(
        order, gamma_regularizer=WeightDecay(10.0), beta_regularizer=WeightDecay(10.0)
    )
    model.layers[0].layer.kernel.regularizer = WeightDecay(10.0)
    batches = batches_of(rng, (16, 16, 7))
    before = model.get_weights()
    (layer,) = measured = measure_gradients(model, batches)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert model.layers[0].layer.kernel.regularizer.weight_decay == 10.0
    assert (layer.name, measured.batch_size, measured.batches) == ("block", 16, 3)
    np.testing.assert_allclose(figures(layer), by_hand(model, batches), rtol=1e-5)


def test_an_activation_argument_is_seen_from_inside(rng):
    model = keras.Sequential(
        [keras.Input((3,)), layers.Dense(4, activation="tanh", name="hidden"), layers.Dense(1)]
    )
    model.compile(loss="mse")
    x, y = rng.normal(size=(2, 10, 3)).astype("float32")
    y = y[:, :1]
    (layer,) = measure_gradients(model, (x, y))
    weights, bias, out, out_bias = (as_float64(w) for w in model.weights)
    a = np.tanh(x @ weights + bias)
    error = 2 * (a @ out + out_bias - y) / len(x)
    of_activation = (error @ out.T) * (1 - a**2)
    expected = [np.abs(x).mean(), np.abs(x.T @ of_activation).mean(), np.abs(of_activation).mean()]
    np.testing.assert_allclose(figures(layer), expected, rtol=1e-5)


def test_random_seeds_and_metrics_are_put_back_also_on_an_error(rng):
    inputs = keras.Input((3,))
    hidden = layers.Dropout(0.5)(layers.Dense(4, activation="tanh", name="hidden")(inputs))
    outputs = [layers.Dense(2, name="one")(hidden), layers.Dense(2, name="other")(hidden)]
    model = keras.Model(inputs, outputs)
    model.compile("sgd", ["mse", "mse"])
    x = rng.normal(size=(12, 3)).astype("float32")
    y = [np.zeros((12, 2), "float32")] * 2
    model.evaluate(x, y, verbose=0)
    variables = model.non_trainable_variables + model.metrics_variables
    before = [ops.convert_to_numpy(variable) for variable in variables]
    assert len(before) >= 3
    one = measure_gradients(model, (x, y))
    again = measure_gradients(model, (x, y))
    assert figures(one[0]) == figures(again[0])

    def failing():
        yield x, y
        raise RuntimeError("midway")

    with pytest.raises(RuntimeError, match="midway"):
        measure_gradients(model, failing())
    for old, variable in zip(before, variables, strict=True):
        np.testing.assert_array_equal(old, ops.convert_to_numpy(variable))


def test_weights_that_a_layer_assigns_are_put_back(rng):
    normalized = layers.SpectralNormalization(layers.Dense(4, activation="tanh", name="hidden"))
    model = keras.Sequential([keras.Input((3,)), normalized])
    model.compile("sgd", "mse")
    x = rng.normal(size=(12, 3)).astype("float32")
    before = [ops.convert_to_numpy(variable) for variable in model.variables]
    measure_gradients(model, (x, np.ones((12, 4))))
    for old, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(old, ops.convert_to_numpy(variable))
    # That they are assigned at all.
    model(x, training=True)
    assert np.abs(before[0] - ops.convert_to_numpy(model.variables[0])).max() > 0.01


def test_metrics_made_meanwhile_hold_nothing(rng):
    inputs = keras.Input((3,))
    hidden = layers.Dense(4, activation="tanh")(inputs)
    outputs = [layers.Dense(2, name="one")(hidden), layers.Dense(2, name="other")(hidden)]
    model = keras.Model(inputs, outputs)
    model.compile("sgd", ["mse", "mse"], metrics=["mae", "mae"])
    x = rng.normal(size=(12, 3)).astype("float32")
    measure_gradients(model, (x, [np.ones((12, 2), "float32")] * 2))
    for variable in model.metrics_variables:
        np.testing.assert_array_equal(ops.convert_to_numpy(variable), 0.0)


def test_what_is_compiled_goes_with_the_model(rng):
    class Own(keras.Sequential):
        def own_loss(self, y_true, y_pred):
            return keras.ops.mean(keras.ops.abs(y_true - y_pred))

    model = Own([keras.Input((3,)), layers.Dense(4, activation="tanh", name="hidden")])
    x = rng.normal(size=(12, 3)).astype("float32")
    y = np.zeros((12, 4), "float32")
    model.compile("sgd", model.own_loss)
    absolute = measure_gradients(model, (x, y))
    model.compile("sgd", "mse")
    squared = measure_gradients(model, (x, y))
    assert squared[0].weight_gradient != pytest.approx(absolute[0].weight_gradient, rel=0.01)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_float16_does_not_lose_small_gradients(rng):
    keras.config.set_dtype_policy("mixed_float16")
    model = block_model("swap")
    model.layers[-1].kernel.assign(model.layers[-1].kernel * 1e-6)
    batches = batches_of(rng, (16,))
    (half,) = measure_gradients(model, batches)
    keras.config.set_dtype_policy("float32")
    full = block_model("swap")
    full.set_weights(model.get_weights())
    (layer,) = measure_gradients(full, batches)
    assert layer.activation_gradient < 6e-8  # Below float16's smallest number.
    np.testing.assert_allclose(figures(half), figures(layer), rtol=HALF)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX has no float64 unless told so")
def test_in_float64_gradients_are_those_of_float32(rng):
    single = block_model("swap")
    batches = batches_of(rng, (16,))
    (expected,) = measure_gradients(single, batches)
    keras.config.set_dtype_policy("float64")
    keras.config.set_floatx("float64")
    try:
        double = block_model("swap")
        double.set_weights(single.get_weights())
        (layer,) = measure_gradients(double, batches)
    finally:
        keras.config.set_floatx("float32")
    np.testing.assert_allclose(figures(layer), figures(expected), rtol=1e-5)


def test_the_loss_scale_is_that_of_the_moment(rng):
    keras.config.set_dtype_policy("mixed_float16")
    model = block_model("swap")
    data = batches_of(rng, (8,))
    (before,) = measure_gradients(model, data)
    model.optimizer.build(model.trainable_variables)
    model.optimizer.dynamic_scale.assign(8.0)
    (lower,) = measure_gradients(model, data)
    np.testing.assert_allclose(figures(lower), figures(before), rtol=HALF)
    model.optimizer.dynamic_scale.assign(1e30)
    (overflowing,) = measure_gradients(model, data)
    assert not np.isfinite(overflowing.weight_gradient)


@pytest.mark.parametrize("order", ["swap", "convention"])
def test_two_replicas_equal_one(rng, order, two_replicas):
    with two_replicas.scope():
        model = block_model(order, synchronized=True)
    single = block_model(order)
    single.set_weights(model.get_weights())
    batches = batches_of(rng, (16, 7))
    before = [ops.convert_to_numpy(variable) for variable in model.non_trainable_variables]
    two, one = measure_gradients(model, batches), measure_gradients(single, batches)
    np.testing.assert_allclose(figures(two[0]), figures(one[0]), rtol=1e-5)
    for old, variable in zip(before, model.non_trainable_variables, strict=True):
        for replica in two_replicas.experimental_local_results(variable.value):
            np.testing.assert_array_equal(old, np.array(replica))
    with_one_more = measure_gradients(model, [*batches, *batches_of(rng, (1,))])
    assert (figures(with_one_more[0]), with_one_more.batches) == (figures(two[0]), 2)
    with pytest.raises(ValueError, match="2 examples or more for 2 replicas"):
        measure_gradients(model, batches_of(rng, (1,)))


def test_layers_of_a_network_and_their_table(rng):
    model = compiled(VGG16(8, width=0.05))
    data = rng.normal(size=(6, 32, 32, 3)).astype("float32"), rng.integers(0, 10, 6)
    measured = measure_gradients(model, data, layers="conv*", steps=1)
    assert [record["layer"] for record in measured.records()] == [f"conv{i}" for i in range(1, 6)]
    assert str(measured).count("\n") == 6
    assert "means of 1 batches of 6" in str(measured)


@pytest.mark.parametrize("frozen", [0, 1])
def test_layers_that_are_not_trained_have_gradients(frozen, rng):
    model = keras.Sequential(
        [keras.Input((3,)), layers.Dense(4, "tanh", name="a"), layers.Dense(2, "tanh", name="b")]
    )
    model.compile(loss="mse")
    data = rng.normal(size=(10, 3)).astype("float32"), rng.normal(size=(10, 2)).astype("float32")
    expected = [figures(layer) for layer in measure_gradients(model, data)]
    model.layers[frozen].trainable = False
    found = [figures(layer) for layer in measure_gradients(model, data)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_kernel_of_integers_has_none(rng):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="tanh", name="hidden")])
    model.layers[0].quantize("int8")
    model.compile(loss="mse")
    x = rng.normal(size=(8, 4)).astype("float32")
    (layer,) = measure_gradients(model, (x, x[:, :3]))
    assert np.isnan(layer.weight_gradient)
    assert layer.activation_gradient > 0.0


def test_mistakes(rng):
    model = block_model("swap")
    (x, y), *_ = batches_of(rng, (4,))
    for data in (x, (x, None, np.ones(4))):
        with pytest.raises(ValueError, match="no labels"):
            measure_gradients(model, data)
    with pytest.raises(ValueError, match="not compiled with a loss"):
        measure_gradients(keras.Sequential([keras.Input((2,)), layers.Dense(2)]), np.ones((4, 2)))
    with pytest.raises(ValueError, match="holds no batch"):
        measure_gradients(model, (x[:0], y[:0]))
    with pytest.raises(ValueError, match="got 0"):
        measure_gradients(model, (x, y), steps=0)
    bare = keras.Sequential([keras.Input((2,)), layers.ReLU()])
    bare.compile(loss="mse")
    with pytest.raises(ValueError, match="weight layer before it"):
        measure_gradients(bare, (np.ones((4, 2)), np.ones((4, 2))))
