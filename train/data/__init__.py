"""Images to learn: what the flags ask for of a data set of `train.data.sets`."""

import contextlib
import dataclasses
import functools
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from train.data import sets
from train.errors import UsageError, file_errors, tensorflow_lines

if TYPE_CHECKING:
    from train.data.fingerprint import Fingerprint
    from train.data.image_set import ImageSet, Moments

NAMES = tuple(
    module.name for module in pkgutil.iter_modules(sets.__path__) if not module.name.startswith("_")
)


def check(options: Any) -> None:
    """Refuses a data set that is not there or not whole.

    Raises:
        UsageError: Saying what is missing.
    """
    with file_errors(f"--data_dir={options.data_dir}"):
        if options.data_dir is not None and not Path(options.data_dir).is_dir():
            raise UsageError(
                f"--data_dir={options.data_dir} is no folder: name the one that holds the images, "
                "or make it first to have TensorFlow Datasets keep them there."
            )
        module = _module(options.dataset)
        if hasattr(module, "check"):
            module.check(options)


class Wanted(NamedTuple):
    """What the images depend on: the flags of these names."""

    dataset: str
    data_dir: str | None
    image_size: int | None
    train_examples: int | None
    test_examples: int | None
    validation_fraction: float
    skip_corrupt: bool | None


def load(flags: Any, begun: "Fingerprint | None" = None) -> "ImageSet":
    """Reads a data set and takes the subset and the held-out part that the flags ask for.

    Once, where runs of one process ask for the same.

    Args:
        flags: The run's.
        begun: Of the images that the run began with, if it goes on; has their mean and variance.

    Raises:
        UsageError: Where it cannot be had, has fewer images than asked for, or other ones than
            the run began with.
    """
    wanted = Wanted(*(getattr(flags, name) for name in Wanted._fields))
    images = _load(wanted, None if begun is None else begun.moments)
    if begun is not None:
        begun.check(images)
    if len(images.train) < flags.batch_size:
        raise UsageError(
            f"--batch_size={flags.batch_size} is larger than the training set of "
            f"{len(images.train)} images: give {len(images.train)} or less."
        )
    return images


@contextlib.contextmanager
def reading(images: "ImageSet") -> Iterator[None]:
    """Makes a mistake of files that are lost or spoilt while a run trains on them.

    Raises:
        UsageError: Saying how the run goes on.
    """
    try:
        yield
    except Exception as error:
        message = " ".join(tensorflow_lines(error))
        sources = [source for source in images.parts().values() if source.folder is not None]
        for source in sources if message else ():
            # TensorFlow says of a file that cannot be read which it is, and of no other.
            lost = f"{source.folder}/" in message
            if reason := "" if lost else source.unreadable():
                reason = f" ({reason})"
            if lost or reason:
                raise UsageError(
                    f"the images in {source.folder} can no longer be read{reason}: put them back "
                    "as they were, and the same command, without --overwrite, goes on."
                ) from error
        raise


@functools.lru_cache(maxsize=1)
def _load(options: Wanted, moments: "Moments | None") -> "ImageSet":
    try:
        with file_errors(f"--dataset={options.dataset} cannot be read"):
            images = _module(options.dataset).load(options)
    except Exception as error:
        # A data set may have read its files by TensorFlow.
        reason = " ".join(tensorflow_lines(error))[:200]
        if not reason:
            raise
        raise UsageError(f"--dataset={options.dataset} cannot be read: {reason}.") from error
    return _selected(images, options, moments)


def _selected(images: "ImageSet", options: Wanted, moments: "Moments | None") -> "ImageSet":
    """The subset and the held-out part, with what standardises them."""
    from train.data import subsets

    train = subsets.balanced(images.train, options.train_examples, "--train_examples")
    test = subsets.balanced(images.test, options.test_examples, "--test_examples")
    train, validation = subsets.hold_out(train, options.validation_fraction)
    mean, variance = images.mean, images.variance
    if mean is None:
        mean, variance = moments or train.channel_moments()
    return dataclasses.replace(
        images, train=train, test=test, validation=validation, mean=mean, variance=variance
    )


def _module(name: str) -> Any:
    return importlib.import_module(f"train.data.sets.{name}")
