import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from keras_bnact import BoundedBlock, export_saved_model
from keras_bnact.models import VGG16

SERVE = """
import json, sys
import numpy as np
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
signature = model.signatures["serving_default"]
images = np.load(sys.argv[2])
logits = signature(images=tf.constant(images))["logits"]
one = signature(images=tf.constant(images[:1]))["logits"]
print(json.dumps({
    "inputs": {k: [v.dtype.name, v.shape.as_list()] for k, v in
               signature.structured_input_signature[1].items()},
    "dtype": logits.dtype.name,
    "logits": logits.numpy().tolist(),
    "one": one.numpy().tolist(),
    "ours": "keras_bnact" in sys.modules,
}))
"""


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "float64"])
def test_serves_without_the_package(policy, rng, tmp_path, run_python):
    keras.config.set_dtype_policy(policy)
    standardisation = keras.layers.Normalization(
        mean=[120.0, 110.0, 100.0], variance=[3000.0, 3500.0, 4000.0], dtype="float32"
    )
    model = VGG16(8, order="convention", width=0.1, preprocessing=standardisation)
    images = rng.uniform(0, 255, (5, 32, 32, 3)).astype("float32")
    model(images, training=True)
    export_saved_model(model, tmp_path / "saved_model")
    np.save(tmp_path / "images.npy", images)
    (tmp_path / "serve.py").write_text(SERVE)

    finished = run_python(tmp_path / "serve.py", tmp_path / "saved_model", tmp_path / "images.npy")

    assert finished.returncode == 0, finished.stderr
    served = json.loads(finished.stdout)
    assert served["inputs"] == {"images": ["float32", [None, 32, 32, 3]]}
    assert served["dtype"] == "float32"
    assert not served["ours"]
    expected = model.predict(images, verbose=0)
    # One unit of bfloat16 in a hidden layer shows in the logits.
    tolerance = 2e-2 if policy == "mixed_bfloat16" else 1e-5
    np.testing.assert_allclose(served["logits"], expected, rtol=0, atol=tolerance)
    np.testing.assert_allclose(served["one"], expected[:1], rtol=0, atol=tolerance)


def classifier():
    inputs = keras.Input((8, 8, 3), name="pixels")
    hidden = layers.Flatten()(inputs)
    return inputs, layers.Dense(4, activation="softmax", name="probabilities")(hidden)


def of_integers():
    tokens = keras.Input((6,), dtype="int32", name="tokens")
    hidden = layers.GlobalAveragePooling1D()(layers.Embedding(9, 3)(tokens))
    return [tokens], layers.Dense(4, name="scores")(hidden)


def of_any_size():
    inputs = keras.Input((None, None, 3), name="pixels")
    return inputs, BoundedBlock(layers.Conv2D(2, 3), order="convention", name="map")(inputs)


def of_two_inputs():
    first = keras.Input((8,), name="first")
    second = keras.Input((5,), dtype="uint8", name="second")
    hidden = layers.Concatenate()([first, layers.Rescaling(1 / 255)(second)])
    return [first, second], [layers.Dense(n, name=name)(hidden) for n, name in ((2, "a"), (3, "b"))]


def of_dictionaries():
    first, second = keras.Input((8,), name="first"), keras.Input((5,), name="second")
    named = {"sum": layers.Dense(5)(first) + second, "largest": ops.argmax(first, -1)}
    return {"first": first, "second": second}, named


SIGNATURES = {
    classifier: (
        {"pixels": ("float32", [None, 8, 8, 3])},
        {"probabilities": ("float32", [None, 4])},
    ),
    of_integers: ({"tokens": ("int32", [None, 6])}, {"scores": ("float32", [None, 4])}),
    of_any_size: (
        {"pixels": ("float32", [None, None, None, 3])},
        {"map": ("float32", [None, None, None, 2])},
    ),
    of_two_inputs: (
        {"first": ("float32", [None, 8]), "second": ("uint8", [None, 5])},
        {"a": ("float32", [None, 2]), "b": ("float32", [None, 3])},
    ),
    of_dictionaries: (
        {"first": ("float32", [None, 8]), "second": ("float32", [None, 5])},
        {"sum": ("float32", [None, 5]), "largest": ("int32", [None])},
    ),
}


def described(specs):
    return {name: (spec.dtype.name, spec.shape.as_list()) for name, spec in specs.items()}


@pytest.mark.parametrize("make", SIGNATURES)
def test_the_signature_is_the_models_own(make, rng, tmp_path):
    model = keras.Model(*make())
    export_saved_model(model, tmp_path / "saved_model")
    loaded = tf.saved_model.load(tmp_path / "saved_model")
    signature = loaded.signatures["serving_default"]
    inputs, outputs = SIGNATURES[make]
    assert described(signature.structured_input_signature[1]) == inputs
    assert described(signature.structured_outputs) == outputs

    arrays = {
        name: rng.uniform(0, 9, [7 if size is None else size for size in shape]).astype(dtype)
        for name, (dtype, shape) in inputs.items()
    }
    served = signature(**{name: tf.constant(array) for name, array in arrays.items()})
    given = keras.tree.map_structure(lambda x: arrays[x.name], model.input)
    expected = model(given)
    if not isinstance(expected, dict):
        expected = dict(zip(outputs, keras.tree.flatten(expected), strict=True))
    for answer in served, loaded.serve(given):
        assert answer.keys() == expected.keys()
        for name in outputs:
            np.testing.assert_allclose(answer[name], expected[name], rtol=0, atol=1e-5)


class Subclassed(keras.Model):
    def call(self, inputs):
        return inputs


def test_models_that_cannot_be_served_are_refused(tmp_path):
    sequence = keras.Input((4, 3))
    states = layers.LSTM(2, return_state=True, name="lstm")(sequence)
    for model, message in (
        (Subclassed(name="own"), "model 'own' is neither"),
        (keras.Sequential([layers.Dense(3)], name="unbuilt"), "model 'unbuilt' is neither"),
        (keras.Model(sequence, states, name="states"), r"'states' have the same name \(lstm,"),
    ):
        with pytest.raises(ValueError, match=message):
            export_saved_model(model, tmp_path / "saved_model")
    assert not (tmp_path / "saved_model").exists()
