"""Every family of `keras.applications`, in its smallest form."""

import functools

import keras

from catalogue import Row, case

SIDE = {"InceptionV3": 75, "InceptionResNetV2": 75, "Xception": 71}
FAMILIES = (
    *("ConvNeXtTiny", "DenseNet121", "EfficientNetB0", "EfficientNetV2B0", "InceptionResNetV2"),
    *("InceptionV3", "MobileNet", "MobileNetV2", "MobileNetV3Small", "NASNetMobile", "ResNet50"),
    *("ResNet50V2", "VGG16", "VGG19", "Xception"),
)


def make(family):
    side = SIDE.get(family, 32)
    application = getattr(keras.applications, family)
    return application(input_shape=(side, side, 3), include_top=False, weights=None)


def images(family, rng, n):
    side = SIDE.get(family, 32)
    return rng.uniform(0, 255, (n, side, side, 3)).astype("float32")


def activates(layer):
    if isinstance(layer, (keras.layers.ReLU, keras.layers.LeakyReLU, keras.layers.PReLU)):
        return True
    name = getattr(getattr(layer, "activation", None), "__name__", "linear")
    return name not in ("linear", "softmax")


def has_kernel(layer):
    return any(len(weight.shape) >= 2 for weight in layer.weights)


def producer(layer):
    """The layer that gave this one its input, as Keras' graph has it."""
    return layer.input._keras_history.operation


def weights_before(layer):
    if has_kernel(layer):
        return layer
    before = producer(layer)
    if isinstance(before, keras.layers.BatchNormalization):
        before = producer(before)
    return before if isinstance(before, keras.layers.Layer) and has_kernel(before) else None


def in_order(model):
    """The layers as Keras calls them, which of branches differs from `model.layers`."""
    depths = sorted(model._nodes_by_depth, reverse=True)
    return [node.operation for depth in depths for node in model._nodes_by_depth[depth]]


def rows(model):
    return {
        layer.name: Row(
            bounds=(0.0, 1.0) if "sigmoid" in str(getattr(layer, "activation", "")) else None,
            weights=weights_before(layer),
        )
        for layer in in_order(model)
        if activates(layer)
    }


for family in FAMILIES:
    case(
        rows,
        name=family,
        inputs=functools.partial(images, family),
        batch=3,
        examples=5,
        # In which rounding does not grow over a hundred layers to what a defect would be.
        policy="float64",
        deep=True,
        slow=True,
    )(functools.partial(make, family))
