"""`measure` on every family of `keras.applications`, in its smallest form."""

import keras
import numpy as np
import pytest
from oracle import DEEP, assert_measured, predict

from keras_bnact import measure

SIDE = {"InceptionV3": 75, "InceptionResNetV2": 75, "Xception": 71}
FAMILIES = (
    *("ConvNeXtTiny", "DenseNet121", "EfficientNetB0", "EfficientNetV2B0", "InceptionResNetV2"),
    *("InceptionV3", "MobileNet", "MobileNetV2", "MobileNetV3Small", "NASNetMobile", "ResNet50"),
    *("ResNet50V2", "VGG16", "VGG19", "Xception"),
)


def activates(layer):
    if isinstance(layer, (keras.layers.ReLU, keras.layers.LeakyReLU, keras.layers.PReLU)):
        return True
    name = getattr(getattr(layer, "activation", None), "__name__", "linear")
    return name not in ("linear", "softmax")


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_of_applications(family, rng):
    side = SIDE.get(family, 32)
    make = getattr(keras.applications, family)
    model = make(input_shape=(side, side, 3), include_top=False, weights=None)
    x = rng.uniform(0, 255, (5, side, side, 3)).astype("float32")
    expected = [layer for layer in model.layers if activates(layer)]
    measured = measure(model, x, layers="*", batch_size=3)
    assert {layer.name for layer in expected} == {layer.name for layer in measured}
    chosen = [expected[i] for i in (0, len(expected) // 2, -1)]
    for layer in chosen:
        a = predict(keras.Model(model.input, layer.output), x, 3)
        bounds = (0.0, 1.0) if "sigmoid" in measured[layer.name].activation else None
        scale = max(1.0, np.abs(a).max())
        tolerances = {**DEEP, "atol": DEEP.get("atol", 1e-6) * scale, "max_rtol": 1e-4}
        assert_measured(measured[layer.name], a, bounds=bounds, **tolerances)
