"""Time and memory of measuring a network, over those of a bare `model.evaluate`.

    python -m benchmarks.statistics

On `vgg16_11` (tanh, 32x32 images of noise), in both orders and at quarter and full width, and on
two of `keras.applications` with 96x96 images, a quarter as many. All that is compared takes turns,
so that a machine whose speed drifts slows all, and in several processes, since one process is 10 %
faster than another for no reason of ours (where its memory lies, say). Ratios are medians over all
rounds of all processes. Printed are

- measure / evaluate: `keras_bnact.measure` and `model.evaluate` on the same `tf.data.Dataset`, and
  the range in which half of the rounds lie;
- first call: seconds of the first of each in a process, which traces and compiles;
- literal / measure: the paper's Algorithms 1 and 2 (`tests/algorithms.py`), which run the network
  six times, each pass compiled;
- training + callback: an epoch of `fit` and what `ActivationStatistics` on a fifth as many images
  does at its end, over the epoch alone;
- memory: the largest resident size of a process that measures, or runs the literal algorithms,
  over that of one that evaluates, and that in MB. They have TensorFlow and the images in common.
"""

import concurrent.futures
import itertools
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from absl import app, flags

from train import native_messages

PROCESSES = flags.DEFINE_integer("processes", 5, "Processes for each network.", lower_bound=1)
ROUNDS = flags.DEFINE_integer("rounds", 3, "Timed rounds of each process.", lower_bound=1)
IMAGES = flags.DEFINE_integer(
    "images", 1024, "Images at full width; four times as many at a quarter.", lower_bound=256
)
BATCH_SIZE = flags.DEFINE_integer("batch_size", 128, "Images a batch.", lower_bound=4)
WIDTHS = flags.DEFINE_multi_float("width", [1.0, 0.25], "Factors on the numbers of filters.")
APPLICATIONS = flags.DEFINE_multi_string(
    "application", ["MobileNetV2", "ResNet50"], "Of keras.applications; empty for none."
)

ORDERS = ("convention", "swap")
SIDE = 96
# How many of the processes also run what takes ten times as long.
LONG_PROCESSES = 2
# CIFAR has a test image for five training images.
TRAINING_IMAGES_A_TEST_IMAGE = 5


def main(arguments: Sequence[str]) -> None:
    """Prints a row for every width and order as it is measured."""
    if len(arguments) > 1:
        raise app.UsageError(f"'{arguments[1]}' is no flag.")
    print(
        f"Batches of {BATCH_SIZE.value}; {PROCESSES.value} processes of {ROUNDS.value} rounds "
        f"({LONG_PROCESSES} in all for literal and training)\n"
    )
    print(
        f"{'':27}{'images/s':>10}{'measure / evaluate':>26}{'first call, s':>20}{'literal':>10}"
        f"{'training':>11}{'memory / evaluate':>20}{'MB':>7}\n"
        f"{'network':<27}{'evaluate':>10}{'median':>12}{'half within':>14}{'evaluate':>11}"
        f"{'measure':>9}{'/ measure':>10}{'+ callback':>11}{'measure':>10}{'literal':>10}"
    )
    networks = [("vgg16_11", *which) for which in itertools.product(WIDTHS.value, ORDERS)]
    networks += [(name, 1.0, "") for name in APPLICATIONS.value if name]
    for network in networks:
        print(_row(*network))
        sys.stdout.flush()


def _row(name: str, width: float, order: str) -> str:
    paper = name == "vgg16_11"
    images = int(IMAGES.value / max(width, 0.25)) if paper else IMAGES.value // 4
    job = name, width, order, images, BATCH_SIZE.value
    seconds: dict[str, list[float]] = {}
    for process in range(PROCESSES.value):
        long = paper and process < LONG_PROCESSES
        for what, measured in _in_a_process(times, *job, ROUNDS.value, long).items():
            seconds.setdefault(what, []).extend(measured)
    peaks = {what: _in_a_process(peak, what, *job) for what in JOBS if paper or what != "literal"}
    low, median, high = np.percentile(_ratios(seconds, "measure", "evaluate"), [25, 50, 75])
    row = (
        f"{f'{name} {width:g} {order}' if paper else name:<27}"
        f"{images / np.median(seconds['evaluate']):>10.0f}"
        f"{median:>12.2f}{f'{low:.2f} to {high:.2f}':>14}"
        f"{np.median(seconds['first evaluate']):>11.1f}{np.median(seconds['first measure']):>9.1f}"
    )
    literal, callback, memory = "-", "-", "-"
    if paper:
        literal = f"{np.median(_ratios(seconds, 'literal', 'beside literal')):.1f}"
        callback = f"{1 + np.median(_ratios(seconds, 'callback', 'training')):.2f}"
        memory = f"{peaks['literal'] / peaks['evaluate']:.2f}"
    return (
        f"{row}{literal:>10}{callback:>11}{peaks['measure'] / peaks['evaluate']:>10.2f}"
        f"{memory:>10}{peaks['evaluate'] / 1024:>7.0f}"
    )


