"""Exported networks on their runtimes: size, accuracy and time, and what integers cost each order.

    python -m train.run --order=convention --width=0.25 --epochs=20 --run_dir=runs/convention
    python -m train.run --order=swap --width=0.25 --epochs=20 --run_dir=runs/swap
    python -m benchmarks.export --run_dir=runs/convention --run_dir=runs/swap

Takes runs of `train.run`, of any flags, and needs the extras `onnx` and `tflite`. Printed are, for
each format of `keras_bnact.export`, of the network and of the network with its batch normalization
folded (as far as it can be),

- size: of the file or folder, in kB;
- accuracy: on all test images of the run, in percent;
- same: on how many of them the network says what it says in Keras, in percent;
- time: over that of Keras' `predict` on the same images in batches as large, the median ratio of
  rounds in which all take turns, and the range in which half of them lie. All have as many threads.

The last row is Keras' own export to ONNX of the same network in stock layers, and below it stands
the time of ours over that. (Its standardisation is written as `Rescaling`, since Keras' export
makes inputs of the constants of a `Normalization`.)
"""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import app, flags

from benchmarks.stock_twin import stock_twin
from train import data, native_messages, options, run_directory

RUN_DIRS = flags.DEFINE_multi_string("run_dir", [], "A finished run of train.run; repeatable.")
BATCH_SIZE = flags.DEFINE_integer("batch_size", 32, "Images a batch.", lower_bound=1)
IMAGES = flags.DEFINE_integer("images", 512, "Test images of a timed round.", lower_bound=1)
ROUNDS = flags.DEFINE_integer("rounds", 15, "Timed rounds.", lower_bound=1)
REPRESENTATIVE = flags.DEFINE_integer(
    "representative", 256, "Training images that tell the ranges, up to 256.", lower_bound=1
)
THREADS = len(os.sched_getaffinity(0))
STOCK = "onnx by Keras, stock"

Run = Callable[[np.ndarray], np.ndarray]


def main(arguments: Sequence[str]) -> None:
    """Prints a table for every run."""
    if len(arguments) > 1:
        raise app.UsageError(f"'{arguments[1]}' is no flag.")
    if not RUN_DIRS.value:
        raise app.UsageError("Give --run_dir=DIR of a run of train.run.")
    with native_messages.suppressed():
        import tensorflow as tf

        tf.config.list_logical_devices()
    for run_dir in RUN_DIRS.value:
        _report(Path(run_dir))


def _report(run_dir: Path) -> None:
    import keras

    import keras_bnact

    run = options.parse([f"--flagfile={run_dir / run_directory.FLAGS}"])
    source = data.load(run)
    images, labels = (
        np.concatenate([np.asarray(batch[part]) for batch in source.test.test_batches()])
        for part in (0, 1)
    )
    images = images.astype("float32")
    some = np.linspace(0, len(source.train) - 1, REPRESENTATIVE.value, dtype=int)
    representative = source.train.take(np.unique(some)).test_batches()
    model = keras.saving.load_model(run_dir / run_directory.MODEL)
    folded, changed, left = keras_bnact.fold_batch_normalization(model)
    with tempfile.TemporaryDirectory() as folder:
        runners = {"Keras": _predict(model)}
        sizes = {"Keras": (run_dir / run_directory.MODEL).stat().st_size}
        for network, suffix in ((model, ""), (folded, ", folded")):
            for format, file in run_directory.EXPORTS.items():
                path = Path(folder, f"{suffix.strip(', ')}{file}")
                given = representative if format == "tflite_integer" else None
                keras_bnact.export(network, path, format, given)
                sizes[format + suffix] = _size(path)
                runners[format + suffix] = _runner(format, path)
        path = Path(folder, "stock.onnx")
        with native_messages.suppressed():
            _stock(model, images[:1]).export(path, format="onnx", verbose=False)
        sizes[STOCK], runners[STOCK] = _size(path), _runner("onnx", path)
        print(
            f"\n{run.model}, {run.order}, width {run.width:g}, {run.dataset}: {len(images):,} test "
            f"images, {source.classes} classes; {len(changed)} batch normalizations folded, "
            f"{len(left)} left\n{ROUNDS.value} rounds of {IMAGES.value} images, batches of "
            f"{BATCH_SIZE.value}, {THREADS} threads\n"
        )
        _print_table(sizes, runners, images, labels)


