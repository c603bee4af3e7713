import functools
import itertools

import keras
import numpy as np
import pytest
from oracle import as_float64

from keras_bnact.models import VGG11, VGG16, MobileNet, ResNet, ViT

NETWORKS = {
    "VGG16": VGG16,
    "VGG11": VGG11,
    "MobileNet": MobileNet,
    "ResNet": functools.partial(ResNet, 14),
}


@pytest.mark.parametrize(
    ("network", "order", "published"),
    [
        (VGG16, "nobn", 138_357_544),
        (VGG11, "nobn", 132_863_336),
        (MobileNet, "convention", 4_253_864),
    ],
)
def test_parameters_are_the_published_ones(network, order, published):
    model = network(order=order, input_shape=(224, 224, 3), classes=1000)
    assert model.count_params() == published


# Convolutions and stages that are left.
@pytest.mark.parametrize(
    ("n", "convolutions", "stages"),
    [
        (16, 13, 5),
        (15, 12, 5),
        (14, 11, 5),
        (13, 10, 4),
        (12, 9, 4),
        (11, 8, 4),
        (10, 7, 3),
        (9, 6, 3),
        (8, 5, 3),
    ],
)
def test_vgg16_n_loses_its_last_convolutions(n, convolutions, stages):
    model = VGG16(n, width=0.05)
    expected = [f"conv{i}" for i in range(1, convolutions + 1)]
    assert [layer.name for layer in model.layers if "conv" in layer.name] == expected
    assert [layer.name for layer in model.layers if "pool" in layer.name] == [
        f"pool{i}" for i in range(1, stages + 1)
    ]
    assert (
        model.get_layer("flatten").output.shape[1]
        == (32 // 2**stages) ** 2 * (model.get_layer(f"conv{convolutions}").output.shape[-1])
    )
    assert model.name == ("vgg16" if n == 16 else f"vgg16_{n}")


def test_vgg16_11_by_hand():
    # Convolutions 3x3 with bias and four vectors of batch normalization, then dense layers.
    filters = [3, 64, 64, 128, 128, 256, 256, 256, 512]
    convolutions = sum(9 * a * b + b + 4 * b for a, b in itertools.pairwise(filters))
    dense = (2 * 2 * 512) * 512 + 5 * 512 + 512 * 512 + 5 * 512
    assert VGG16(11).count_params() == convolutions + dense + 512 * 10 + 10


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("order", ["swap", "convention", "nobn"])
def test_bias_where_normalization_does_not_follow(network, order):
    model = network(order=order, width=0.05)
    for layer in model.layers:
        if hasattr(layer, "order"):
            assert layer.layer.use_bias == (layer.order != "convention"), layer.name


@pytest.mark.parametrize(
    ("size", "units", "order"), [(32, 512, "swap"), (64, 512, "nobn"), (224, 4096, "nobn")]
)
def test_hidden_layers_go_by_the_image(size, units, order):
    model = VGG16(8, width=0.0625, input_shape=(size, size, 3))
    for name in ("fc1", "fc2"):
        assert model.get_layer(name).layer.units == units // 16
        assert model.get_layer(name).order == order
    assert model.get_layer("conv1").order == "swap"


@pytest.mark.parametrize(("size", "side"), [(32, 2), (64, 4), (224, 7)])
def test_mobilenet_keeps_small_images_in_its_stem(size, side):
    model = MobileNet(width=0.05, input_shape=(size, size, 3))
    assert model.get_layer("pointwise13").output.shape[1:3] == (side, side)


def weight_layers(model):
    """Convolutions and dense layers with their kernels, but for depthwise ones."""
    layers = [getattr(layer, "layer", layer) for layer in model.layers]
    return [(layer, as_float64(layer.kernel)) for layer in layers if hasattr(layer, "filters")] + [
        (layer, as_float64(layer.kernel)) for layer in layers if hasattr(layer, "units")
    ]


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_initial_weights_are_uniform_by_their_inputs(network):
    for layer, kernel in weight_layers(network(width=0.25)):
        bound = np.prod(kernel.shape[:-1]) ** -0.5
        assert np.abs(kernel).max() <= bound * (1 + 1e-6), layer.name
        # Of fewer values the largest may well be smaller.
        assert kernel.size < 300 or 0.95 * bound < np.abs(kernel).max(), layer.name
        # A uniform distribution's deviation is bound / sqrt(3); its estimate's error, of n values,
        # about 0.45 / sqrt(n) of that.
        error = 5 * 0.45 / np.sqrt(kernel.size)
        assert kernel.std() == pytest.approx(bound / np.sqrt(3), rel=error), layer.name
        assert layer.bias is None or not as_float64(layer.bias).any()


HE_NORMAL = [
    "he_normal",
    {"class_name": "HeNormal", "config": {}},
    keras.initializers.HeNormal(),
    keras.initializers.HeNormal(seed=keras.random.SeedGenerator(1)),
    keras.initializers.HeNormal,
]


@pytest.mark.parametrize("initializer", HE_NORMAL, ids=["name", "dict", "object", "seed", "class"])
def test_initializers_are_given_as_everywhere_in_keras(initializer):
    model = VGG16(11, width=0.25, kernel_initializer=initializer, bias_initializer="ones")
    for layer, kernel in weight_layers(model):
        expected = np.sqrt(2 / np.prod(kernel.shape[:-1]))
        assert kernel.std() == pytest.approx(expected, rel=5 / np.sqrt(kernel.size)), layer.name
        assert (as_float64(layer.bias) == 1).all(), layer.name
    # Layers of one shape do not begin with the same weights.
    first, second = (as_float64(model.get_layer(f"conv{n}").layer.kernel) for n in (6, 7))
    assert np.abs(first - second).max() > 0.1


def test_depthwise_kernels_have_the_initializer_too():
    model = MobileNet(width=0.25, kernel_initializer="ones", bias_initializer="ones")
    block = model.get_layer("depthwise3")
    assert (as_float64(block.layer.kernel) == 1).all()
    assert (as_float64(block.layer.bias) == 1).all()


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_weight_decay_is_on_every_parameter(network, rng):
    model = network(width=0.05, weight_decay=0.1, gamma_weight_decay=0.2, beta_weight_decay=0.3)
    expected = 0.0
    for weight in model.trainable_weights:
        weight.assign(rng.normal(0, 1, weight.shape))
        coefficient = {"gamma": 0.2, "beta": 0.3}.get(weight.name, 0.1)
        expected += 0.5 * coefficient * np.sum(np.square(weight.numpy(), dtype="float64"))
    penalty = keras.ops.convert_to_numpy(sum(model.losses))
    assert float(penalty) == pytest.approx(expected, rel=1e-5)


def test_decay_of_gamma_and_beta_is_the_weights_by_default():
    model = VGG16(8, width=0.05, weight_decay=0.1)
    normalization = model.get_layer("conv1").normalization
    assert normalization.gamma_regularizer.weight_decay == 0.1
    assert normalization.beta_regularizer.weight_decay == 0.1


def test_nwdbn_decays_neither_gamma_nor_beta():
    model = VGG16(
        8, order="convention", weight_decay=5e-4, gamma_weight_decay=0, beta_weight_decay=0
    )
    decayed = {w.name for w in model.trainable_weights if w.regularizer is not None}
    assert decayed == {"kernel", "bias"}


def test_logits_are_float32_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = VGG16(8, width=0.05)
    assert model.get_layer("conv1").compute_dtype == "bfloat16"
    logits = model(np.zeros((2, 32, 32, 3)))
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"


def test_preprocessing_comes_first():
    shift = keras.layers.Rescaling(1.0, offset=1.0)
    plain = VGG16(8, width=0.05)
    model = VGG16(8, width=0.05, preprocessing=shift)
    model.set_weights(plain.get_weights())
    shifted, expected = model(np.zeros((2, 32, 32, 3))), plain(np.ones((2, 32, 32, 3)))
    np.testing.assert_allclose(as_float64(shifted), as_float64(expected), rtol=1e-5, atol=1e-6)


def drawn(model, rng):
    """The same model with weights that are drawn anew, the variances positive."""
    for weight in model.weights:
        values = rng.normal(0.0, 0.3, weight.shape)
        weight.assign(np.abs(values) + 0.5 if "variance" in weight.name else values)
    return model


def weights(layer):
    return [as_float64(weight) for weight in layer.weights]


def convolved(x, layer, strides=1):
    """With a frame of zeros, as TensorFlow puts it."""
    kernel, *bias = weights(layer)
    size, side = kernel.shape[0], x.shape[1]
    width = max((-(-side // strides) - 1) * strides + size - side, 0)
    frame = (width // 2, width - width // 2)
    padded = np.pad(x, [(0, 0), frame, frame, (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(1, 2))
    out = np.einsum("nhwcij,ijcf->nhwf", windows[:, ::strides, ::strides], kernel)
    return out + (bias[0] if bias else 0.0)


def normalized(x, layer):
    gamma, beta, mean, variance = weights(layer)
    return gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta


@pytest.mark.parametrize("order", ["swap", "convention", "nobn"])
def test_resnet_by_hand(order, rng):
    """Figure 4e of He et al.: normalization and activation come before each convolution."""
    model = drawn(ResNet(14, order=order, width=0.2), rng)
    get = model.get_layer

    def step(x, normalization):
        if order == "nobn":
            return np.tanh(x)
        if order == "swap":
            return normalized(np.tanh(x), normalization)
        return np.tanh(normalized(x, normalization))

    def before(x, name):
        return step(x, None if order == "nobn" else get(f"{name}_normalization"))

    images = rng.normal(size=(2, 32, 32, 3))
    x = convolved(images, get("stem"))
    for unit in range(1, 7):
        strides = 2 if unit in (3, 5) else 1
        pre, block = before(x, f"pre{unit}"), get(f"conv{unit}")
        inside = convolved(pre, block.layer, strides)
        inside = step(inside, block.normalization)
        shortcut = convolved(pre, get(f"shortcut{unit}"), strides) if strides > 1 else x
        x = shortcut + convolved(inside, get(f"out{unit}"))
    kernel, bias = weights(get("logits"))
    expected = before(x, "last").mean(axis=(1, 2)) @ kernel + bias
    found = as_float64(model(images.astype("float32")))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


@pytest.mark.parametrize("n", [20, 110])
def test_resnet_has_as_many_weight_layers_as_it_says(n):
    model = ResNet(n, width=0.1)
    names = [layer.name for layer in model.layers]
    counted = ("stem", "conv", "out", "logits")
    assert sum(name.startswith(counted) for name in names) == n
    assert sum(name.startswith("shortcut") for name in names) == 2
    # The published 0.27 million.
    if n == 20:
        assert ResNet(20, order="convention").count_params() == pytest.approx(0.27e6, rel=0.02)


@pytest.mark.parametrize("normalization", ["layer_normalization", "dynamic_tanh"])
def test_vit_by_hand(normalization, rng):
    model = drawn(ViT(normalization, depth=2, width=0.1, input_shape=(16, 16, 3)), rng)
    get = model.get_layer

    def norm(x, name):
        if normalization == "dynamic_tanh":
            alpha, gamma, beta = weights(get(name))
            return gamma * np.tanh(alpha * x) + beta
        gamma, beta = weights(get(name))
        mean, variance = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
        return gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta

    def attention(x, layer):
        query, key, value = (
            np.einsum("ntd,dhk->nthk", x, as_float64(dense.kernel)) + as_float64(dense.bias)
            for dense in (layer.query_dense, layer.key_dense, layer.value_dense)
        )
        scores = np.einsum("nthk,nshk->nhts", query, key) / np.sqrt(query.shape[-1])
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        mixed = np.einsum("nhts,nshk->nthk", shares, value)
        kernel, bias = weights(layer.output_dense)
        return np.einsum("nthk,hkd->ntd", mixed, kernel) + bias

    images = rng.normal(size=(2, 16, 16, 3))
    kernel, bias = weights(get("patches"))
    patches = images.reshape(2, 8, 2, 8, 2, 3).transpose(0, 1, 3, 2, 4, 5).reshape(2, 64, 12)
    x = patches @ kernel.reshape(12, -1) + bias + as_float64(get("positions").embeddings)
    for number in (1, 2):
        x = x + attention(norm(x, f"norm{number}a"), get(f"attention{number}"))
        kernel, bias = weights(get(f"mlp{number}").layer)
        hidden = np.tanh(norm(x, f"norm{number}b") @ kernel + bias)
        kernel, bias = weights(get(f"out{number}"))
        x = x + hidden @ kernel + bias
    kernel, bias = weights(get("logits"))
    expected = norm(x, "last").mean(axis=1) @ kernel + bias
    found = as_float64(model(images.astype("float32")))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("normalization", ["layer_normalization", "dynamic_tanh"])
def test_vit_decays_all_but_positions_and_alpha(normalization):
    model = ViT(normalization, depth=1, width=0.1, weight_decay=0.1, gamma_weight_decay=0.0)
    free = {weight.name for weight in model.trainable_weights if weight.regularizer is None}
    assert free - {"alpha"} == {"gamma", "embeddings"}


@pytest.mark.parametrize("network", [ResNet(8, width=0.1), ViT("dynamic_tanh", 1, width=0.1)])
def test_networks_beyond_the_paper_are_saved_and_loaded(network, tmp_path, rng):
    network.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    images = rng.normal(size=(3, 32, 32, 3)).astype("float32")
    np.testing.assert_array_equal(as_float64(loaded(images)), as_float64(network(images)))


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"ResNet takes an n of 6 \* k \+ 2.*got 18"):
        ResNet(18)
    with pytest.raises(ValueError, match="width must be positive and finite; got -1"):
        ViT(width=-1.0)
    with pytest.raises(ValueError, match="is layer_normalization or dynamic_tanh; got 'batch'"):
        ViT("batch")
    with pytest.raises(ValueError, match=r"multiples of 8 pixels; got input_shape=\(33, 32, 3\)"):
        ViT(input_shape=(33, 32, 3))
    with pytest.raises(ValueError, match="got 7"):
        VGG16(7)
    with pytest.raises(ValueError, match=r"32 pixels a side; got input_shape=\(16, 16, 3\)"):
        VGG11(input_shape=(16, 16, 3))
    with pytest.raises(ValueError, match="got 0"):
        MobileNet(width=0)
    with pytest.raises(ValueError, match="'swop'"):
        MobileNet(order="swop")
