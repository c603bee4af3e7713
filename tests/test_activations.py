import functools
import re

import keras
import numpy as np
import pytest
import scipy.special
from keras import ops
from oracle import as_float64

from keras_bnact import activations

X = np.linspace(-20.0, 20.0, 401)

ORACLES = {
    "tanh": np.tanh,
    "lecun_tanh": lambda x: 1.7159 * np.tanh(2.0 * x / 3.0),
    "softsign": lambda x: x / (1.0 + np.abs(x)),
    "hard_tanh": lambda x: np.clip(x, -1.0, 1.0),
    "arctan": np.arctan,
    "erf": scipy.special.erf,
    "shifted_tanh": lambda x: np.tanh(x - 1.0),
    "penalized_tanh": lambda x: np.where(x > 0, np.tanh(x), 0.25 * np.tanh(x)),
    "relu": lambda x: np.maximum(x, 0.0),
}
BOUNDS = {
    "tanh": (-1.0, 1.0),
    "lecun_tanh": (-1.7159, 1.7159),
    "softsign": (-1.0, 1.0),
    "hard_tanh": (-1.0, 1.0),
    "arctan": (-np.pi / 2, np.pi / 2),
    "erf": (-1.0, 1.0),
    "shifted_tanh": (-1.0, 1.0),
    "penalized_tanh": (-0.25, 1.0),
    "relu": None,
}
# Bounded functions of Keras, of its operations and of its backend.
THEIRS = {
    "sigmoid": (0.0, 1.0),
    "hard_sigmoid": (0.0, 1.0),
    "sparse_sigmoid": (0.0, 1.0),
    "hard_tanh": (-1.0, 1.0),
    "erf": (-1.0, 1.0),
    "tanh": (-1.0, 1.0),
    "softsign": (-1.0, 1.0),
}


@pytest.fixture
def own_function():
    """A registered function, taken out of the registry again."""

    @activations.register(bounds=(-2.5, 2.5), package="tests")
    def steep(x):
        return 2.5 * ops.tanh(4.0 * x)

    yield steep
    del activations._KNOWN["steep"]


@pytest.mark.parametrize("name", ORACLES)
def test_values_match_numpy(name):
    outputs = ops.convert_to_numpy(activations.get(name)(ops.convert_to_tensor(X, "float32")))
    np.testing.assert_allclose(outputs, ORACLES[name](X), rtol=1e-6, atol=1e-6)


def test_oracles_are_of_all_there_are():
    assert tuple(ORACLES) == activations.names()


@pytest.mark.parametrize("name", ORACLES)
def test_bound_of_name_function_and_layer(name):
    expected = BOUNDS[name]
    function = activations.get(name)
    assert activations.bounds(name) == expected
    assert activations.bounds(function) == expected
    assert activations.bounds(keras.layers.Activation(function)) == expected
    assert activations.bounds(keras.layers.Dense(2, activation=function)) == expected


@pytest.mark.parametrize("name", list(ORACLES | THEIRS))
def test_bounds_are_the_asymptotes(name):
    functions = [activations.get(name)] if name in ORACLES else []
    functions += [getattr(of, name) for of in (keras.activations, ops) if hasattr(of, name)]
    bounds = [activations.bounds(function) for function in functions]
    ends = [
        [float(function(ops.convert_to_tensor(x, "float32"))) for x in (-1e7, 1e7)]
        for function in functions
    ]
    assert functions
    if name != "relu":
        np.testing.assert_allclose(bounds, ends, atol=2e-7)
        assert {*bounds} == {(BOUNDS | THEIRS)[name]}


def test_bounds_of_a_backends_functions():
    name = keras.backend.backend()
    if name == "tensorflow":
        import tensorflow as tf

        functions = [tf.nn.tanh, tf.tanh, tf.nn.sigmoid, tf.nn.softsign, tf.math.erf]
    elif name == "jax":
        import jax

        functions = [jax.nn.tanh, jax.numpy.tanh, jax.nn.sigmoid, jax.nn.soft_sign]
        functions.append(jax.scipy.special.erf)
    else:
        import torch

        functions = [torch.tanh, torch.nn.functional.tanh, torch.sigmoid]
        functions += [torch.nn.functional.softsign, torch.erf]
    expected = [(-1.0, 1.0), (-1.0, 1.0), (0.0, 1.0), (-1.0, 1.0), (-1.0, 1.0)]
    assert [activations.bounds(function) for function in functions] == expected


def test_bound_of_what_keras_calls_the_same():
    assert activations.bounds(keras.activations.tanh) == (-1.0, 1.0)
    assert activations.bounds(keras.activations.softsign) == (-1.0, 1.0)
    assert activations.bounds(keras.layers.Conv2D(2, 3, activation="tanh")) == (-1.0, 1.0)
    assert activations.bounds(keras.layers.ReLU()) is None


@pytest.mark.parametrize(
    "unknown", ["tahn", keras.activations.gelu, keras.layers.ReLU(6.0), lambda x: x]
)
def test_bound_of_unknown_activation_says_what_to_do(unknown):
    with pytest.raises(ValueError, match="register") as error:
        activations.bounds(unknown)
    assert repr(unknown) in str(error.value)


def test_a_function_of_the_same_name_is_not_ours():
    def tanh(x):
        return 3.0 * ops.tanh(x)

    with pytest.raises(ValueError, match="Unknown activation"):
        activations.bounds(tanh)


def test_registered_function_is_known_by_name(own_function):
    assert activations.get("steep") is own_function
    assert activations.bounds("steep") == activations.bounds(own_function) == (-2.5, 2.5)
    assert "steep" in activations.names()


def test_registering_another_function_under_a_taken_name_is_refused(own_function):
    def other(x):
        return x

    with pytest.raises(ValueError, match="'steep' is registered already"):
        activations.register(bounds=(-1.0, 1.0), name="steep")(other)
    assert activations.bounds("steep") == (-2.5, 2.5)


@pytest.mark.parametrize("function", [lambda x: x, functools.partial(ops.clip, x_min=-1)])
def test_what_keras_cannot_save_by_name_is_refused(function):
    with pytest.raises(ValueError, match="made by `def`"):
        activations.register(bounds=(-1.0, 1.0))(function)


@pytest.mark.parametrize(
    "bounds", [1.0, (1.0,), (1.0, -1.0), (0.0, 0.0), (-1.0, float("nan")), (0.0, float("inf"))]
)
def test_registering_bounds_that_are_none_is_refused(bounds):
    with pytest.raises(ValueError, match=rf"\(lower, upper\).*got {re.escape(str(bounds))}"):
        activations.register(bounds=bounds)


def test_get_falls_back_on_keras_and_names_what_it_cannot_find():
    assert activations.get("gelu") is keras.activations.gelu
    with pytest.raises(ValueError, match=r"'sofsign'.*softsign"):
        activations.get("sofsign")
    with pytest.raises(ValueError, match="Unknown activation 3"):
        activations.get(3)


@pytest.mark.parametrize("name", activations.names())
def test_oddness_is_that_of_the_function(name, rng):
    x = rng.normal(scale=2.0, size=1000).astype("float32")
    function = activations.get(name)
    one, other = (as_float64(function(keras.ops.convert_to_tensor(y))) for y in (x, -x))
    assert activations.is_odd(name) == np.allclose(one, -other, atol=1e-6)
    assert activations.is_odd(keras.layers.Activation(function)) == activations.is_odd(name)
