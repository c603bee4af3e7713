"""Folded models give what the models give; what is left is told, and why."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_bnact import BoundedBlock, fold_batch_normalization, models
from keras_bnact.normalization import BatchNormalization

BACKEND = keras.backend.backend()


def bn(name="bn", **kwargs):
    return layers.BatchNormalization(name=name, **kwargs)


def tanh(name="tanh"):
    return layers.Activation("tanh", name=name)


def sequential(shape, *steps):
    return keras.Sequential([keras.Input(shape), *steps], name="model")


def swapped(first, *between, last=None, shape=(8, 8, 3)):
    """A weight layer, tanh, batch normalization, what is between, and a weight layer."""
    last = layers.Dense(3, name="last") if last is None else last
    return sequential(shape, first, tanh(), bn(), *between, last)


def conv(name="conv", **kwargs):
    return layers.Conv2D(4, 3, name=name, **kwargs)


# Models in which each batch normalization is folded.
FOLDED = {
    "convention": lambda: sequential((8, 8, 3), conv(), bn(), tanh()),
    "convention, same padding and a bias": lambda: sequential(
        (8, 8, 3), conv(padding="same", strides=2), bn(), tanh()
    ),
    "convention, groups": lambda: sequential(
        (8, 8, 4), layers.Conv2D(6, 3, groups=2, use_bias=False), bn(), tanh()
    ),
    "convention, depthwise": lambda: sequential(
        (8, 8, 3), layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same"), bn()
    ),
    "convention, separable": lambda: sequential(
        (8, 8, 3), layers.SeparableConv2D(4, 3, depth_multiplier=2, padding="same"), bn()
    ),
    "convention, transposed": lambda: sequential(
        (8, 8, 3), layers.Conv2DTranspose(4, 3, strides=2, padding="same"), bn()
    ),
    "convention, one dimension": lambda: sequential(
        (8, 3), layers.Conv1D(4, 3, padding="causal"), bn("a"), layers.DepthwiseConv1D(3), bn("b")
    ),
    "convention, dense of rank 3": lambda: sequential((5, 3), layers.Dense(4), bn(), tanh()),
    "convention, without scale and center": lambda: sequential(
        (3,), layers.Dense(4), bn(scale=False, center=False), tanh()
    ),
    "convention, shared": lambda: shared(),
    "swap, dense": lambda: swapped(layers.Dense(4), shape=(3,)),
    "swap, activation argument": lambda: sequential(
        (3,), layers.Dense(4, "tanh"), bn(), layers.Dense(2, use_bias=False)
    ),
    "swap, valid convolution": lambda: swapped(conv(), last=conv("last", strides=2)),
    "swap, pointwise with same padding": lambda: swapped(
        conv(), last=layers.Conv2D(5, 1, padding="same", strides=2)
    ),
    "swap, groups": lambda: swapped(conv(), last=layers.Conv2D(6, 3, groups=2)),
    "swap, depthwise": lambda: swapped(conv(), last=layers.DepthwiseConv2D(3, depth_multiplier=2)),
    "swap, separable": lambda: swapped(
        conv(), last=layers.SeparableConv2D(5, 3, depth_multiplier=2)
    ),
    "swap, one dimension": lambda: swapped(
        layers.Conv1D(4, 3), last=layers.Conv1D(5, 3, dilation_rate=2), shape=(9, 3)
    ),
    "swap, same padding without a shift": lambda: unshifted(
        swapped(conv(), last=conv("last", padding="same"))
    ),
    "swap, transposed without a shift": lambda: unshifted(
        swapped(conv(), last=layers.Conv2DTranspose(5, 3))
    ),
    "swap, max pooling": lambda: swapped(
        conv(), layers.MaxPooling2D(2, padding="same"), layers.Flatten()
    ),
    "swap, global max pooling": lambda: swapped(conv(), layers.GlobalMaxPooling2D()),
    "swap, max pooling, activation argument": lambda: sequential(
        (8, 8, 3),
        conv(activation="tanh"),
        bn(),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(3),
    ),
    "swap, average pooling": lambda: swapped(
        conv(), layers.AveragePooling2D(4, padding="same"), layers.Flatten()
    ),
    "swap, global average pooling": lambda: swapped(
        conv(), layers.GlobalAveragePooling2D(keepdims=True), last=layers.Conv2D(3, 1)
    ),
    "swap, dropout": lambda: swapped(
        conv(), layers.SpatialDropout2D(0.5), layers.Flatten(), layers.Dropout(0.5)
    ),
    "swap, reshape and permute": lambda: swapped(
        conv(), layers.Permute((3, 1, 2)), layers.Reshape((4, 36)), layers.Flatten()
    ),
    "swap, cropping and upsampling": lambda: swapped(
        conv(),
        layers.Cropping2D(1),
        layers.UpSampling2D(2, interpolation="bilinear"),
        last=layers.Conv2D(3, 3),
    ),
    "swap, any size of image": lambda: swapped(
        conv(), layers.GlobalMaxPooling2D(), shape=(None, None, 3)
    ),
    "swap, two branches": lambda: branches(),
    "both": lambda: sequential(
        (8, 8, 3),
        conv("a"),
        bn("a_bn"),
        tanh(),
        bn("b_bn"),
        layers.MaxPooling2D(),
        conv("b", use_bias=False),
        bn("c_bn"),
    ),
    "blocks, swap": lambda: blocks("swap"),
    "blocks, convention": lambda: blocks("convention"),
    "nested": lambda: sequential(
        (8, 8, 3), sequential((8, 8, 3), conv(), bn(), tanh()), layers.Flatten(), layers.Dense(3)
    ),
}


def shared():
    inputs, dense, normalization = keras.Input((3,)), layers.Dense(4), bn()
    one = normalization(dense(inputs))
    other = normalization(dense(keras.ops.negative(inputs)))
    return keras.Model(inputs, layers.Concatenate()([one, other]))


def branches():
    inputs = keras.Input((8, 8, 3))
    x = bn()(tanh()(conv()(inputs)))
    one = layers.Flatten()(conv("one")(x))
    other = layers.Dense(5, name="other")(layers.GlobalMaxPooling2D()(x))
    return keras.Model(inputs, layers.Concatenate()([one, other]))


def blocks(order):
    return sequential(
        (8, 8, 3),
        BoundedBlock(conv(), "lecun_tanh", order, name="a"),
        layers.MaxPooling2D(name="pool"),
        BoundedBlock(conv(use_bias=False), "softsign", order, name="b"),
        layers.Flatten(name="flatten"),
        BoundedBlock(layers.Dense(4, name="dense"), order="nobn", name="c"),
        layers.Dense(2, name="logits"),
    )


def unshifted(model):
    model.get_layer("bn").center = False
    return model


def normalizations(model):
    return [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, layers.BatchNormalization | BatchNormalization)
    ]


def randomize(model, rng):
    """Random weights, and statistics and scales of either sign."""
    for layer in model._flatten_layers(include_self=False):
        if list(layer._flatten_layers(include_self=False)):
            continue
        for variable in layer.variables:
            value = rng.normal(size=variable.shape)
            if "variance" in variable.name:
                value = np.abs(value) + 0.5
            if variable.name in ("beta", "moving_mean") and not layer.center:
                value = 0 * value
            variable.assign(value / 3 if "kernel" in variable.name else value)
    return model


def images(model, rng, examples=4):
    return rng.normal(size=(examples, *(size or 9 for size in model.input_shape[1:])))


@pytest.mark.parametrize("name", FOLDED)
def test_the_outputs_stay_the_same(name, rng):
    model = randomize(FOLDED[name](), rng)
    x = images(model, rng)
    before = model.predict(x, verbose=0)
    made, changed, left = fold_batch_normalization(model)
    assert not left
    assert len(changed) == len(normalizations(model))
    assert not normalizations(made)
    np.testing.assert_allclose(
        made.predict(x, verbose=0), before, atol=1e-5 * max(1, np.abs(before).max())
    )
    np.testing.assert_array_equal(model.predict(x, verbose=0), before)


def test_arithmetic_by_hand():
    """One channel: 2 x + 1, normalized with mean 3, variance 4 and gamma 6, beta 5, is 6 x - 1."""
    model = sequential((1,), layers.Dense(1, name="dense"), bn(epsilon=0.0))
    model.set_weights([np.array(x, "float32") for x in ([[2]], [1], [6], [5], [3], [4])])
    made, changed, _ = fold_batch_normalization(model)
    assert changed == {"bn": "folded into 'dense'"}
    kernel, bias = made.get_weights()
    np.testing.assert_allclose([kernel.item(), bias.item()], [6, -1], rtol=1e-6)


def test_blocks_become_their_layers():
    made, changed, _ = fold_batch_normalization(blocks("swap"))
    assert [layer.name for layer in made.layers] == [
        *("a_conv", "a_activation", "pool", "b_conv", "b_activation"),
        *("flatten", "c_dense", "c_activation", "logits"),
    ]
    assert [*changed] == ["a_normalization", "b_normalization"]
    assert not any(isinstance(layer, BoundedBlock) for layer in made.layers)


def test_the_paper_s_networks(rng):
    for order, left_out in (("convention", 7), ("swap", 3)):
        model = randomize(models.VGG16(8, width=0.05, order=order), rng)
        made, changed, left = fold_batch_normalization(model)
        assert len(changed) == left_out
        assert len(left) == 7 - left_out
        assert all("takes zeros at its border" in why for why in left.values())
        x = images(model, rng)
        before = model.predict(x, verbose=0)
        difference = np.abs(made.predict(x, verbose=0) - before).max()
        assert difference < 1e-5 * np.abs(before).max()


def test_channels_first(rng):
    if BACKEND == "tensorflow":
        pytest.skip("TensorFlow has no kernels for channels first on a CPU")
    first = {"data_format": "channels_first"}
    model = sequential(
        (3, 8, 8),
        layers.Conv2D(4, 3, **first),
        bn("a", axis=1),
        tanh(),
        bn("b", axis=1),
        layers.MaxPooling2D(2, **first),
        layers.Conv2D(4, 2, name="conv", **first),
        layers.Activation("tanh"),
        bn("c", axis=1),
        layers.Flatten(**first),
        layers.Dense(3),
    )
    made, changed, left = fold_batch_normalization(randomize(model, rng))
    assert [*changed] == ["a", "b", "c"]
    assert not left
    x = images(model, rng)
    before = model.predict(x, verbose=0)
    np.testing.assert_allclose(made.predict(x, verbose=0), before, atol=1e-5)


def left_alone(kind):
    inputs = keras.Input((8, 8, 3))
    x = conv()(inputs)
    if kind == "same padding":
        outputs = conv("last", padding="same")(bn()(tanh()(x)))
    elif kind == "zero padding":
        outputs = conv("last")(layers.ZeroPadding2D(name="pad")(bn()(tanh()(x))))
    elif kind == "transposed":
        outputs = layers.Conv2DTranspose(3, 3, name="last")(bn()(tanh()(x)))
    elif kind == "not odd":
        x = bn()(layers.Activation("sigmoid", name="sigmoid")(x))
        outputs = conv("last")(layers.MaxPooling2D()(x))
    elif kind == "add":
        outputs = layers.Add(name="add")([bn()(tanh()(x)), tanh("other")(x)])
    elif kind == "skip":
        outputs = layers.Add(name="add")([tanh()(bn()(x)), x])
    elif kind == "training":
        outputs = bn()(x, training=True)
    elif kind == "output":
        outputs = bn()(tanh()(x))
    elif kind == "another axis":
        outputs = conv("last")(tanh()(bn(axis=1)(x)))
    elif kind == "another axis after":
        outputs = conv("last")(bn(axis=1)(tanh()(x)))
    elif kind == "shared weights":
        last = conv("last", padding="valid")
        outputs = layers.Add(name="add")([last(bn()(tanh()(x))), last(tanh("other")(x))])
    elif kind == "called twice":
        normalization, activation = bn(), tanh()
        one, other = (normalization(activation(y)) for y in (x, conv("other")(inputs)))
        outputs = layers.Add()([conv("a")(one), conv("b")(other)])
    elif kind == "source":
        x = tanh()(x)
        outputs = [conv("last")(layers.MaxPooling2D()(bn()(x))), x]
    elif kind == "unknown size":
        inputs = keras.Input((None, None, 3))
        x = layers.Reshape((-1, 4), name="positions")(bn()(tanh()(conv()(inputs))))
        outputs = layers.Dense(3, name="last")(x)
    return keras.Model(inputs, outputs, name="model")


LEFT = {
    "same padding": r"before 'last' \(Conv2D\), which takes zeros at its border that have no shift",
    "zero padding": r"before 'pad' \(ZeroPadding2D\)",
    "transposed": r"before 'last' \(Conv2DTranspose\), which takes zeros at its border .*",
    "not odd": "before max pooling with negative scales, and after 'sigmoid', which is not odd",
    "add": r"before 'add' \(Add\)",
    "skip": "'conv' goes to 'bn' and 'add'",
    "training": "called with training=True",
    "output": "before the model's output",
    "another axis": "over axis 1, which is not that of the channels of 'conv'",
    "another axis after": r"before 'last' \(Conv2D\), which has its channels along another axis",
    "shared weights": "before 'last', which is called several times",
    "called twice": "called several times",
    "source": "'tanh' goes to 'bn' and the model's output",
    "unknown size": r"before 'positions' \(Reshape\), which takes what is of no known size",
}


@pytest.mark.parametrize("kind", LEFT)
def test_what_cannot_be_folded_is_said(kind, rng):
    model = randomize(left_alone(kind), rng)
    message = f"^Model 'model' has no batch normalization to fold; bn: {LEFT[kind]}\\.$"
    with pytest.raises(ValueError, match=message):
        fold_batch_normalization(model)


def test_what_is_made_is_saved(rng, tmp_path):
    made = fold_batch_normalization(randomize(blocks("swap"), rng)).model
    made.save(tmp_path / "made.keras")
    x = images(made, rng)
    loaded = keras.saving.load_model(tmp_path / "made.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), made.predict(x, verbose=0))


def test_what_nothing_is_folded_into_stays_as_it_is(rng):
    """A layer that was looked at gets no bias, which would begin with ones here."""
    last = layers.Conv2D(3, 3, padding="same", use_bias=False, bias_initializer="ones", name="last")
    model = sequential((8, 8, 3), conv("a"), bn("a_bn"), tanh(), bn("left"), last)
    made, changed, left = fold_batch_normalization(randomize(model, rng))
    assert [*changed] == ["a_bn"]
    assert [*left] == ["left"]
    assert made.get_layer("last").bias is None
    x = images(model, rng)
    before = model.predict(x, verbose=0)
    scale = np.abs(before).max()
    np.testing.assert_allclose(made.predict(x, verbose=0), before, atol=1e-5 * scale)


def test_a_block_that_cannot_be_opened_is_told():
    wrapped = layers.SpectralNormalization(layers.Dense(4))
    model = sequential((3,), BoundedBlock(wrapped, name="block"), layers.Dense(2))
    with pytest.raises(ValueError, match=r"block: normalizes in its own code \(BoundedBlock\)"):
        fold_batch_normalization(model)