def times(
    name: str, width: float, order: str, images: int, batch_size: int, rounds: int, long: bool
) -> dict[str, list[float]]:
    """Seconds of each round of each thing that is compared, the long ones once if at all."""
    model, data = _network_and_data(name, width, order, images, batch_size)
    short = {what: JOBS[what](model, data) for what in ("evaluate", "measure")}
    seconds = {f"first {what}": [_seconds(job)] for what, job in short.items()}
    others = _long_jobs(model, data, images, batch_size) if long else []
    for turn in others:
        for job in turn.values():
            job()
    for turn in [short] * rounds + others:
        for what, job in turn.items():
            seconds.setdefault(what, []).append(_seconds(job))
    return seconds


def _long_jobs(
    model: Any, data: Any, images: int, batch_size: int
) -> list[dict[str, Callable[[], Any]]]:
    from keras_bnact.callbacks import ActivationStatistics

    few = data.take(max(1, round(images / TRAINING_IMAGES_A_TEST_IMAGE / batch_size)))

    callback = ActivationStatistics(few)
    callback.set_model(model)
    callback.on_train_begin()
    return [
        {"beside literal": _measure(model, data), "literal": _literal(model, data)},
        {
            "training": lambda: model.fit(data, verbose=0, shuffle=False),
            "callback": lambda: callback.on_epoch_end(0),
        },
    ]


def _seconds(job: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    job()
    return time.perf_counter() - begin


def peak(what: str, *network: Any) -> int:
    """Largest resident size of this process once it has done one of the jobs."""
    job = JOBS[what](*_network_and_data(*network))
    for _ in range(2):
        job()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _evaluate(model: Any, data: Any) -> Callable[[], Any]:
    return lambda: model.evaluate(data, verbose=0)


def _measure(model: Any, data: Any) -> Callable[[], Any]:
    from keras_bnact import measure

    return lambda: measure(model, data, verbose=0)


def _literal(model: Any, data: Any) -> Callable[[], Any]:
    from tests import algorithms

    images = data.map(lambda image, label: image)
    number = sum(len(batch) for batch in images)
    get_activation, get_block = algorithms.getters(model)

    def run():
        algorithms.algorithm_1(images, get_activation, number)
        for empirical in (False, True):
            algorithms.algorithm_2(images, get_activation, get_block, number, empirical)

    return run


JOBS = {"evaluate": _evaluate, "measure": _measure, "literal": _literal}


def _network_and_data(
    name: str, width: float, order: str, images: int, batch_size: int
) -> tuple[Any, Any]:
    import keras
    import tensorflow as tf

    from keras_bnact.models import VGG16

    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    if name == "vgg16_11":
        model = VGG16(11, order=order, width=width)
    else:
        make = getattr(keras.applications, name)
        model = make((SIDE, SIDE, 3), weights=None, classifier_activation=None)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    pixels = rng.normal(0, 1, (images, *model.input_shape[1:])).astype("float32")
    labels = rng.integers(0, 10, images)
    return model, tf.data.Dataset.from_tensor_slices((pixels, labels)).batch(batch_size)


def _in_a_process(function: Callable, *arguments: Any) -> Any:
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as executor:
        return executor.submit(_quietly, function, arguments).result()


def _quietly(function: Callable, arguments: Sequence[Any]) -> Any:
    with native_messages.suppressed():
        import tensorflow as tf

        tf.config.list_logical_devices()
    return function(*arguments)


def _ratios(seconds: dict[str, list[float]], one: str, other: str) -> np.ndarray:
    return np.array(seconds[one]) / np.array(seconds[other])


if __name__ == "__main__":
    app.run(main)
