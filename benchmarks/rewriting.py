"""What `reorder` and `fold_batch_normalization` do to four of `keras.applications`.

    python -m benchmarks.rewriting

Each network gets tanh in the place of its activations (VGG16 batch normalization as well), random
weights and random statistics, with scales of either sign. Printed are, in both orders,

- chains: how many have the order, and how many batch normalizations are in no chain;
- back: whether there and back gives the same layers, connections and variables;
- folded, left: batch normalizations;
- difference: the largest between the outputs with and without folding, over the largest output;
- predict: time with folding over that without, the median ratio of rounds in which the two take
  turns, and the range in which half of them lie.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from absl import app, flags

from tests.structure import taken
from train import native_messages

NETWORKS = ("VGG16", "MobileNet", "MobileNetV2", "ResNet50")
SIDE = flags.DEFINE_integer("side", 96, "Pixels of the images.", lower_bound=32)
IMAGES = flags.DEFINE_integer("images", 128, "Images.", lower_bound=1)
BATCH_SIZE = flags.DEFINE_integer("batch_size", 32, "Images a batch.", lower_bound=1)
ROUNDS = flags.DEFINE_integer("rounds", 9, "Timed rounds.", lower_bound=1)
CHOSEN = flags.DEFINE_multi_enum("network", NETWORKS, NETWORKS, "Of keras.applications.")


def main(arguments: Sequence[str]) -> None:
    """Prints a row for every network and order as it is measured."""
    if len(arguments) > 1:
        raise app.UsageError(f"'{arguments[1]}' is no flag.")
    with native_messages.suppressed():
        import tensorflow as tf

        tf.config.list_logical_devices()
    print(
        f"{IMAGES.value} images of {SIDE.value}x{SIDE.value} in batches of {BATCH_SIZE.value}, "
        f"{ROUNDS.value} rounds\n\n"
        f"{'network':<13}{'order':<12}{'chains':>7}{'others':>8}{'back':>6}{'folded':>8}{'left':>6}"
        f"{'difference':>12}{'predict':>9}{'half within':>14}"
    )
    for name in CHOSEN.value:
        for order in ("convention", "swap"):
            print(_row(name, order), flush=True)


def _row(name: str, order: str) -> str:
    import keras_bnact

    generator = np.random.default_rng(0)
    with_tanh = _with_tanh(name)
    others = {"swap": "convention", "convention": "swap"}
    swapped = keras_bnact.reorder(with_tanh)
    model = swapped.model if order == "swap" else with_tanh
    _randomize(model, generator)
    there = keras_bnact.reorder(model, others[order]).model
    # What the other order needs and this one has not is taken back.
    added = any("bias added" in what for what in swapped.changed.values())
    use_bias = False if added and order == "convention" else None
    back = keras_bnact.reorder(there, order, use_bias=use_bias).model
    folded, changed, left = keras_bnact.fold_batch_normalization(model)
    images = generator.normal(size=(IMAGES.value, SIDE.value, SIDE.value, 3)).astype("float32")
    outputs, seconds = {}, {"model": [], "folded": []}
    for what, one in (("model", model), ("folded", folded)):
        outputs[what] = _predict(one, images)
    for _ in range(ROUNDS.value):
        for what, one in (("model", model), ("folded", folded)):
            begin = time.perf_counter()
            _predict(one, images)
            seconds[what].append(time.perf_counter() - begin)
    difference = np.abs(outputs["folded"] - outputs["model"]).max() / np.abs(outputs["model"]).max()
    ratios = np.divide(seconds["folded"], seconds["model"])
    low, median, high = np.percentile(ratios, [25, 50, 75])
    same = "yes" if _structure(back) == _structure(model) else "no"
    return (
        f"{name:<13}{order:<12}{len(swapped.changed):>7}{len(swapped.left):>8}{same:>6}"
        f"{len(changed):>8}{len(left):>6}{difference:>12.1e}{median:>9.2f}"
        f"{f'{low:.2f} to {high:.2f}':>14}"
    )


def _with_tanh(name: str) -> Any:
    """One of `keras.applications` with tanh, and batch normalization if it has none."""
    import keras
    from keras import layers

    shape = (SIDE.value, SIDE.value, 3)
    network = getattr(keras.applications, name)(
        weights=None, input_shape=shape, classes=100, classifier_activation=None
    )
    normalized = any(isinstance(layer, layers.BatchNormalization) for layer in network.layers)

    def clone(layer: Any) -> Any:
        config = layer.get_config()
        if isinstance(layer, layers.ReLU):
            return layers.Activation("tanh", name=layer.name)
        if config.get("activation") == "relu":
            config["activation"] = "tanh" if normalized or layer.name.startswith("fc") else None
        return type(layer).from_config(config)

    def call(layer: Any, *arguments: Any, **keywords: Any) -> Any:
        outputs = layer(*arguments, **keywords)
        if not normalized and isinstance(layer, layers.Conv2D):
            outputs = layers.BatchNormalization(name=f"{layer.name}_bn")(outputs)
            outputs = layers.Activation("tanh", name=f"{layer.name}_tanh")(outputs)
        return outputs

    return keras.models.clone_model(network, clone_function=clone, call_function=call)


def _randomize(model: Any, generator: np.random.Generator) -> None:
    import keras

    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            for variable in layer.variables:
                value = generator.normal(size=variable.shape)
                # Not so small that rounding before it would be all that counts.
                value = np.sign(value) * (0.5 + np.abs(value))
                is_variance = variable.name == "moving_variance"
                variable.assign(np.abs(value) if is_variance else value)


def _structure(model: Any) -> list[Any]:
    return [*_described(model.get_config()["layers"], model)]


def _described(configs: list[dict[str, Any]], model: Any) -> Iterator[tuple[Any, ...]]:
    for config in configs:
        variables = model.get_layer(config["name"]).variables
        before = [*taken(config["inbound_nodes"])]
        yield config["name"], config["class_name"], before, [(v.name, v.shape) for v in variables]


def _predict(model: Any, images: np.ndarray) -> np.ndarray:
    return model.predict(images, batch_size=BATCH_SIZE.value, verbose=0)


if __name__ == "__main__":
    app.run(main)
