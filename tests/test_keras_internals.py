"""A Keras that no longer has what it does not document is refused, and not measured wrongly."""

import ast
import random

import keras
import numpy as np
import pytest
from conftest import ROOT

from keras_bnact import _keras_internals, measure, measure_gradients

NOTHING = property(lambda self: None, lambda self, value: None)
# What is renamed, and what can then no longer be relied on.
RENAMED = {
    "_flatten_layers": lambda patch: patch.delattr(keras.layers.Layer, "_flatten_layers"),
    "_dtype_policy": lambda patch: patch.setattr(_keras_internals, "DTYPE_POLICY", "_policy"),
    "_convert_inputs_to_tensors": lambda patch: patch.setattr(
        _keras_internals, "INPUT_CASTS", "_casts"
    ),
    "_functional": lambda patch: patch.setattr(_keras_internals, "functional", lambda x: x),
    "get_keras_mask": lambda patch: patch.delattr(keras.src.backend, "get_keras_mask"),
    "_compile_loss": lambda patch: patch.setattr(
        keras.Model, "_compile_loss", NOTHING, raising=False
    ),
}


@pytest.fixture(autouse=True)
def _checked_anew():
    _keras_internals.check.cache_clear()
    yield
    _keras_internals.check.cache_clear()


@pytest.mark.parametrize("name", RENAMED)
@pytest.mark.parametrize("function", [measure, measure_gradients])
def test_a_renamed_name_is_refused(name, function, monkeypatch):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="tanh")])
    model.compile(loss="mse")
    data = (np.ones((4, 3)), np.ones((4, 2)))
    function(model, data)
    _keras_internals.check.cache_clear()
    RENAMED[name](monkeypatch)
    with pytest.raises(RuntimeError, match=rf"^Keras {keras.__version__} is not known .*\.$"):
        function(model, data)


def test_the_check_leaves_no_trace():
    """In the names and in the random weights of the layers that come after it."""
    _, number = (keras.layers.Dense(1).name for _ in range(2))
    state = random.getstate()
    _keras_internals.check()
    assert random.getstate() == state
    digits = [int(name.rpartition("_")[2]) for name in (number, keras.layers.Dense(1).name)]
    assert digits[1] == digits[0] + 1


def test_private_names_are_in_one_place():
    """No attribute of another object that begins with an underscore is used elsewhere."""
    allowed = ROOT / "keras_bnact" / "_keras_internals.py"
    for path in (ROOT / "keras_bnact").rglob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
                own = ast.unparse(node.value) in ("self", "cls", "super()")
                module = ast.unparse(node.value) == "keras_bnact"
                ours = node.attr.startswith("__") or own or module
                assert ours or path == allowed, f"{path}:{node.lineno} uses {node.attr}"
