import importlib.util
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from keras_bnact import BoundedBlock, export, exporting, fold_batch_normalization
from keras_bnact.models import VGG16
from train import names

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


@pytest.mark.runs
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "float64"])
def test_serves_without_the_package(policy, rng, tmp_path, run_python):
    keras.config.set_dtype_policy(policy)
    standardisation = keras.layers.Normalization(
        mean=[120.0, 110.0, 100.0], variance=[3000.0, 3500.0, 4000.0], dtype="float32"
    )
    model = VGG16(8, order="convention", width=0.1, preprocessing=standardisation)
    images = rng.uniform(0, 255, (5, 32, 32, 3)).astype("float32")
    model(images, training=True)
    export(model, tmp_path / "saved_model")
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
    rounded = ops.cast(ops.max(first, -1), "int32")
    named = {"sum": layers.Dense(5)(first) + second, "rounded": rounded}
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
        {"sum": ("float32", [None, 5]), "rounded": ("int32", [None])},
    ),
}


def described(specs):
    return {name: (spec.dtype.name, spec.shape.as_list()) for name, spec in specs.items()}


@pytest.mark.parametrize("make", SIGNATURES)
def test_the_signature_is_the_models_own(make, rng, tmp_path):
    model = keras.Model(*make())
    export(model, tmp_path / "saved_model")
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


def run_by_litert(path, arrays):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter(str(path))
    return interpreter.get_signature_runner("serving_default")(**arrays)


def run_by_onnxruntime(path, arrays):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, arrays), strict=True))


RUNTIMES = {"tflite": run_by_litert, "onnx": run_by_onnxruntime}


@pytest.mark.parametrize("format", RUNTIMES)
@pytest.mark.parametrize("make", SIGNATURES)
def test_other_runtimes_have_the_same_signature(format, make, rng, tmp_path):
    model = keras.Model(*make())
    inputs, outputs = SIGNATURES[make]
    path = tmp_path / f"model.{format}"
    if format == "onnx":
        pytest.importorskip("tf2onnx")
    export(model, path, format=format)
    for examples in (1, 3):
        arrays = {
            name: rng.uniform(0, 9, [examples, *(7 if n is None else n for n in shape)])
            for name, (_, (_, *shape)) in inputs.items()
        }
        arrays = {name: arrays[name].astype(inputs[name][0]) for name in arrays}
        given = keras.tree.map_structure(lambda x, arrays=arrays: arrays[x.name], model.input)
        expected = model(given)
        if not isinstance(expected, dict):
            expected = dict(zip(outputs, keras.tree.flatten(expected), strict=True))
        answer = RUNTIMES[format](path, arrays)
        assert answer.keys() == expected.keys()
        for name, (dtype, _) in outputs.items():
            assert answer[name].dtype == dtype
            np.testing.assert_allclose(answer[name], expected[name], rtol=0, atol=1e-5)


def of_blocks(order, padding="same"):
    """A small network on pixels of 0 to 255, with statistics that are not those of the start."""
    model = keras.Sequential(
        [
            keras.Input((12, 12, 3), name="images"),
            # Its constants are no variables, which is a case of its own for a converter.
            layers.Normalization(mean=[120.0, 110.0, 100.0], variance=[3e3, 3.5e3, 4e3]),
            BoundedBlock(layers.Conv2D(8, 3, padding=padding), order=order, name="conv1"),
            layers.MaxPooling2D(),
            BoundedBlock(layers.Conv2D(16, 3, padding=padding), order=order, name="conv2"),
            layers.Flatten(),
            BoundedBlock(layers.Dense(16), order=order, name="dense"),
            layers.Dense(10, name="logits"),
        ]
    )
    return with_statistics(model)


def of_stock_layers():
    return with_statistics(
        keras.Sequential(
            [
                keras.Input((12, 12, 3), name="images"),
                layers.Rescaling(1 / 255),
                layers.Conv2D(8, 3, use_bias=False),
                layers.BatchNormalization(),
                layers.Activation("relu"),
                layers.DepthwiseConv2D(3, padding="same", activation="tanh"),
                # TFLite leaves smaller kernels in float32.
                layers.Conv2D(16, 3, activation="tanh"),
                layers.BatchNormalization(),
                layers.GlobalAveragePooling2D(),
                layers.Dense(10, name="logits"),
            ]
        )
    )


def folded(order):
    model, _, left = fold_batch_normalization(of_blocks(order, padding="valid"))
    assert not left
    return model


def with_statistics(model):
    model(pixels(64), training=True)
    return model


