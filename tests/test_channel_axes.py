"""Which axis is that of the channels, where no normalization stands beside the activation."""

import keras
import numpy as np
import pytest
from keras import layers
from oracle import as_float64, assert_measured

from keras_bnact import measure

CHANNELS, SIDE = 3, 8


def tanh(x):
    return layers.Activation("tanh", name="tanh")(x)


def first(rank):
    return keras.Input((CHANNELS, *[SIDE] * (rank - 2)))


def last(rank):
    return keras.Input((*[SIDE] * (rank - 2), CHANNELS))


def add_after_convolution(x):
    y = layers.Conv2D(CHANNELS, 3, padding="same", data_format="channels_first")(x)
    return tanh(layers.Add()([y, x]))


def before_convolution(x):
    return layers.Conv2D(4, 3, data_format="channels_first")(layers.Dropout(0.5)(tanh(x)))


def group_normalized(x):
    return tanh(layers.GroupNormalization(1, axis=1)(x) * 2.0 + 1.0)


def volume(x):
    return tanh(layers.Conv3D(CHANNELS, 1, data_format="channels_first")(x))


def sequence(x):
    return tanh(layers.Conv1D(CHANNELS, 1, data_format="channels_first")(x))


def own_activation(x):
    kind = {"activation": "tanh", "name": "tanh", "data_format": "channels_first"}
    return layers.Conv2D(CHANNELS, 1, **kind)(x)


def dense_after_sequence(x):
    x = layers.Conv1D(5, 1, data_format="channels_first")(x)
    return layers.Dense(CHANNELS, name="tanh", activation="tanh")(x)


def pooled(x):
    return tanh(layers.MaxPooling2D(data_format="channels_first")(x))


def of_embeddings(x):
    return tanh(layers.LayerNormalization()(x) + layers.Dense(CHANNELS)(x))


def alone(x):
    return tanh(x)


def assert_followed(inputs, make, rng):
    model = keras.Model(inputs, make(inputs))
    x = rng.normal(size=(4, *inputs.shape[1:])).astype("float32")
    layer = measure(model, x, layers="tanh")["tanh"]
    a = as_float64(keras.Model(inputs, model.get_layer("tanh").output)(x))
    axis = next(axis for axis in (1, a.ndim - 1) if a.shape[axis] == CHANNELS)
    assert_measured(layer, np.moveaxis(a, axis, -1))


@pytest.mark.parametrize(
    ("inputs", "make"),
    [
        (lambda: first(4), add_after_convolution),
        (lambda: first(4), before_convolution),
        (lambda: first(4), group_normalized),
        (lambda: first(4), own_activation),
        (lambda: first(4), pooled),
        (lambda: first(5), volume),
        (lambda: first(3), sequence),
        (lambda: first(3), dense_after_sequence),
        (lambda: last(4), alone),
        (lambda: last(3), alone),
        (lambda: last(3), of_embeddings),
    ],
    ids=lambda part: part.__name__,
)
def test_channels_are_followed(inputs, make, rng):
    assert_followed(inputs(), make, rng)


def test_channels_first_by_default(rng):
    keras.config.set_image_data_format("channels_first")
    try:
        inputs = first(5)
        assert_followed(inputs, lambda x: tanh(layers.MaxPooling3D()(x)), rng)
        with pytest.raises(ValueError, match="give `channel_axis`"):
            assert_followed(first(4), alone, rng)
    finally:
        keras.config.set_image_data_format("channels_last")


def test_what_cannot_be_known_is_asked_for(rng):
    inputs = first(4)
    x = layers.Conv2D(5, 3, data_format="channels_first")(inputs)
    model = keras.Model(inputs, tanh(layers.Permute((2, 3, 1))(x)))
    data = rng.normal(size=(4, *inputs.shape[1:])).astype("float32")
    with pytest.raises(ValueError, match=r"'tanh', of shape .* cannot be told .* `channel_axis`"):
        measure(model, data)
    for axis in (3, -1):
        assert_measured(measure(model, data, channel_axis=axis)[0], as_float64(model(data)))
    for axis in (0, -4, 4):
        with pytest.raises(ValueError, match=f"4 axes.*no axis of channels {axis}"):
            measure(model, data, channel_axis=axis)


def test_an_axis_that_is_known_is_not_overruled(rng):
    inputs = first(4)
    model = keras.Model(inputs, add_after_convolution(inputs))
    layer = measure(model, rng.normal(size=(4, *inputs.shape[1:])), channel_axis=-1)[0]
    assert len(layer.channel_mean) == CHANNELS
