"""Models of another order: their structure, their outputs, and what is left and why."""

import keras
import numpy as np
import pytest
from keras import layers
from structure import taken

import keras_bnact
from keras_bnact import BoundedBlock, reorder

IDENTITY = {"moving_mean": 0.0, "moving_variance": 1.0, "gamma": 1.0, "beta": 0.0}


def connections(model, prefix=""):
    """What each layer is, takes and is configured with, from Keras' own description of it."""
    config = model.get_config()
    rows = []
    for layer in config["layers"]:
        inner = layer["config"]
        if "layers" in inner:
            rows += connections(model.get_layer(inner["name"]), f"{prefix}{inner['name']}/")
        before = [*taken(layer.get("inbound_nodes", []))]
        rows.append((prefix + inner["name"], layer["class_name"], before, inner.get("use_bias")))
    return rows


def convention(order="convention", identity=True, use_bias=False):
    """A network with a skip connection, two inputs, two outputs and one shared activation."""
    tanh = layers.Activation("tanh", name="tanh")

    def chain(x, layer, name):
        normalization = layers.BatchNormalization(epsilon=1e-5, name=f"{name}_bn")
        steps = [normalization, tanh] if order == "convention" else [tanh, normalization]
        for step in (layer, *steps):
            x = step(x)
        return x

    images, extra = keras.Input((8, 8, 3), name="images"), keras.Input((4,), name="extra")
    x = chain(images, layers.Conv2D(4, 3, padding="same", use_bias=use_bias, name="conv1"), "conv1")
    y = chain(
        x, layers.DepthwiseConv2D(3, padding="same", use_bias=use_bias, name="conv2"), "conv2"
    )
    x = layers.Add(name="add")([x, y])
    x = layers.Concatenate(name="both")([layers.GlobalAveragePooling2D(name="pool")(x), extra])
    x = chain(x, layers.Dense(5, use_bias=use_bias, name="dense"), "dense")
    outputs = {"class": layers.Dense(3, name="class")(x), "value": layers.Dense(1, name="value")(x)}
    return keras.Model([images, extra], outputs, name="network")


def randomize(model, rng, identity):
    for layer in model.layers:
        for variable in layer.variables:
            value = rng.normal(size=variable.shape)
            if isinstance(layer, layers.BatchNormalization):
                value = np.abs(value) + 0.5 if "variance" in variable.name else value
                if identity:
                    value = np.full(variable.shape, IDENTITY[variable.name])
                    value -= 1e-5 if variable.name == "moving_variance" else 0
            variable.assign(value)
    return model


def outputs_of(model, inputs):
    return {name: np.asarray(x) for name, x in model.predict(inputs, verbose=0).items()}


@pytest.fixture
def inputs(rng):
    return [rng.normal(size=(6, 8, 8, 3)), rng.normal(size=(6, 4))]


def test_the_structure_is_that_of_a_model_built_so():
    made = reorder(convention()).model
    assert connections(made) == connections(convention("swap", use_bias=True))
    back = reorder(made, "convention", use_bias=False).model
    assert connections(back) == connections(convention())
    assert connections(reorder(convention("swap", use_bias=True), "convention").model) == (
        connections(convention(use_bias=True))
    )


def test_with_identical_normalization_the_outputs_are_the_same(rng, inputs):
    model = randomize(convention(), rng, identity=True)
    swapped = reorder(model).model
    for made in (swapped, reorder(swapped, "convention").model):
        for name, output in outputs_of(made, inputs).items():
            np.testing.assert_allclose(output, outputs_of(model, inputs)[name], atol=1e-5)


def test_values_are_carried_over_by_name_and_the_model_stays(rng, inputs):
    model = randomize(convention(), rng, identity=False)
    before = outputs_of(model, inputs)
    made = reorder(model).model
    for layer in model.layers:
        new = {x.name: np.asarray(x) for x in made.get_layer(layer.name).variables}
        for variable in layer.variables:
            np.testing.assert_array_equal(new.pop(variable.name), np.asarray(variable))
        assert all(name == "bias" and not value.any() for name, value in new.items())
    made.get_layer("conv1").kernel.assign(made.get_layer("conv1").kernel * 2)
    for name, output in outputs_of(model, inputs).items():
        np.testing.assert_array_equal(output, before[name])
    # The swapped model computes the swapped formula.
    assert not np.allclose(outputs_of(made, inputs)["class"], before["class"], atol=1e-2)


