"""Time of a training step and of an evaluation: BoundedBlocks, stock Keras layers, PyTorch.

    python -m benchmarks.training --against=torch

Trains and evaluates networks (tanh, 32x32 images) on one batch of noise, in both orders and at
quarter and full width: ours on TensorFlow, the same network in stock Keras layers, and without
`--against` the network without any batch normalization, the floor that no normalization can go
below, or with it the same network in PyTorch (channels last, eager; the extra `torch`). All start
from the same weights, and the losses after some steps are compared. They take turns, a timed step
after an untimed one, so that a machine whose speed drifts slows all; ratios are medians of the
rounds. Beside them stands the share of the peak: the arithmetic of the convolutions and dense
layers (three times the forward pass' in training) over the step's time, against the fastest
product of two matrices. Convolutions by Winograd's method, with less arithmetic, can exceed it.
"""

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from absl import app, flags

from benchmarks.stock_twin import stock_twin
from train import native_messages

NETWORKS = ("vgg16_11", "mobilenet")

MODELS = flags.DEFINE_multi_enum("model", list(NETWORKS), NETWORKS, "Networks.")
AGAINST = flags.DEFINE_enum("against", "floor", ["floor", "torch"], "What runs beside the two.")
ROUNDS = flags.DEFINE_integer("rounds", 15, "Timed rounds of steps.", lower_bound=1)
BATCH_SIZE = flags.DEFINE_integer("batch_size", 128, "Images a step.", lower_bound=4)
WIDTHS = flags.DEFINE_multi_float("width", [0.25, 1.0], "Factors on the numbers of filters.")

CLASSES = 10
LEARNING_RATE, MOMENTUM = 0.001, 0.9
# Steps after which the losses are compared; they warm up what is timed, too.
FIRST_STEPS = 10
# Side of the matrices whose product tells the machine's peak.
SIDE = 2048


def main(arguments: Sequence[str]) -> None:
    """Prints a row for every network, width, order and phase as it is measured."""
    if len(arguments) > 1:
        raise app.UsageError(f"'{arguments[1]}' is no flag.")
    with native_messages.suppressed():
        import tensorflow as tf

        tf.config.list_logical_devices()
    third = {"floor": "no BN", "torch": "PyTorch"}[AGAINST.value]
    print(
        f"tanh, batches of {BATCH_SIZE.value}; medians of {ROUNDS.value} rounds "
        f"(half of them within)\n\n"
        f"{'':40}{'milliseconds a step':>27}{'ours over stock':>21}{'over ' + third:>21}"
        f"{'of the peak':>15}\n"
        f"{'network':<10}{'width':>6} {'order':<12}{'phase':<11}{'ours':>9}{'stock':>9}"
        f"{third:>9}{'':42}{'ours':>6}{third:>9}"
    )
    for name in MODELS.value:
        for width in WIDTHS.value:
            for order in ("convention", "swap"):
                _compare(name, width, order)


def _compare(name: str, width: float, order: str) -> None:
    import keras
    import numpy as np

    from train.training import network

    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    images = rng.normal(0, 1, (BATCH_SIZE.value, 32, 32, 3)).astype("float32")
    labels = rng.integers(0, CLASSES, BATCH_SIZE.value)
    ours = make_network(name, order=order, width=width)
    runners = [_keras_steps(model, images, labels) for model in (ours, stock_twin(ours))]
    if AGAINST.value == "torch":
        runners.append(_torch_steps(ours, images, labels))
    else:
        floor = make_network(name, order="nobn", width=width)
        runners.append(_keras_steps(floor, images, labels))
    for _ in range(FIRST_STEPS):
        losses = [runner["train"]() for runner in runners]
    operations = network.operations_per_image(ours) * BATCH_SIZE.value
    product = _product()
    for phase, passes in (("train", network.TRAINING_PASSES), ("evaluate", 1)):
        rounds = [
            [_seconds(step) for step in (*(runner[phase] for runner in runners), product)]
            for _ in range(ROUNDS.value)
        ]
        milliseconds = [1000 * statistics.median(column) for column in zip(*rounds, strict=True)]
        ratios = [_ratio([row[0] / row[other] for row in rounds]) for other in (1, 2)]
        peak = 2 * SIDE**3 / (1000 * min(row[3] for row in rounds))
        shares = [passes * operations / milliseconds[i] / peak for i in (0, 2)]
        print(
            f"{name:<10}{width:>6g} {order:<12}{phase:<11}"
            + "".join(f"{time:>9.1f}" for time in milliseconds[:3])
            + "".join(f"{ratio:>21}" for ratio in ratios)
            + f"{shares[0]:>6.0%}{shares[1]:>9.0%}"
        )
        sys.stdout.flush()
    compared = losses[:2] if AGAINST.value == "floor" else losses
    print(
        f"{'':17}losses after {FIRST_STEPS} steps: "
        + ", ".join(f"{loss:.6f}" for loss in compared)
        + f"; {max(compared) - min(compared):.0e} apart"
    )


def make_network(name: str, **arguments: Any) -> Any:
    """One of `NETWORKS`."""
    from keras_bnact import models

    if name == "mobilenet":
        return models.MobileNet(classes=CLASSES, **arguments)
    return models.VGG16(11, classes=CLASSES, **arguments)


def _keras_steps(model: Any, images: Any, labels: Any) -> dict[str, Callable[[], float]]:
    import keras

    model.compile(
        keras.optimizers.SGD(LEARNING_RATE, momentum=MOMENTUM),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )

    def train():
        # Else the loss is a mean over the steps so far.
        model.reset_metrics()
        return float(model.train_on_batch(images, labels))

    return {"train": train, "evaluate": lambda: float(model.test_on_batch(images, labels))}


def _torch_steps(model: Any, images: Any, labels: Any) -> dict[str, Callable[[], float]]:
    from benchmarks.torch_twin import Twin, evaluation_step, training_step

    twin = Twin(model)
    return {
        "train": training_step(twin, images, labels, LEARNING_RATE, MOMENTUM),
        "evaluate": evaluation_step(twin, images, labels),
    }


def _product() -> Callable[[], Any]:
    import tensorflow as tf

    one = tf.ones((SIDE, SIDE))
    return lambda: tf.reduce_sum(tf.linalg.matmul(one, one)[:1]).numpy()


def _ratio(ratios: Sequence[float]) -> str:
    if len(ratios) < 2:
        return f"{ratios[0]:.2f}"
    low, middle, high = statistics.quantiles(ratios, n=4)
    return f"{middle:.2f} ({low:.2f}-{high:.2f})"


def _seconds(step: Callable[[], Any]) -> float:
    # Once untimed, so that caches and threads are its own again.
    step()
    begin = time.perf_counter()
    step()
    return time.perf_counter() - begin


if __name__ == "__main__":
    app.run(main)