def _print_table(
    sizes: dict[str, int], runners: dict[str, Run], images: np.ndarray, labels: np.ndarray
) -> None:
    said = {name: run(images).argmax(axis=1) for name, run in runners.items()}
    seconds = _seconds(runners, images[: IMAGES.value])
    print(f"{'format':<26}{'kB':>7}{'accuracy':>10}{'same':>8}{'time':>7}{'half within':>15}")
    for name, size in sizes.items():
        print(
            f"{name:<26}{size / 1000:>7.0f}{100 * np.mean(said[name] == labels):>10.2f}"
            f"{100 * np.mean(said[name] == said['Keras']):>8.1f}"
            f"{_ratio(seconds, name, 'Keras')}"
        )
    print(f"{'onnx over ' + STOCK:<51}{_ratio(seconds, 'onnx', STOCK)}", flush=True)


def _seconds(runners: dict[str, Run], images: np.ndarray) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in runners}
    for run in runners.values():
        run(images)
    for _ in range(ROUNDS.value):
        for name, run in runners.items():
            begin = time.perf_counter()
            run(images)
            seconds[name].append(time.perf_counter() - begin)
    return seconds


def _ratio(seconds: dict[str, list[float]], one: str, other: str) -> str:
    ratios = np.divide(seconds[one], seconds[other])
    low, median, high = np.percentile(ratios, [25, 50, 75])
    return f"{median:>7.2f}{f'{low:.2f} to {high:.2f}':>15}"


def _predict(model: Any) -> Run:
    return lambda images: model.predict(images, batch_size=BATCH_SIZE.value, verbose=0)


def _runner(format: str, path: Path) -> Run:
    """What runs a file in batches, on its own runtime."""
    if format == "saved_model":
        import tensorflow as tf

        loaded = tf.saved_model.load(path)
        served = loaded.signatures["serving_default"]
        # The loaded object, which holds the variables, has to be kept.
        return _in_batches(lambda x, _=loaded: served(images=tf.constant(x))["logits"].numpy())
    if format == "onnx":
        import onnxruntime

        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = THREADS
        session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
        return _in_batches(lambda x: session.run(None, {session.get_inputs()[0].name: x})[0])
    with native_messages.suppressed():
        from ai_edge_litert.interpreter import Interpreter

        runner = Interpreter(str(path), num_threads=THREADS).get_signature_runner()
        runner(images=np.zeros(runner.get_input_details()["images"]["shape"], "float32"))
    return _in_batches(lambda x: runner(images=x)["logits"])


def _in_batches(run: Run) -> Run:
    size = BATCH_SIZE.value
    return lambda images: np.concatenate(
        [run(images[begin : begin + size]) for begin in range(0, len(images), size)]
    )


def _stock(model: Any, images: np.ndarray) -> Any:
    """The same network in stock layers, called once, as Keras' export asks for."""
    import keras

    standardisation, *layers = model.layers[1:]
    mean, deviation = np.ravel(standardisation.mean), np.sqrt(np.ravel(standardisation.variance))
    inputs = keras.Input(model.input_shape[1:], name="images")
    outputs = keras.layers.Rescaling((1 / deviation).tolist(), (-mean / deviation).tolist())(inputs)
    for layer in layers:
        outputs = layer(outputs)
    twin = stock_twin(keras.Model(inputs, outputs))
    twin.predict(images, verbose=0)
    return twin


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


if __name__ == "__main__":
    app.run(main)
