"""What holds on every Keras backend: run with `make test-backends` on JAX and PyTorch."""

import keras
import numpy as np
import pytest

from keras_bnact import measure, measure_gradients
from keras_bnact.layers import BoundedBlock

WHOLE = """
import sys
import keras, keras_bnact
import numpy as np

inputs = keras.Input((8, 8, 3))
block = keras_bnact.BoundedBlock(keras.layers.Conv2D(4, 3), "lecun_tanh")
outputs = keras.layers.Dense(3)(keras.layers.Flatten()(block(inputs)))
model = keras.Model(inputs, outputs)
model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
rng = np.random.default_rng(0)
data = rng.normal(size=(20, 8, 8, 3)).astype("float32"), rng.integers(0, 3, 20)
callbacks = [
    keras_bnact.callbacks.ActivationStatistics(data, histograms=[keras_bnact.Histogram()]),
    keras_bnact.callbacks.GradientStatistics(data),
]
logs = model.fit(*data, batch_size=8, epochs=2, verbose=0, callbacks=callbacks).history
assert len(logs["saturation"]) == 2, logs
print(keras_bnact.measure(model, data))
assert "tensorflow" not in sys.modules
"""


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="of the other backends")
def test_tensorflow_is_not_imported(run_python):
    finished = run_python("-c", WHOLE)
    assert finished.returncode == 0, finished.stderr
    assert "conv2d" in finished.stdout or "bounded_block" in finished.stdout


def test_a_backend_that_cannot_measure_is_refused_in_a_sentence(monkeypatch):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, activation="tanh")])
    monkeypatch.setattr(keras.backend, "backend", lambda: "numpy")
    with pytest.raises(ValueError, match=r"measured on tensorflow, jax or torch.* is numpy"):
        measure(model, np.ones((3, 2)))


def test_more_than_ten_histograms_keep_their_order(rng):
    from keras_bnact import Histogram

    model = keras.Sequential([keras.Input((4,)), keras.layers.Activation("tanh")])
    x = rng.normal(size=(30, 4)).astype("float32")
    wanted = [Histogram(bins=bins) for bins in range(1, 14)]
    (layer,) = measure(model, x, histograms=wanted, batch_size=16)
    assert [histogram.counts.shape[1] for histogram in layer.histograms] == [*range(1, 14)]


def functional(layer):
    inputs = keras.Input((5,))
    return keras.Model(inputs, layer(inputs))


@pytest.mark.parametrize("make_model", [lambda layer: keras.Sequential([layer]), functional])
def test_casts_on_the_way_into_a_nested_model_are_followed(make_model, rng):
    keras.config.set_dtype_policy("mixed_bfloat16")
    normalization = keras.layers.BatchNormalization()
    inner = make_model(normalization)
    inputs = keras.Input((3,))
    hidden = keras.layers.Dense(5, activation="tanh", name="hidden")(inputs)
    model = keras.Model(inputs, inner(hidden))
    normalization.gamma.assign(np.zeros(5))
    # With gamma 0 the block's output is beta, 0 as it begins, if the normalization is known.
    (layer,) = measure(model, rng.normal(size=(20, 3)).astype("float32"))
    assert layer.zero_channels == 5


class Noting(keras.layers.Layer):
    """Notes the types that NumPy's float64 and int64 become."""

    def __init__(self):
        super().__init__()
        self.dtypes = set()

    def call(self, inputs):
        constants = [keras.ops.convert_to_tensor(np.arange(4, dtype=d)) for d in (float, int)]
        self.dtypes |= {keras.backend.standardize_dtype(c.dtype) for c in constants}
        return inputs


def test_a_model_computes_in_the_types_of_elsewhere(rng):
    noting = Noting()
    model = keras.Sequential([keras.Input((4,)), noting, keras.layers.Dense(4, activation="tanh")])
    model.compile(loss="mse")
    x = rng.normal(size=(20, 4))
    outputs = model.predict(x, verbose=0)
    expected = set(noting.dtypes)
    noting.dtypes.clear()
    (layer,) = measure(model, x)
    measure_gradients(model, (x, x))
    assert noting.dtypes == expected
    assert layer.saturation == pytest.approx(np.abs(outputs).mean(), rel=1e-5)


def test_a_block_learns(rng):
    model = keras.Sequential(
        [keras.Input((6,)), BoundedBlock(keras.layers.Dense(16)), keras.layers.Dense(1)]
    )
    model.compile(keras.optimizers.SGD(0.05), "mse")
    x = rng.normal(size=(256, 6)).astype("float32")
    y = x[:, :1] * x[:, 1:2]
    losses = model.fit(x, y, batch_size=32, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]
