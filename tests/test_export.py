import json

import keras
import numpy as np
import pytest

from keras_bnact import export_saved_model
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


def test_a_model_without_a_known_image_is_refused(tmp_path):
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs), name="any_size")
    with pytest.raises(ValueError, match="'any_size' has input shape"):
        export_saved_model(model, tmp_path / "saved_model")
    assert not (tmp_path / "saved_model").exists()
