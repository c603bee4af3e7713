"""`BoundedBlock` against the same stock Keras layers in the same order."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import NEEDS_FLOAT64
from differentiation import gradients
from keras import layers, ops
from oracle import as_float64

import keras_bnact
from keras_bnact import activations
from keras_bnact.layers import BoundedBlock, DynamicTanh, LecunTanh, Softsign, Tanh
from keras_bnact.normalization import BatchNormalization
from keras_bnact.regularizers import WeightDecay

# Name: makes the layer, shape of an input without the batch.
CATALOGUE = {
    "dense": (lambda **k: layers.Dense(6, **k), (5,)),
    "dense_on_sequence": (lambda **k: layers.Dense(6, **k), (7, 5)),
    "conv1d": (lambda **k: layers.Conv1D(6, 3, **k), (9, 4)),
    "conv2d": (lambda **k: layers.Conv2D(6, 3, strides=2, padding="same", **k), (9, 8, 3)),
    "conv3d": (lambda **k: layers.Conv3D(4, 2, **k), (4, 5, 4, 2)),
    "depthwise": (lambda **k: layers.DepthwiseConv2D(3, **k), (8, 8, 5)),
    "separable": (lambda **k: layers.SeparableConv2D(6, 3, **k), (8, 8, 3)),
}
BATCH = 8
ORDERS = ("swap", "convention", "nobn")


def make_pair(make_layer, order, activation="tanh", **arguments):
    """A block and the stock layers it should equal, with the same weights."""
    block = BoundedBlock(make_layer(**arguments), activation=activation, order=order)
    normalization = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, **arguments)
    act = layers.Activation(activations.get(activation), **arguments)
    steps = {
        "swap": [act, normalization],
        "convention": [normalization, act],
        "nobn": [act],
    }[order]
    return block, keras.Sequential([make_layer(**arguments), *steps])


def same_weights(block, stock, shape, rng):
    block.build((None, *shape))
    stock.build((None, *shape))
    values = [rng.normal(0.2, 0.5, w.shape) for w in block.weights]
    for index, weight in enumerate(block.weights):
        if weight.name in ("gamma", "moving_variance"):
            values[index] = np.abs(values[index]) + 0.5
    ours = {(w.name, w.shape): value for w, value in zip(block.weights, values, strict=True)}
    block.set_weights(values)
    stock.set_weights([ours[w.name, w.shape] for w in stock.weights])


def evaluate(model, inputs, cotangent, training):
    def loss(inputs):
        outputs = model(inputs, training=training)
        return ops.sum(ops.multiply(ops.cast(outputs, "float32"), cotangent))

    found = gradients(loss, [inputs], model.trainable_weights)
    outputs = model(inputs, training=training)
    names = ["inputs", *[f"{w.name}{tuple(w.shape)}" for w in model.trainable_weights]]
    state = {w.name: ops.convert_to_numpy(w) for w in model.non_trainable_weights}
    return ops.convert_to_numpy(outputs), dict(zip(names, found, strict=True)), state


def assert_close(actual, expected, tolerance, scale=None):
    actual, expected = map(ops.convert_to_numpy, (actual, expected))
    largest = np.abs(expected).max() if scale is None else scale
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * largest)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", CATALOGUE)
def test_equals_stock_layers_in_float32(kind, order, training, rng):
    make_layer, shape = CATALOGUE[kind]
    block, stock = make_pair(make_layer, order)
    same_weights(block, stock, shape, rng)
    inputs = rng.normal(0, 1, (BATCH, *shape)).astype("float32")
    cotangent = rng.normal(0, 1, block.compute_output_shape(inputs.shape)).astype("float32")

    outputs, found, state = evaluate(block, inputs, cotangent, training)
    expected, expected_gradients, expected_state = evaluate(stock, inputs, cotangent, training)

    assert_close(outputs, expected, 1e-6)
    assert state.keys() == expected_state.keys()
    for name in state:
        assert_close(state[name], expected_state[name], 1e-6)
    assert found.keys() == expected_gradients.keys()
    for name, gradient in expected_gradients.items():
        # Normalization takes a bias before it away again, whose true gradient is zero.
        vanishes = training and order == "convention" and name.startswith("bias")
        scale = np.abs(expected_gradients["inputs"]).max() * BATCH if vanishes else None
        assert_close(found[name], gradient, 1e-5, scale)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("order", ["swap", "convention"])
@pytest.mark.parametrize("kind", CATALOGUE)
@pytest.mark.parametrize(
    "policy",
    [
        *("mixed_bfloat16", "mixed_float16", "bfloat16", "float16"),
        pytest.param("float64", marks=NEEDS_FLOAT64),
    ],
)
def test_equals_stock_layers_under_other_policies(policy, kind, order, training, rng):
    make_layer, shape = CATALOGUE[kind]
    block, stock = make_pair(make_layer, order, dtype=policy)
    same_weights(block, stock, shape, rng)
    inputs = rng.normal(0, 1, (BATCH, *shape))

    outputs = block(inputs, training=training)
    expected = stock(inputs, training=training)

    dtypes = [keras.backend.standardize_dtype(x.dtype) for x in (outputs, expected)]
    assert dtypes == [keras.DTypePolicy(policy).compute_dtype] * 2
    for ours, theirs in zip(block.non_trainable_weights, stock.non_trainable_weights, strict=True):
        # Where weights have few digits themselves, one unit in the last place again.
        pure = {"bfloat16": 2.0**-7, "float16": 2.0**-10}.get(policy, 1e-6)
        assert_close(*(as_float64(w) for w in (ours, theirs)), pure)
    outputs, expected = as_float64(outputs), as_float64(expected)
    if policy == "float64":
        assert_close(outputs, expected, 1e-12)
        return
    # One unit in the last place of the larger of the two.
    digits, smallest = {"bfloat16": (7, -133), "float16": (10, -24)}[block.compute_dtype]
    magnitude = np.maximum(np.abs(outputs), np.abs(expected))
    exponent = np.floor(np.log2(np.maximum(magnitude, 2.0**-140)))
    unit = 2.0 ** np.maximum(exponent - digits, smallest)
    assert np.all(np.abs(outputs - expected) <= unit)


EVERY_RANK = [(6, 5), (6, 3, 5), (6, 4, 3, 5), (6, 2, 3, 2, 5)]


@pytest.mark.tensorflow
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("shape", EVERY_RANK)
def test_normalization_takes_the_fused_kernel_at_every_rank(shape, policy, monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError("fell back on separate ops")

    monkeypatch.setattr(keras.layers.BatchNormalization, "call", fail)
    layer = BatchNormalization(dtype=policy)
    assert layer(np.ones(shape), training=True).shape == shape


@pytest.mark.tensorflow
@pytest.mark.parametrize("shape", EVERY_RANK)
def test_inference_reshapes_nothing(shape):
    """Which would keep converters to ONNX and TFLite from folding it into a convolution."""
    layer = BatchNormalization()
    layer.build(shape)
    traced = tf.function(lambda x: layer(x, training=False))
    graph = traced.get_concrete_function(tf.TensorSpec((None, *shape[1:]))).graph
    types = {operation.type for operation in graph.get_operations()}
    assert "Reshape" not in types
    # Which computes faster than separate operations do.
    assert ("FusedBatchNormV3" in types) == (len(shape) == 4)


@pytest.mark.tensorflow
def test_normalization_falls_back_on_keras(monkeypatch, rng):
    called = []
    original = keras.layers.BatchNormalization.call

    def record(self, *args, **kwargs):
        called.append(self.name)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(keras.layers.BatchNormalization, "call", record)
    inputs = rng.normal(0, 1, (4, 3, 5)).astype("float32")
    BatchNormalization(axis=1, name="axis")(inputs, training=True)
    BatchNormalization(dtype="float64", name="float64")(inputs, training=True)
    mask = np.ones((4, 3), bool)
    BatchNormalization(name="mask")(inputs, training=True, mask=mask)
    assert called == ["axis", "float64", "mask"]
    renorm = BatchNormalization(name="renorm")
    # As an argument, of Keras 3.14 and later.
    renorm.renorm = True
    assert not renorm._own_kernels_apply(inputs, training=True, mask=None)


@pytest.mark.parametrize("arguments", [{"scale": False}, {"center": False}])
def test_normalization_without_gamma_or_beta_equals_keras(arguments, rng):
    inputs = rng.normal(1, 2, (8, 4, 4, 3)).astype("float32")
    ours, stock = BatchNormalization(**arguments), layers.BatchNormalization(**arguments)
    for training in (True, False):
        assert_close(ours(inputs, training=training), stock(inputs, training=training), 1e-6)


def test_frozen_normalization_keeps_its_statistics(rng):
    inputs = rng.normal(1, 2, (8, 4, 4, 3)).astype("float32")
    block = BoundedBlock(layers.Conv2D(4, 3))
    block(inputs, training=True)
    block.trainable = False
    before = [w.numpy() for w in block.weights]
    frozen = block(inputs, training=True)
    np.testing.assert_array_equal(frozen, block(inputs, training=False))
    for old, weight in zip(before, block.weights, strict=True):
        np.testing.assert_array_equal(old, weight.numpy())


def _shared(replicas, *arrays):
    """Five examples for one replica, and the rest for the other."""

    def of_replica(context):
        part = slice(5) if context.replica_id_in_sync_group == 0 else slice(5, None)
        return tuple(tf.constant(array[part]) for array in arrays)

    return replicas.experimental_distribute_values_from_function(of_replica)


@pytest.mark.parametrize("mean", [0.0, 0.99])
def test_synchronized_replicas_normalize_as_one_device(mean, rng, two_replicas):
    # Around 0.99 lie the values of a saturated tanh, whose variance is small beside the mean.
    inputs = (mean + 0.003 * rng.normal(0, 1, (8, 5, 5, 3))).astype("float32")
    cotangent = rng.normal(0, 1, inputs.shape).astype("float32")

    def train_on(layer, images, weights):
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = layer(images, training=True)
            loss = tf.reduce_sum(outputs * weights)
        moving = [layer.moving_mean.value, layer.moving_variance.value]
        return [outputs, tape.gradient(loss, images), *map(tf.convert_to_tensor, moving)]

    with two_replicas.scope():
        synchronized = BatchNormalization(synchronized=True)
        synchronized.build(inputs.shape)
    step = tf.function(lambda images, weights: train_on(synchronized, images, weights))
    parts = two_replicas.run(step, _shared(two_replicas, inputs, cotangent))
    outputs, gradient, *moving = map(two_replicas.experimental_local_results, parts)
    single = BatchNormalization()
    single.build(inputs.shape)
    expected, expected_gradient, *expected_moving = train_on(single, tf.constant(inputs), cotangent)
    # The mean's rounding beside a deviation of 0.003: 0.99 * 2**-24 / 0.003 = 2e-5.
    assert_close(np.concatenate(outputs), expected, 1e-6 if mean == 0.0 else 2e-5)
    assert_close(np.concatenate(gradient), expected_gradient, 1e-5 if mean == 0.0 else 5e-5)
    for replicas, value in zip(moving, expected_moving, strict=True):
        for replica in replicas:
            assert_close(replica, value, 1e-6)


def test_second_derivatives_of_synchronized_replicas(rng, two_replicas):
    # As of a gradient penalty.
    inputs, weights = rng.normal(0, 1, (2, 8, 3)).astype("float32")

    def second(layer, rows, weights):
        with tf.GradientTape() as outer:
            outer.watch(rows)
            with tf.GradientTape() as inner:
                inner.watch(rows)
                loss = tf.reduce_sum(layer(rows, training=True) ** 3 * weights)
            first = inner.gradient(loss, rows)
            penalty = tf.reduce_sum(first**2)
        return outer.gradient(penalty, rows)

    with two_replicas.scope():
        synchronized = BatchNormalization(synchronized=True)
        synchronized.build(inputs.shape)
    step = tf.function(lambda rows, weights: second(synchronized, rows, weights))
    parts = two_replicas.run(step, _shared(two_replicas, inputs, weights))
    single = BatchNormalization()
    single.build(inputs.shape)
    expected = second(single, tf.constant(inputs), weights)
    assert_close(np.concatenate(two_replicas.experimental_local_results(parts)), expected, 1e-5)


def test_moving_variance_is_the_biased_one_also_for_tiny_batches():
    block = BatchNormalization(momentum=0.0)
    block(np.array([[1.0], [3.0]], "float32"), training=True)
    assert float(block.moving_variance[0]) == pytest.approx(1.0, rel=1e-6)
    block(np.array([[7.0]], "float32"), training=True)
    assert float(block.moving_variance[0]) == 0.0


@pytest.mark.parametrize("activation", ["tanh", "lecun_tanh", "softsign", "relu"])
@pytest.mark.parametrize("order", ORDERS)
def test_compiled_inference_of_a_convolution(order, activation, rng):
    # TensorFlow's graph optimizer fuses what it has no kernel for: a convolution without bias,
    # normalization and tanh.
    inputs = keras.Input((8, 8, 3))
    layer = layers.Conv2D(4, 3, use_bias=False)
    block = BoundedBlock(layer, activation=activation, order=order)
    model = keras.Model(inputs, block(inputs))
    images = rng.normal(0, 1, (4, 8, 8, 3)).astype("float32")
    assert_close(model.predict(images, verbose=0), ops.convert_to_numpy(model(images)), 1e-5)


@pytest.mark.parametrize("order", ["swap", "convention"])
@pytest.mark.parametrize(
    ("wrapper", "time"),
    [(lambda x: x, ()), (layers.SpectralNormalization, ()), (layers.TimeDistributed, (4,))],
)
def test_channels_first_normalizes_the_channels(wrapper, time, order):
    convolution = layers.Conv2D(6, 3, data_format="channels_first")
    block = BoundedBlock(wrapper(convolution), order=order)
    assert block.normalization.axis == 1 + len(time)
    # TensorFlow's CPU has no channels-first convolution, so the shape is all there is to see.
    assert block.compute_output_shape((2, *time, 3, 8, 8)) == (2, *time, 6, 6, 6)
    block.build((2, *time, 3, 8, 8))
    assert block.normalization.gamma.shape == (6,)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("make_layer", "shape"),
    [
        (lambda: layers.SpectralNormalization(layers.Conv2D(6, 3)), (8, 8, 3)),
        (lambda: layers.TimeDistributed(layers.Conv1D(6, 3)), (4, 8, 3)),
        (lambda: layers.SimpleRNN(6, activation=None), (4, 3)),
    ],
)
def test_a_wrapped_or_recurrent_linear_layer_equals_stock_layers(make_layer, shape, order, rng):
    block, stock = make_pair(make_layer, order)
    same_weights(block, stock, shape, rng)
    inputs = rng.normal(0, 1, (BATCH, *shape)).astype("float32")
    for training in (True, False):
        outputs = block(inputs, training=training)
        assert_close(outputs, stock(inputs, training=training), 1e-6)
        assert block.compute_output_shape(inputs.shape) == outputs.shape


def test_a_layer_of_a_list_of_inputs(rng):
    inputs = [keras.Input((length, 3)) for length in (4, 5, 5)]
    block, stock = make_pair(lambda: layers.Attention(use_scale=True), "swap")
    model = keras.Model(inputs, block(inputs))
    arrays = [rng.normal(0, 1, (2, *x.shape[1:])).astype("float32") for x in inputs]
    attention, activation, normalization = stock.layers
    expected = normalization(activation(attention(arrays)))
    assert_close(model(arrays), expected, 1e-6)


def test_the_mask_reaches_normalization_and_the_next_layer(rng):
    sequence = rng.normal(0, 1, (4, 6, 3)).astype("float32")
    sequence[:, 4:] = 0.0
    block, stock = make_pair(lambda **k: layers.Dense(5, **k), "swap")
    same_weights(block, stock, (6, 3), rng)
    masked = layers.Masking()(sequence)
    outputs = block(masked, training=True)
    dense, activation, normalization = stock.layers
    expected = normalization(activation(dense(masked)), training=True)
    assert_close(outputs, expected, 1e-6)
    assert_close(block.normalization.moving_mean, normalization.moving_mean, 1e-6)
    mask = np.array([[True] * 4 + [False] * 2] * 4)
    np.testing.assert_array_equal(outputs._keras_mask, mask)

    explicit = BoundedBlock(block.layer)
    explicit.build(sequence.shape)
    explicit.set_weights(block.get_weights())
    again = explicit(sequence, training=True, mask=mask)
    unmasked = explicit(sequence, training=True)
    assert_close(again, outputs, 1e-6)
    assert not np.allclose(as_float64(unmasked), as_float64(outputs), atol=1e-3)


def test_the_mask_ends_at_a_layer_that_supports_none(rng):
    masked = layers.Masking()(rng.normal(0, 1, (4, 6, 3)).astype("float32"))
    with pytest.warns(UserWarning, match="does not support masking"):
        outputs = BoundedBlock(layers.Conv1D(5, 2))(masked)
    assert getattr(outputs, "_keras_mask", None) is None


@pytest.mark.parametrize("kind", CATALOGUE)
def test_compute_output_shape(kind):
    make_layer, shape = CATALOGUE[kind]
    block = BoundedBlock(make_layer())
    outputs = block(np.zeros((2, *shape), "float32"))
    assert block.compute_output_shape((2, *shape)) == outputs.shape
    assert block.compute_output_shape((None, *shape)) == (None, *outputs.shape[1:])


def test_the_layer_is_left_as_it_is():
    layer = layers.Conv2D(4, 3, use_bias=False, name="mine")
    config = layer.get_config()
    block = BoundedBlock(layer, order="swap")
    assert block.layer is layer
    assert layer.get_config() == config
    block.build((None, 8, 8, 3))
    assert layer.bias is None


def test_weights_are_found_by_name():
    block = BoundedBlock(layers.Conv2D(4, 3, name="conv"), name="block")
    block.build((None, 8, 8, 3))
    assert [w.path for w in block.weights] == [
        "block/conv/kernel",
        "block/conv/bias",
        "block/normalization/gamma",
        "block/normalization/beta",
        "block/normalization/moving_mean",
        "block/normalization/moving_variance",
    ]


def test_regularizers_are_those_of_gamma_and_beta():
    block = BoundedBlock(layers.Dense(3), gamma_regularizer=WeightDecay(0.5), beta_regularizer="l2")
    block.build((None, 2))
    assert float(ops.convert_to_numpy(sum(block.losses))) == pytest.approx(0.25 * 3, rel=1e-6)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"activation": "lecun_tanh", "order": "convention", "momentum": 0.7, "epsilon": 1e-3},
        {"activation": LecunTanh(), "order": "nobn"},
        {"activation": layers.PReLU(), "scale": False, "center": False},
        {"gamma_regularizer": WeightDecay(1e-3), "beta_initializer": "ones"},
        {"dtype": "mixed_bfloat16", "name": "given"},
        pytest.param({"synchronized": True}, marks=pytest.mark.tensorflow),
    ],
)
def test_is_saved_and_loaded(arguments, rng, tmp_path):
    inputs = keras.Input((6, 6, 2))
    model = keras.Model(inputs, BoundedBlock(layers.Conv2D(3, 3), **arguments)(inputs))
    images = rng.normal(0, 1, (4, 6, 6, 2)).astype("float32")
    model(images, training=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(as_float64(loaded(images)), as_float64(model(images)))
    configs = [json.dumps(m.layers[1].get_config()) for m in (loaded, model)]
    assert configs[0] == configs[1]


@pytest.mark.runs
def test_loads_in_a_process_that_only_imports_the_package(rng, tmp_path, run_python):
    model = keras.Sequential([keras.Input((4,)), BoundedBlock(layers.Dense(3), "lecun_tanh")])
    model.save(tmp_path / "model.keras")
    for imports in ("import keras_bnact, keras", "import keras, keras_bnact"):
        code = f"{imports}; print(keras.saving.load_model(r'{tmp_path / 'model.keras'}').layers)"
        finished = run_python("-c", code)
        assert "BoundedBlock" in finished.stdout, finished.stderr


def test_an_activation_layer_keeps_its_dtype():
    act = layers.Activation("tanh", dtype="float32")
    block = BoundedBlock(layers.Dense(4, dtype="mixed_bfloat16"), act, order="convention")
    for inputs in (keras.Input((3,)), np.ones((2, 3))):
        assert keras.backend.standardize_dtype(block(inputs).dtype) == "float32"


def test_a_name_that_is_a_custom_object_too_stays_a_name():
    block = BoundedBlock(layers.Dense(3), name="gate")
    again = BoundedBlock.from_config(block.get_config(), custom_objects={"gate": ops.tanh})
    assert again.name == "gate"


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"'swapped'.*swap, convention, nobn"):
        BoundedBlock(layers.Dense(3), order="swapped")
    with pytest.raises(ValueError, match=r"layer 'd' has 'tanh'.*activation=None"):
        BoundedBlock(layers.Dense(3, activation="tanh", name="d"))
    with pytest.raises(ValueError, match="got 3"):
        BoundedBlock(3)
    with pytest.raises(ValueError, match="'sofsign'"):
        BoundedBlock(layers.Dense(3), activation="sofsign")


REFUSED = {
    "spectral": (
        lambda: layers.SpectralNormalization(layers.Conv2D(3, 3, activation="relu", name="inner")),
        r"layer 'inner' has 'relu': give the layer activation=None\.$",
    ),
    "time_distributed": (
        lambda: layers.TimeDistributed(layers.Dense(3, activation="relu", name="inner")),
        r"layer 'inner' has 'relu': give the layer activation=None\.$",
    ),
    "normalization": (
        lambda: layers.BatchNormalization(name="norm"),
        "got <BatchNormalization.*norm",
    ),
    "wrapped_normalization": (
        lambda: layers.TimeDistributed(layers.LayerNormalization(name="norm")),
        "got <LayerNormalization.*norm",
    ),
    "activation": (lambda: layers.PReLU(name="prelu"), "got <PReLU.*prelu"),
    "block": (lambda: BoundedBlock(layers.Dense(3), name="inner"), "got <BoundedBlock.*inner"),
    "recurrent": (
        lambda: layers.LSTM(3, name="lstm"),
        "'lstm' needs its own 'tanh' in every step: use it without a block",
    ),
    "cell": (lambda: layers.RNN(layers.GRUCell(3), name="rnn"), "recurrent layer 'rnn' needs"),
    "cells": (
        lambda: layers.RNN([layers.SimpleRNNCell(3), layers.LSTMCell(3)], name="rnn"),
        "recurrent layer 'rnn' needs",
    ),
    "both_ways": (
        lambda: layers.Bidirectional(layers.LSTM(3), name="both"),
        "recurrent layer 'both' needs its own 'tanh'",
    ),
    "attention": (
        lambda: layers.MultiHeadAttention(2, 2, name="heads"),
        "layer 'heads' needs query and value: use it without a block",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_layers_that_a_block_is_wrong_for_are_refused(kind):
    """When a block is made, and when it is loaded."""
    make_layer, message = REFUSED[kind]
    with pytest.raises(ValueError, match=message):
        BoundedBlock(make_layer())
    config = BoundedBlock(layers.Dense(3)).get_config()
    config["layer"] = keras.saving.serialize_keras_object(make_layer())
    with pytest.raises(ValueError, match=message):
        BoundedBlock.from_config(config)


@pytest.mark.parametrize(
    ("layer", "name"), [(Tanh, "tanh"), (LecunTanh, "lecun_tanh"), (Softsign, "softsign")]
)
def test_activation_layers_are_their_functions(layer, name, rng):
    inputs = rng.normal(0, 2, (3, 4)).astype("float32")
    again = layer.from_config(layer(name="a").get_config())
    assert again.name == "a"
    np.testing.assert_array_equal(again(inputs), activations.get(name)(inputs))
    assert activations.bounds(again) == activations.bounds(name)
    assert again.compute_output_shape((3, 4)) == (3, 4)


def test_the_block_is_the_packages():
    assert keras_bnact.BoundedBlock is BoundedBlock


@pytest.mark.parametrize("axis", [-1, 1])
def test_dynamic_tanh(axis, rng):
    layer = DynamicTanh(axis=axis)
    x = rng.normal(size=(2, 3, 4)).astype("float32")
    np.testing.assert_allclose(as_float64(layer(x)), np.tanh(x / 2), atol=1e-6)
    channels = x.shape[axis]
    values = [np.float32(1.5), *rng.normal(size=(2, channels)).astype("float32")]
    layer.set_weights(values)
    alpha, gamma, beta = (value.astype("float64") for value in values)
    by_channel = np.moveaxis(gamma * np.tanh(alpha * np.moveaxis(x, axis, -1)) + beta, -1, axis)
    np.testing.assert_allclose(as_float64(layer(x)), by_channel, atol=1e-6)
    again = DynamicTanh.from_config(layer.get_config())
    again.build(x.shape)
    assert [(w.name, w.shape) for w in again.weights] == [(w.name, w.shape) for w in layer.weights]
    assert again.axis == axis


def test_dynamic_tanh_has_no_channels_among_the_examples():
    with pytest.raises(ValueError, match=r"along axis 0 of inputs of shape \(2, 3\): give another"):
        DynamicTanh(axis=0)(np.ones((2, 3)))
