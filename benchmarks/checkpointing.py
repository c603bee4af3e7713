"""What saving a run costs, in steps of its training.

    python -m benchmarks.checkpointing --model=vgg16_11 --width=1

Steps and saves take turns in one process; printed are the medians of both, and the median of their
ratios: `--checkpoint_every=N` takes that over N of the time.
"""

import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from absl import app, flags

from train import names, native_messages, options
from train.run_directory import CHECKPOINT, RunDirectory

MODEL = flags.DEFINE_enum("model", "vgg16_11", list(names.MODELS), "Of train.run.")
WIDTH = flags.DEFINE_float("width", 1.0, "Factor on the numbers of filters.")
BATCH_SIZE = flags.DEFINE_integer("batch_size", 128, "Images a step.", lower_bound=2)
STEPS = flags.DEFINE_integer("steps", 3, "Steps a round.", lower_bound=1)
ROUNDS = flags.DEFINE_integer("rounds", 9, "Rounds.", lower_bound=1)


def main(arguments: Sequence[str]) -> None:
    """Prints one line."""
    if len(arguments) > 1:
        raise app.UsageError(f"'{arguments[1]}' is no flag.")
    given = [f"--model={MODEL.value}", f"--width={WIDTH.value}", f"--batch_size={BATCH_SIZE.value}"]
    parsed = options.parse(given)
    with native_messages.suppressed():
        from train.training import start

        start.start(parsed)
    with tempfile.TemporaryDirectory() as folder:
        directory = RunDirectory(Path(folder, "run"), options.as_text(parsed))
        directory.create(overwrite=False)
        steps, saves = _timed(parsed, directory)
        megabytes = (directory.path / CHECKPOINT).stat().st_size / 1e6
        directory.release()
    ratio = statistics.median(save / step for step, save in zip(steps, saves, strict=True))
    print(
        f"{MODEL.value}, width {WIDTH.value:g}: a step of {BATCH_SIZE.value} images takes "
        f"{1e3 * statistics.median(steps):.0f} ms, saving {megabytes:.1f} MB "
        f"{1e3 * statistics.median(saves):.0f} ms: {ratio:.2f} steps"
    )


def _timed(parsed: flags.FlagValues, directory: RunDirectory) -> tuple[list[float], list[float]]:
    """Seconds of a step and of a save, in each round."""
    from train import data
    from train.training.checkpoint import Checkpoint
    from train.training.loop import for_backend
    from train.training.progress import PartOfEpoch

    images = data.load(parsed)
    loop = for_backend().make(parsed, images)
    checkpoint = Checkpoint(loop.variables, directory)
    batches = iter(images.train.training_batches(BATCH_SIZE.value, range(10_000), 0, images.flip))
    loop.model.train_on_batch(*next(batches))
    steps, saves = [], []
    for number in range(1, ROUNDS.value + 1):
        began = time.perf_counter()
        for _ in range(STEPS.value):
            loop.model.train_on_batch(*next(batches))
        trained = time.perf_counter()
        checkpoint.reach(PartOfEpoch(number))
        checkpoint.save(loop.metrics)
        saves.append(time.perf_counter() - trained)
        steps.append((trained - began) / STEPS.value)
    return steps, saves


if __name__ == "__main__":
    app.run(main)