def test_a_bias_that_is_left_out_changes_no_output(rng, inputs):
    model = randomize(convention("swap", use_bias=True), rng, identity=False)
    kept, left_out = (reorder(model, "convention", use_bias=x).model for x in (None, False))
    assert left_out.get_layer("conv1").bias is None
    for name, output in outputs_of(kept, inputs).items():
        np.testing.assert_allclose(outputs_of(left_out, inputs)[name], output, atol=1e-5)


def test_what_is_said():
    swapped, changed, left = reorder(convention())
    assert changed["conv2_bn"] == "conv2, conv2_bn, tanh -> conv2, tanh, conv2_bn; bias added"
    assert not left
    table = str(reorder(swapped, "convention", use_bias=False)).splitlines()
    assert table[0].split("   ")[-1] == (
        "conv1, tanh, conv1_bn -> conv1, conv1_bn, tanh; bias left out"
    )


def test_an_activation_argument_becomes_a_layer(rng):
    dense, bn = layers.Dense(4, "tanh", name="dense"), layers.BatchNormalization(name="bn")
    model = keras.Sequential([keras.Input((3,)), dense, bn], name="small")
    made, changed, _ = reorder(model, "convention")
    assert isinstance(made, keras.Sequential)
    assert made.name == "small"
    assert [layer.name for layer in made.layers] == ["dense", "bn", "dense_activation"]
    assert changed["bn"] == "dense (tanh), bn -> dense, bn, dense_activation"
    x = rng.normal(size=(5, 3)).astype("float32")
    normalized = x @ np.asarray(dense.kernel) / np.sqrt(1 + bn.epsilon)
    np.testing.assert_allclose(made.predict(x, verbose=0), np.tanh(normalized), atol=1e-6)
    assert [layer.name for layer in reorder(made).model.layers] == [
        "dense",
        "dense_activation",
        "bn",
    ]


def test_functions_in_a_graph_are_activations():
    inputs = keras.Input((3,))
    x = layers.BatchNormalization(name="bn")(layers.Dense(4, name="dense")(inputs))
    model = keras.Model(inputs, keras.ops.tanh(x))
    made = reorder(model).model
    assert made.layers[-1].name == "bn"
    x = np.ones((2, 3), "float32")
    expected = np.tanh(x @ np.asarray(model.get_layer("dense").kernel)) / np.sqrt(1 + 1e-3)
    np.testing.assert_allclose(made.predict(x, verbose=0), expected, atol=1e-6)


@pytest.mark.parametrize("order", ["swap", "convention"])
def test_blocks_are_reordered_with_what_they_wrap(rng, order):
    other = {"swap": "convention", "convention": "swap"}[order]

    def network(order):
        use_bias = order == "swap"
        return keras.Sequential(
            [
                keras.Input((8, 8, 3)),
                BoundedBlock(layers.Conv2D(4, 3, use_bias=use_bias), order=order, name="block1"),
                BoundedBlock(
                    layers.SpectralNormalization(layers.Conv2D(4, 3, use_bias=use_bias)),
                    order=order,
                    name="block2",
                ),
                layers.Flatten(),
                BoundedBlock(layers.Dense(4), order="nobn", name="block3"),
            ]
        )

    model = network(other)
    made, changed, left = reorder(model, order, use_bias=order == "swap" or False)
    assert [*changed] == ["block1", "block2"]
    assert not left
    for new, built in zip(made.layers, network(order).layers, strict=True):
        assert [(x.shape, x.name) for x in new.variables] == [
            (x.shape, x.name) for x in built.variables
        ]
    np.testing.assert_array_equal(
        np.asarray(made.layers[1].layer.layer.kernel),
        np.asarray(model.layers[1].layer.layer.kernel),
    )
    assert [layer.order for layer in (made.layers[0], made.layers[3])] == [order, "nobn"]
    x = rng.normal(size=(2, 8, 8, 3))
    for outputs in (model.predict(x, verbose=0), made.predict(x, verbose=0)):
        assert np.isfinite(outputs).all()


