"""What `measure` takes as data: what `predict` takes; what that refuses it does in a sentence."""

import itertools

import keras
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import tensorflow as tf
from keras import layers, ops
from oracle import as_float64, assert_measured

from keras_bnact import Histogram, measure, measure_gradients
from keras_bnact.measuring import progress

WORDS = np.array(["a", "b", "c", "a"] * 3)


class Numbers(keras.utils.PyDataset):
    def __init__(self, x):
        super().__init__()
        self.x = x

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return self.x[index::4], np.zeros(len(self.x[index::4]))


@pytest.fixture
def x(rng):
    return rng.normal(size=(18, 3)).astype("float32")


@pytest.fixture
def model():
    return keras.Sequential(
        [keras.Input((3,), name="x"), layers.Dense(4, activation="tanh", name="hidden")]
    )


def as_dataset(x, y):
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(5)


KINDS = {
    "array": lambda x, y: x,
    "labels": lambda x, y: (x, y),
    "sample weights": lambda x, y: (x, y, y),
    "tensor": lambda x, y: ops.convert_to_tensor(x),
    "tf.data": as_dataset,
    "PyDataset": lambda x, y: Numbers(x),
    "batches": lambda x, y: iter([x[:7], x[7:]]),
    "table": lambda x, y: (pd.DataFrame(x, index=range(5, 23)), pd.Series(y)),
    "sparse matrix": lambda x, y: scipy.sparse.csr_array(x),
    "sparse tensor": lambda x, y: tf.sparse.from_dense(x),
    "sparse tensors": lambda x, y: as_dataset(tf.sparse.from_dense(x), y),
    "dict": lambda x, y: {"x": x},
    "dict with more": lambda x, y: ({"id": np.array(list("abcdefghijklmnopqr")), "x": x}, y),
    "one axis more": lambda x, y: x[..., None],
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_data_gives_the_same(kind, x, model):
    data = KINDS[kind](x, np.zeros(18))
    (layer,) = measure(model, data, batch_size=5)
    assert_measured(layer, as_float64(model(x)))


def test_steps(x, model):
    assert measure(model, as_dataset(x, x), steps=2)[0].count == 10
    assert measure(model, Numbers(x), steps=1)[0].count == 5


def test_an_optional_input_that_is_not_given(x):
    class Sum(layers.Layer):
        def call(self, one, other=None):
            return one if other is None else one + other

        def compute_output_shape(self, one_shape, other_shape=None):
            return one_shape

    one, other = keras.Input((3,), name="one"), keras.Input((3,), name="other", optional=True)
    hidden = layers.Dense(4, activation="tanh", name="hidden")
    outputs = hidden(Sum()(one, other))
    for model, given in (
        (keras.Model([one, other], outputs), [[x, None], [x, x]]),
        (
            keras.Model({"one": one, "other": other}, outputs),
            [{"one": x, "other": None}, {"one": x, "other": x, "more": x}],
        ),
    ):
        assert_measured(measure(model, given[0], batch_size=5)[0], as_float64(hidden(x)))
        assert_measured(measure(model, given[1], batch_size=5)[0], as_float64(hidden(2 * x)))


@pytest.mark.tensorflow
@pytest.mark.parametrize("words", [WORDS, WORDS.astype(object), tf.constant(WORDS)], ids=type)
def test_text(words):
    lookup = layers.StringLookup(vocabulary=["a", "b", "c"])
    rest = [layers.Embedding(4, 5), layers.Dense(3, activation="tanh", name="hidden")]
    model = keras.Sequential([keras.Input((), dtype="string"), lookup, *rest])
    a = as_float64(keras.Sequential(rest)(np.array([1, 2, 3, 1] * 3)))
    assert_measured(measure(model, words, batch_size=5)[0], a)


def test_what_is_no_data_is_refused(x, model):
    for wrong, match in (
        ([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], "holds float, where arrays are taken"),
        ([1.0], "holds float"),
        ("/dir", "got str '/dir'"),
        ({"x": [1.0, 2.0]}, "got a dict of list"),
        (7, "got int"),
        ({"z": x}, "has none called 'x': it has z"),
        ([x, x], "takes 1 inputs.*has 2"),
        ((x, x[:3]), r"\[3, 18\]"),
        (x[0], r"shape \(3,\).*x\[None\]"),
        (np.ones((4, 5)), r"takes arrays of shape \(None, 3\).*has shape \(4, 5\)\."),
    ):
        with pytest.raises(ValueError, match=match):
            measure(model, wrong)


@pytest.mark.parametrize("function", [measure, measure_gradients])
def test_images_of_another_size_are_refused_also_after_right_ones(function, rng):
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(4, 3, activation="tanh"), layers.Flatten()]
    )
    model.compile(loss="mse")
    small, large = (rng.normal(size=(2, side, side, 3)) for side in (8, 9))
    y = np.zeros((2, 144))
    with pytest.raises(ValueError, match=r"\(None, 8, 8, 3\).*\(2, 9, 9, 3\)"):
        function(model, iter([(small, y), (large, y)]))


def test_batches_of_one_size(rng):
    model = keras.Sequential(
        [
            keras.Input((5, 3), batch_size=4),
            layers.LSTM(4, stateful=True, return_sequences=True),
            layers.Dense(3, activation="tanh", name="hidden"),
        ]
    )
    x = rng.normal(size=(8, 5, 3)).astype("float32")
    twice = [measure(model, x, batch_size=4)[0] for _ in range(2)]
    parts = [as_float64(model(x[:4]))]
    if keras.backend.backend() == "jax":
        # Whose `predict` does not keep the state either.
        model.layers[0].reset_state()
    a = np.concatenate([*parts, as_float64(model(x[4:]))])
    for layer in twice:
        assert_measured(layer, a)
    with pytest.raises(ValueError, match="a multiple of 4 examples, in batches of 4"):
        measure(model, x, batch_size=3)


def test_arguments_in_one_anothers_place(x, model):
    with pytest.raises(ValueError, match=r"got an array: labels are part of the data, \(x, y\)"):
        measure(model, x, np.zeros(18))
    for wrong in ("hidden", Histogram("hidden"), ["hidden"]):
        with pytest.raises(ValueError, match=r"such as \[Histogram\('conv1'\)\]; got"):
            measure(model, x, histograms=wrong)


def test_data_that_may_have_no_end_is_said_to(x, model, monkeypatch):
    monkeypatch.setattr(progress, "ENDLESS", 0.0)
    endless = itertools.islice(itertools.repeat(x), 5)
    with pytest.warns(UserWarning, match=r"does not say how many there are") as said:
        measure(model, endless)
    assert sum("give `steps`" in str(warning.message) for warning in said) == 1
    # Nothing is said of what has a length.
    measure(model, x, batch_size=5)
    measure(model, itertools.repeat(x), steps=3)
