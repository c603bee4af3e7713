"""A network of ours in Keras' own layers."""

from typing import Any


def stock_twin(model: Any) -> Any:
    """The same network and weights, each BoundedBlock replaced by stock Keras layers."""
    import keras

    inputs = keras.Input(model.input_shape[1:])
    outputs = inputs
    pairs = []
    for layer in model.layers[1:]:
        for original in getattr(layer, "steps", [layer]):
            config = original.get_config() | {"name": f"{layer.name}_{original.name}"}
            twin = _stock_class(original).from_config(config)
            outputs = twin(outputs)
            pairs.append((original, twin))
    for original, twin in pairs:
        twin.set_weights(original.get_weights())
    return keras.Model(inputs, outputs)


def _stock_class(layer: Any) -> Any:
    import keras

    if isinstance(layer, keras.layers.BatchNormalization):
        return keras.layers.BatchNormalization
    return type(layer)