def pixels(number):
    """Images whose colours and brightness differ, as those of photographs do."""
    rng = np.random.default_rng(1)
    means = rng.uniform(40, 210, (number, 1, 1, 3))
    return np.clip(rng.normal(means, 30, (number, 12, 12, 3)), 0, 255).astype("float32")


MODELS = {
    "convention": lambda: of_blocks("convention"),
    "swap": lambda: of_blocks("swap"),
    "stock layers": of_stock_layers,
    "folded": lambda: folded("swap"),
}
# Of the error of the logits over them, both in the Euclidean norm. Eight bits round to 1/256 of a
# tensor's range, and a layer after the other adds its part: of the weights, and with integers of
# the activations. Measured: up to 0.009 and 0.028.
TOLERANCES = {"tflite": 1e-5, "onnx": 1e-5, "tflite_dynamic": 0.02, "tflite_integer": 0.06}


@pytest.mark.parametrize("format", TOLERANCES)
@pytest.mark.parametrize("name", MODELS)
def test_other_runtimes_agree_with_keras(name, format, tmp_path):
    run = RUNTIMES[format.split("_")[0]]
    model, images = MODELS[name](), pixels(64)
    path = tmp_path / f"model{exporting.SUFFIXES[format]}"
    if format == "onnx":
        pytest.importorskip("tf2onnx")
    export(model, path, format, images if format == "tflite_integer" else None)
    answer = run(path, {"images": images})["logits"]
    assert answer.dtype == "float32"
    expected = model.predict(images, verbose=0)
    error = np.linalg.norm(answer - expected) / np.linalg.norm(expected)
    assert error < TOLERANCES[format]
    # What is rounded to eight bits, and so shows.
    assert (error > 1e-4) == ("_" in format)


@pytest.mark.parametrize("activation", names.ACTIVATIONS)
def test_tflite_has_all_activations_but_those_that_are_named(activation, tmp_path):
    block = BoundedBlock(layers.Dense(2), activation, "swap")
    model = keras.Sequential([keras.Input((3,)), block], name="model")
    if activation not in names.NOT_IN_TFLITE:
        export(model, tmp_path / "model.tflite", "tflite")
    else:
        with pytest.raises(ValueError, match=r"TFLite has no (Atan|Erf), which model 'model'"):
            export(model, tmp_path / "model.tflite", "tflite")


def test_all_that_is_computed_of_integers_is(tmp_path):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    path = tmp_path / "model.tflite"
    export(of_blocks("swap"), path, "tflite_integer", pixels(64))
    made = interpreter.Interpreter(str(path))
    made.allocate_tensors()
    ends = {tensor["index"] for tensor in made.get_input_details() + made.get_output_details()}
    assert {made.get_input_details()[0]["dtype"], made.get_output_details()[0]["dtype"]} == {
        np.float32
    }
    within = [tensor for tensor in made.get_tensor_details() if tensor["index"] not in ends]
    assert {tensor["dtype"] for tensor in within} == {np.int8, np.int32}


def test_no_normalization_is_left_of_a_folded_model(tmp_path):
    onnx = pytest.importorskip("onnx")
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    pytest.importorskip("tf2onnx")
    kinds = {}
    for name, model in (("swap", of_blocks("swap", "valid")), ("folded", folded("swap"))):
        export(model, tmp_path / "model.onnx", "onnx")
        export(model, tmp_path / "model.tflite", "tflite")
        nodes = [node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node]
        made = interpreter.Interpreter(str(tmp_path / "model.tflite"))
        operations = [x["op_name"] for x in made._get_ops_details()]
        kinds[name] = nodes.count("BatchNormalization"), operations.count("MUL")
        kinds[name] += (operations.count("ADD"),)
    # The multiplication that is left standardises the images.
    assert kinds == {"swap": (2, 4, 3), "folded": (0, 1, 0)}


def test_representative_data_is_what_measure_takes(tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "REPRESENTATIVE_EXAMPLES", 20)
    pytest.importorskip("ai_edge_litert")
    images = pixels(40)
    labels = np.zeros(40, "int32")
    endless = tf.data.Dataset.from_tensor_slices((images, labels)).batch(9).repeat()
    model = of_blocks("swap")
    written = []
    # The first 20 alone count.
    changed = np.concatenate([images[:20], 100 * images[20:]])
    for data in (images, changed, {"images": images, "other": labels}, endless):
        export(model, tmp_path / "model.tflite", "tflite_integer", data)
        written.append(run_by_litert(tmp_path / "model.tflite", {"images": images[:9]})["logits"])
    for others in written[1:]:
        np.testing.assert_array_equal(others, written[0])
    with pytest.raises(ValueError, match="'images', and a batch of the data has shape"):
        export(model, tmp_path / "model.tflite", "tflite_integer", images[:, :5])


