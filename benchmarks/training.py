"""Time of BoundedBlocks over that of the same network in stock Keras layers.

    python -m benchmarks.training

Trains and evaluates `vgg16_11` (tanh, 32x32 images) on one batch of noise, in both orders and
at quarter and full width. Ours and stock start from the same weights; beside them runs the
network without any batch normalization, the floor that no normalization can go below. All three
take turns, step by step, so that a machine whose speed drifts slows all; ratios are medians of
the pairs.
"""

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from absl import app, flags

from train import devices

ROUNDS = flags.DEFINE_integer("rounds", 15, "Timed pairs of steps.", lower_bound=1)
BATCH_SIZE = flags.DEFINE_integer("batch_size", 128, "Images a step.", lower_bound=4)
WIDTHS = flags.DEFINE_multi_float("width", [0.25, 1.0], "Factors on the numbers of filters.")

CLASSES = 10
LEARNING_RATE = 0.001
# Steps after which the losses are compared; they warm up what is timed, too.
FIRST_STEPS = 10


def main(arguments: Sequence[str]) -> None:
    """Prints a row for every width and order as it is measured."""
    if len(arguments) > 1:
        raise app.UsageError(f"'{arguments[1]}' is no flag.")
    with devices.native_messages_held_back():
        import tensorflow as tf

        tf.config.list_logical_devices()
    print(f"vgg16_11, tanh, batches of {BATCH_SIZE.value}; medians of {ROUNDS.value} rounds\n")
    print(
        f"{'':29}{'milliseconds a step':>25}{'ours / stock':>24}{'floor':>10}\n"
        f"{'width':>6} {'order':<12}{'phase':<10}{'ours':>8}{'stock':>9}{'no BN':>8}"
        f"{'median':>10}{'min':>7}{'max':>7}{'/ stock':>10}   loss after {FIRST_STEPS} steps"
    )
    for width in WIDTHS.value:
        for order in ("convention", "swap"):
            _compare(width, order)


def _compare(width: float, order: str) -> None:
    import keras
    import numpy as np

    from keras_bnact.models import VGG16

    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    images = rng.normal(0, 1, (BATCH_SIZE.value, 32, 32, 3)).astype("float32")
    labels = rng.integers(0, CLASSES, BATCH_SIZE.value)
    ours = VGG16(11, order=order, width=width, classes=CLASSES)
    floor = VGG16(11, order="nobn", width=width, classes=CLASSES)
    networks = [ours, stock_twin(ours), floor]
    for model in networks:
        model.compile(
            keras.optimizers.SGD(LEARNING_RATE, momentum=0.9),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
    for _ in range(FIRST_STEPS):
        losses = [float(model.train_on_batch(images, labels)) for model in networks]
    agreement = f"{losses[0]:.6f}, {losses[1]:.6f}: {abs(losses[0] - losses[1]):.0e} apart"
    for phase, method in (("train", "train_on_batch"), ("evaluate", "test_on_batch")):
        steps = [_step(getattr(model, method), images, labels) for model in networks]
        rounds = [[_seconds(step) for step in steps] for _ in range(ROUNDS.value + 1)][1:]
        ms = [1000 * statistics.median(column) for column in zip(*rounds, strict=True)]
        ratios = [own / stock for own, stock, _ in rounds]
        bound = statistics.median(least / stock for _, stock, least in rounds)
        print(
            f"{width:>6g} {order:<12}{phase:<10}{ms[0]:>8.1f}{ms[1]:>9.1f}{ms[2]:>8.1f}"
            f"{statistics.median(ratios):>10.2f}{min(ratios):>7.2f}{max(ratios):>7.2f}"
            f"{bound:>10.2f}   {agreement if phase == 'train' else ''}"
        )
        sys.stdout.flush()


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


def _step(method: Callable, images: Any, labels: Any) -> Callable[[], Any]:
    return lambda: method(images, labels)


def _seconds(step: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    step()
    return time.perf_counter() - begin


if __name__ == "__main__":
    app.run(main)
