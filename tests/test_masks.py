"""Padding, as Keras' masks tell it, does not count."""

import keras
import numpy as np
import pytest
from keras import layers
from oracle import HALF, affine, as_float64, assert_measured, randomize

from keras_bnact import Histogram, measure

LENGTH = 7


@pytest.fixture
def tokens(rng):
    tokens = rng.integers(1, 10, (23, LENGTH))
    for row, length in enumerate(rng.integers(1, LENGTH + 1, 23)):
        tokens[row, length:] = 0
    # Batches of padding alone among them.
    tokens[5:10] = tokens[20:] = 0
    return tokens


def embedded(*stack):
    return keras.Sequential(
        [
            keras.Input((LENGTH,), dtype="int32"),
            layers.Embedding(10, 4, mask_zero=True, embeddings_initializer="normal"),
            *stack,
        ]
    )


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_padding_is_left_out(tokens, rng, policy):
    keras.config.set_dtype_policy(policy)
    norm = layers.BatchNormalization()
    model = embedded(layers.Dense(5, activation="tanh", name="hidden"), norm)
    model.layers[1].bias.assign(rng.normal(size=5))
    randomize(norm, rng)
    histograms = [
        Histogram("hidden", bins=8),
        Histogram("hidden", channels=[1, 2], of="output", bins=8),
    ]
    measured = measure(model, tokens, batch_size=5, histograms=histograms)
    a = as_float64(keras.Sequential(model.layers[:2])(tokens))[tokens != 0]
    g = affine(norm, a)
    assert_measured(measured[0], a, g, **(HALF if policy != "float32" else {}))
    whole, rows = measured[0].histograms
    np.testing.assert_array_equal(whole.counts[0], np.histogram(a, 8, (-1.0, 1.0))[0])
    for channel, edges, counts in zip((1, 2), rows.edges, rows.counts, strict=True):
        assert counts.sum() == len(g)
        inner = (g[:, channel, None] < edges[None, 1:-1]).sum(axis=0)
        assert np.abs(np.cumsum(counts)[:-1] - inner).max() <= 1
    assert "not measured: padding in hidden (as Keras' mask tells it)" in str(measured)


def test_padding_of_large_activations(tokens, rng):
    """Which are summed in another way."""
    x = rng.normal(3.0, 0.5, (12, LENGTH, 16, 64)).astype("float32")
    mask = tokens[:12] != 0
    x[~mask] = 9.0

    class Mask(layers.Layer):
        def compute_mask(self, inputs, mask=None):
            return keras.ops.any(inputs != 9.0, axis=(2, 3))

        def call(self, inputs):
            return inputs

    model = keras.Sequential(
        [keras.Input(x.shape[1:]), Mask(), layers.Activation("tanh", name="hidden")]
    )
    (layer,) = measure(model, x, batch_size=5)
    assert_measured(layer, np.tanh(x[mask].astype("float64")), atol=2e-6, skewness_atol=1e-5)


def test_a_mask_goes_as_far_as_keras_carries_it(tokens, rng):
    model = embedded(
        layers.Dropout(0.5),
        layers.Dense(4, activation="tanh", name="one"),
        layers.LSTM(3, return_sequences=True),
        layers.Dense(4, activation="tanh", name="two"),
        layers.GlobalAveragePooling1D(),
        layers.Dense(4, activation="tanh", name="three"),
    )
    measured = measure(model, tokens[:5])
    number = (tokens[:5] != 0).sum()
    assert [layer.count for layer in measured] == [number, number, 5]
    assert measured.left_out == {
        "lstm": "in a loop over time steps",
        "padding in one": "as Keras' mask tells it",
        "padding in two": "as Keras' mask tells it",
    }


def test_nothing_but_padding(tokens):
    model = embedded(layers.Dense(5, activation="tanh", name="hidden"))
    with pytest.raises(ValueError, match="All of 'hidden' is padding"):
        measure(model, tokens[20:])
