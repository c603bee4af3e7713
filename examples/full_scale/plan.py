"""Runs one after another; what they have in common is read and compiled once."""

import traceback
from collections.abc import Sequence
from typing import Any

from examples.full_scale import images, precision, runs
from examples.full_scale.training import Trainer
from train.datasets import ImageSet
from train.errors import InUseError, UsageError
from train.run_directory import RunDirectory

# What the images depend on.
DATA = (
    "data_dir",
    "image_size",
    "train_examples",
    "test_examples",
    "validation_fraction",
    "batch_size",
)
# Where a run is to be written, and its flags.
Pending = tuple[RunDirectory, Any]


def in_order(pending: Sequence[Pending]) -> list[Pending]:
    """A network's seeds next to one another, which take the same compiled programs."""
    keys = [_settings(flags) for _, flags in pending]
    return [pending[n] for n in sorted(range(len(keys)), key=lambda n: keys.index(keys[n]))]


def carry_out(pending: Sequence[Pending], precision_name: str) -> int:
    """Trains what is not finished, in order; a run that fails keeps no other from it.

    Args:
        pending: Where each run is written, and its flags.
        precision_name: What is computed in.

    Returns:
        How many failed, or were in use elsewhere.

    Raises:
        UsageError: For images that cannot be read, or are too few.
    """
    precision.start(precision_name)
    peak = precision.peak()
    described = ", ".join(precision.devices())
    print(f"{described}: {peak / 1e12:.3g} TFLOP/s in a product of matrices", flush=True)
    common = _InCommon()
    failed = 0
    for number, (directory, flags) in enumerate(pending, 1):
        print(f"{directory.path}, {number} of {len(pending)}", flush=True)
        try:
            data, trainer = common.of(flags)
            summary = runs.run(flags, directory, trainer, data, peak)
        except InUseError as error:
            print(f"  {error}", flush=True)
            failed += 1
        except UsageError:
            # Of the images: no other run would fare better.
            raise
        except Exception:
            # Out of memory, say: the next run may be smaller.
            traceback.print_exc()
            failed += 1
        else:
            accuracy, seconds = summary["test"]["accuracy"], summary["seconds_in_all"]
            share = summary["operations_per_second"] / peak
            print(
                f"  test accuracy {accuracy:.4f}, {seconds:.0f} s, "
                f"{summary['images_per_second']:,.0f} images/s, {share:.0%} of the peak",
                flush=True,
            )
    return failed


class _InCommon:
    """The images and the compiled programs of the last run, for the next if it has the same."""

    def __init__(self):
        self.data_key = self.trainer_key = self.data = self.trainer = None

    def of(self, flags: Any) -> tuple[ImageSet, Trainer]:
        settings = _settings(flags)
        data_key = [settings[name] for name in DATA]
        if self.data_key != data_key:
            self.data = images.load(flags)
            self.data_key = data_key
        if self.trainer_key != settings:
            self.trainer = runs.make_trainer(flags, self.data)
            self.trainer_key = settings
        return self.data, self.trainer


def _settings(flags: Any) -> dict[str, Any]:
    """All that a run's programs depend on."""
    return {name: flags[name].value for name in flags if name not in ("seed", "run_dir")}
