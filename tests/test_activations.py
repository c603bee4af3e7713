import functools

import keras
import numpy as np
import pytest
from keras import ops

from keras_bnact import activations

X = np.linspace(-20.0, 20.0, 401)

ORACLES = {
    "tanh": np.tanh,
    "lecun_tanh": lambda x: 1.7159 * np.tanh(2.0 * x / 3.0),
    "softsign": lambda x: x / (1.0 + np.abs(x)),
    "relu": lambda x: np.maximum(x, 0.0),
}
BOUNDS = {"tanh": 1.0, "lecun_tanh": 1.7159, "softsign": 1.0, "relu": None}


@pytest.fixture
def own_function():
    """A registered function, taken out of the registry again."""

    @activations.register(bound=2.5, package="tests")
    def steep(x):
        return 2.5 * ops.tanh(4.0 * x)

    yield steep
    del activations._FUNCTIONS["steep"], activations._BOUNDS["steep"]


@pytest.mark.parametrize("name", ORACLES)
def test_values_match_numpy(name):
    outputs = ops.convert_to_numpy(activations.get(name)(ops.convert_to_tensor(X, "float32")))
    np.testing.assert_allclose(outputs, ORACLES[name](X), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ORACLES)
def test_bound_of_name_function_and_layer(name):
    expected = BOUNDS[name]
    function = activations.get(name)
    assert activations.bound(name) == expected
    assert activations.bound(function) == expected
    assert activations.bound(keras.layers.Activation(function)) == expected
    assert activations.bound(keras.layers.Dense(2, activation=function)) == expected


def test_bound_is_the_asymptote():
    for name in ("tanh", "lecun_tanh", "softsign"):
        largest = float(activations.get(name)(ops.convert_to_tensor(1e7, "float32")))
        assert largest == pytest.approx(activations.bound(name), rel=1e-6)


def test_bound_of_what_keras_calls_the_same():
    assert activations.bound(keras.activations.tanh) == 1.0
    assert activations.bound(keras.activations.softsign) == 1.0
    assert activations.bound(keras.layers.Conv2D(2, 3, activation="tanh")) == 1.0
    assert activations.bound(keras.layers.ReLU()) is None


@pytest.mark.parametrize(
    "unknown", ["tahn", keras.activations.gelu, keras.layers.ReLU(6.0), lambda x: x]
)
def test_bound_of_unknown_activation_says_what_to_do(unknown):
    with pytest.raises(ValueError, match="register") as error:
        activations.bound(unknown)
    assert repr(unknown) in str(error.value)


def test_a_function_of_the_same_name_is_not_ours():
    def tanh(x):
        return 3.0 * ops.tanh(x)

    with pytest.raises(ValueError, match="Unknown activation"):
        activations.bound(tanh)


def test_registered_function_is_known_by_name(own_function):
    assert activations.get("steep") is own_function
    assert activations.bound("steep") == activations.bound(own_function) == 2.5
    assert "steep" in activations.names()


def test_registering_another_function_under_a_taken_name_is_refused(own_function):
    def other(x):
        return x

    with pytest.raises(ValueError, match="'steep' is registered already"):
        activations.register(bound=1.0, name="steep")(other)
    assert activations.bound("steep") == 2.5


@pytest.mark.parametrize("function", [lambda x: x, functools.partial(ops.clip, x_min=-1)])
def test_what_keras_cannot_save_by_name_is_refused(function):
    with pytest.raises(ValueError, match="made by `def`"):
        activations.register(bound=1.0)(function)


@pytest.mark.parametrize("bound", [0.0, -1.0, float("nan"), float("inf")])
def test_registering_a_bound_that_is_none_is_refused(bound):
    with pytest.raises(ValueError, match=f"got {bound}"):
        activations.register(bound=bound)


def test_get_falls_back_on_keras_and_names_what_it_cannot_find():
    assert activations.get("gelu") is keras.activations.gelu
    with pytest.raises(ValueError, match=r"'sofsign'.*softsign"):
        activations.get("sofsign")
    with pytest.raises(ValueError, match="Unknown activation 3"):
        activations.get(3)