def test_models_within_the_model(rng):
    inner = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(4, use_bias=False, name="dense"),
            layers.BatchNormalization(epsilon=1e-5, name="bn"),
            layers.Activation("tanh", name="tanh"),
        ],
        name="inner",
    )
    inputs = keras.Input((4,), name="inputs")
    model = keras.Model(inputs, inner(inner(inputs)), name="outer")
    randomize(inner, rng, identity=True)
    made, changed, _ = reorder(model)
    assert [*changed] == ["inner/bn"]
    new = made.get_layer("inner")
    assert isinstance(new, keras.Sequential)
    assert [layer.name for layer in new.layers] == ["dense", "tanh", "bn"]
    assert len(made.variables) == len(model.variables) + 1, "one model, called twice"
    x = rng.normal(size=(3, 4))
    np.testing.assert_allclose(made.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-5)


def test_kernels_are_drawn_anew_each_for_itself():
    chains = []
    for name in ("a", "b"):
        chains += [
            layers.Dense(64, name=name),
            layers.BatchNormalization(name=f"{name}_bn"),
            layers.Activation("tanh", name=f"{name}_tanh"),
        ]
    model = keras.Sequential([keras.Input((64,)), *chains, layers.Dense(2, name="logits")])
    for variable in model.variables:
        variable.assign(np.full(variable.shape, 7.0))
    made, changed, _ = reorder(model, kernel_initializer=keras_bnact.models.KERNEL_INITIALIZER)
    assert changed["a_bn"].endswith("; drawn anew")
    a, b = (np.asarray(made.get_layer(name).kernel) for name in ("a", "b"))
    for kernel in (a, b):
        assert 0.12 < np.abs(kernel).max() <= 1 / 8
    assert not np.allclose(a, b)
    assert not np.asarray(made.get_layer("a").bias).any()
    assert np.asarray(made.get_layer("a_bn").moving_variance).max() == 1
    assert np.asarray(made.get_layer("logits").kernel).max() == 7


def left_alone(kind):
    inputs = keras.Input((4,))
    dense, bn, tanh = (
        layers.Dense(4, name="dense"),
        layers.BatchNormalization(name="bn"),
        layers.Activation("tanh", name="tanh"),
    )
    x = dense(inputs)
    if kind == "training":
        outputs = tanh(bn(x, training=True))
    elif kind == "frozen":
        outputs = tanh(bn(inputs=x, training=False))
    elif kind == "skip":
        outputs = layers.Add(name="add")([tanh(bn(x)), x])
    elif kind == "no activation":
        outputs = layers.Add(name="add")([bn(x), inputs])
    elif kind == "no weights":
        outputs = tanh(bn(layers.LayerNormalization(name="ln")(x)))
    elif kind == "output":
        outputs = bn(x)
    elif kind == "shared weights":
        outputs = layers.Add(name="add")([tanh(bn(x)), dense(inputs)])
    elif kind == "shared normalization":
        other = bn(layers.Dense(4, name="other")(inputs))
        outputs = layers.Add(name="add")([tanh(bn(x)), tanh(other)])
    elif kind == "own code":
        outputs = layers.TimeDistributed(bn, name="steps")(layers.Reshape((2, 2))(x))
    else:
        outputs = bn(tanh(x))
    return keras.Model(inputs, outputs, name="model")


LEFT = {
    "training": "bn: called with training=True",
    "frozen": "bn: called with training=False",
    "skip": "bn: 'dense' goes to 'bn' and 'add'",
    "no activation": r"bn: before 'add' \(Add\), no activation",
    "no weights": r"bn: after 'ln' \(LayerNormalization\), no weight layer that can be changed",
    "output": "bn: 'bn' goes to the model's output",
    "shared weights": "bn: 'dense' goes to 'add'",
    "shared normalization": "bn: shared by chains of different layers",
    "own code": r"steps: normalizes in its own code \(TimeDistributed\)",
    "already": "bn: in that order already",
}