def test_what_is_there_is_replaced_once_the_new_one_is_whole(tmp_path):
    model = keras.Model(*classifier())
    file, folder = tmp_path / "model.tflite", tmp_path / "model"
    file.write_text("old")
    folder.mkdir()
    for _ in range(2):
        export(model, file, "tflite")
        export(model, folder)
        assert {entry.name for entry in tmp_path.iterdir()} == {"model.tflite", "model"}
        assert tf.saved_model.load(folder).signatures
    whole = file.read_bytes()
    assert whole != b"old"

    matrices = keras.Input((4, 4))
    lacking = keras.Model(matrices, ops.svd(matrices, compute_uv=False), name="decomposition")
    with pytest.raises(ValueError, match="TFLite has no Svd, which model 'decomposition'"):
        export(lacking, file, "tflite")
    if importlib.util.find_spec("tf2onnx"):
        with pytest.raises(ValueError, match="ONNX has no Svd, which model 'decomposition'"):
            export(lacking, tmp_path / "model.onnx", "onnx")
    assert file.read_bytes() == whole
    assert {entry.name for entry in tmp_path.iterdir()} == {"model.tflite", "model"}


def test_converters_are_not_heard(tmp_path, run_python):
    code = """
import importlib.util, os, sys
import keras, keras_bnact
model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
data = keras.ops.ones((1, 3))
model.predict(data, verbose=0)
os.write(2, b"begins")
keras_bnact.export(model, sys.argv[1] + "/model")
keras_bnact.export(model, sys.argv[1] + "/model.tflite", "tflite_integer", data)
if importlib.util.find_spec("tf2onnx"):
    keras_bnact.export(model, sys.argv[1] + "/model.onnx", "onnx")
os.write(2, b"ends")
"""
    finished = run_python("-c", code, tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert "beginsends" in finished.stderr
    assert finished.stdout == ""


def test_a_mistake_is_told_in_one_sentence(tmp_path, monkeypatch):
    model = keras.Model(*classifier())
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    (tmp_path / "folder.onnx").mkdir()
    data = np.zeros((2, 8, 8, 3))
    for path, format, given, error, message in (
        ("model", "onyx", None, ValueError, "format='onyx' is none of 'saved_model', 'tflite'"),
        ("model.onnx", "tflite", None, ValueError, r"'tflite' ends in \.tflite; got '.*\.onnx'"),
        ("model.onnx", "saved_model", None, ValueError, r"in none of \.onnx, \.tflite; got"),
        ("model", "onnx", None, ValueError, r"'onnx' ends in \.onnx; got"),
        ("no/model.onnx", "onnx", None, FileNotFoundError, "no folder '.*no' to write 'model"),
        ("notes", "saved_model", None, FileExistsError, "notes' is something else than format="),
        ("folder.onnx", "onnx", None, FileExistsError, "folder.onnx' is something else"),
        ("model.tflite", "tflite_integer", None, ValueError, "needs representative_data, which"),
        ("model.tflite", "tflite_dynamic", data, ValueError, "got it with format='tflite_dynamic'"),
    ):
        with pytest.raises(error, match=message) as raised:
            export(model, tmp_path / path, format, given)
        assert "\n" not in str(raised.value)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"needs tf2onnx, .* pip install '\.\[onnx\]'"):
        export(model, tmp_path / "model.onnx", "onnx")
    half = keras.Sequential([keras.Input((3,)), layers.Dense(2, name="d", dtype="mixed_bfloat16")])
    with pytest.raises(ValueError, match="'d' computes in bfloat16, and format='tflite'"):
        export(half, tmp_path / "model.tflite", "tflite")
    assert {entry.name for entry in tmp_path.iterdir()} == {"notes", "folder.onnx"}


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
            export(model, tmp_path / "saved_model")
    assert not (tmp_path / "saved_model").exists()


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a SavedModel is TensorFlow's")
def test_what_tensorflow_fails_to_delete_is_deleted(tmp_path, monkeypatch):
    write_out = keras.export.ExportArchive.write_out

    def leaving(archive, path, **keywords):
        write_out(archive, path, **keywords)
        leftover = tmp_path / "model" / "variables" / "variables_temp"
        leftover.mkdir()
        (leftover / "part-00000-of-00001.index").touch()

    monkeypatch.setattr(keras.export.ExportArchive, "write_out", leaving)
    export(keras.Sequential([keras.Input((3,)), layers.Dense(2)]), tmp_path / "model")
    names = {path.name for path in (tmp_path / "model" / "variables").iterdir()}
    assert names == {"variables.index", "variables.data-00000-of-00001"}