@pytest.mark.parametrize("kind", LEFT)
def test_what_cannot_be_changed_is_said(kind):
    expected = f"^Model 'model' has no batch normalization to bring .* 'swap'; {LEFT[kind]}\\.$"
    with pytest.raises(ValueError, match=expected):
        reorder(left_alone(kind))


def test_a_layer_of_two_models_is_refused():
    inputs, dense = keras.Input((4,)), layers.Dense(4, name="dense")
    inner = keras.Model(inputs, dense(inputs), name="inner")
    x = layers.Activation("tanh")(layers.BatchNormalization()(dense(inputs)))
    model = keras.Model(inputs, inner(x), name="outer")
    with pytest.raises(ValueError, match=r"'dense' is called by model 'inner' and by .* 'outer'"):
        reorder(model)


class Subclassed(keras.Model):
    def call(self, x):
        return x


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        (convention, {"order": "nobn"}, "Unknown order 'nobn': give one of swap, convention"),
        (convention, {"use_bias": False}, "cannot be left out: .* 'convention' alone"),
        (lambda: 3, {}, "Give a Keras model; got 3"),
        (lambda: Subclassed(name="own"), {}, "'own' is subclassed"),
        (lambda: keras.Sequential([layers.Dense(1)], name="new"), {}, "'new' is not built"),
        (
            lambda: keras.Sequential([keras.Input((3,)), layers.Dense(1)], name="plain"),
            {},
            "'plain' has no batch normalization to bring into the order 'swap'.$",
        ),
    ],
)
def test_mistakes_are_told(model, arguments, message):
    with pytest.raises(ValueError, match=message):
        reorder(model(), **arguments)


def test_a_refusal_of_a_deep_network_names_its_first_layers():
    steps = [step for _ in range(8) for step in (layers.Dense(3), layers.BatchNormalization())]
    deep = keras.Sequential([keras.Input((3,)), *steps])
    with pytest.raises(ValueError, match=r"; and 3 more\.$") as refusal:
        reorder(deep)
    names = [step.name for step in steps[1::2]]
    assert [name for name in names if f"; {name}: " in str(refusal.value)] == names[:5]


class Unconfigured(layers.Layer):
    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)

    def call(self, x):
        return x

    def get_config(self):
        return super().get_config()


def test_a_layer_that_cannot_be_made_anew_is_named():
    inputs = keras.Input((4,))
    x = layers.Activation("tanh")(layers.BatchNormalization()(layers.Dense(4)(inputs)))
    model = keras.Model(inputs, Unconfigured(3, name="own")(x))
    with pytest.raises(ValueError, match=r"Layer 'own' \(Unconfigured\) cannot be made anew"):
        reorder(model)


def test_what_is_made_trains_and_is_saved(rng, inputs, tmp_path):
    model = convention()
    # A loss that no configuration holds is none of the new model's.
    model.compile("sgd", loss={"class": lambda y, x: keras.ops.mean(x), "value": "mse"})
    made = reorder(model).model
    assert not made.compiled
    made.compile("sgd", loss={"class": "mse", "value": "mse"})
    labels = {"class": rng.normal(size=(6, 3)), "value": rng.normal(size=(6, 1))}
    made.fit(inputs, labels, epochs=1, verbose=0)
    made.save(tmp_path / "made.keras")
    loaded = keras.saving.load_model(tmp_path / "made.keras")
    for name, output in outputs_of(loaded, inputs).items():
        np.testing.assert_array_equal(output, outputs_of(made, inputs)[name])


def test_frozen_layers_stay_frozen_and_inputs_stay_what_they_are():
    model = convention()
    model.get_layer("conv1").trainable = False
    model.get_layer("conv1_bn").trainable = False
    made = reorder(model).model
    assert not made.get_layer("conv1").trainable
    assert not made.get_layer("conv1_bn").trainable
    assert len(made.trainable_variables) == len(model.trainable_variables) + 2
    assert [x.name for x in made.inputs] == ["images", "extra"]
    model.trainable = False
    assert not reorder(model).model.trainable_variables
