"""The data sets. Each is a module of its name here, with `load(options)`, giving an `ImageSet`.

Where it can be told without importing TensorFlow that there is nothing to load, the module has
`check(options)` too, which refuses it. Modules with an underscore are what several share.
"""

import dataclasses
import importlib
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from train.errors import UsageError, of_files

if TYPE_CHECKING:
    from train.sources import Source

NAMES = tuple(
    module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")
)

# Width of the black frame that images in memory are cropped from, over their side.
CROP_PADDING = 1 / 8


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """Images to train and to test on, all RGB and `size` pixels a side when they are read.

    Attributes:
        train, test: Where the images come from.
        classes: Number of classes; labels are 0 to `classes - 1`.
        size: Side of the images in pixels.
        flip: Whether a mirror image has the same label.
        validation: Images held out of the training set, or None.
        mean, variance: Of each channel, in units of 0 to 255; measured on the training
            images where None is given.
    """

    train: "Source"
    test: "Source"
    classes: int
    size: int
    flip: bool
    validation: "Source | None" = None
    mean: tuple[float, ...] | None = None
    variance: tuple[float, ...] | None = None


def check(options: Any) -> None:
    """Refuses a data set that is not there or not whole.

    Raises:
        UsageError: Saying what is missing.
    """
    with of_files(f"--data_dir={options.data_dir}"):
        if options.data_dir is not None and not Path(options.data_dir).is_dir():
            raise UsageError(
                f"--data_dir={options.data_dir} is no folder: name the one that holds the images, "
                "or make it first to have TensorFlow Datasets keep them there."
            )
        module = _module(options.dataset)
        if hasattr(module, "check"):
            module.check(options)


def load(options: Any) -> ImageSet:
    """Reads a data set and takes the subset and the held-out part that the flags ask for.

    Raises:
        UsageError: Where it cannot be had, or has fewer images than asked for.
    """
    import tensorflow as tf

    try:
        with of_files(f"--dataset={options.dataset} cannot be read"):
            images = _module(options.dataset).load(options)
    except tf.errors.OpError as error:
        reason = " ".join(error.message.split())[:200]
        raise UsageError(f"--dataset={options.dataset} cannot be read: {reason}.") from error
    return selected(images, options)


def selected(images: ImageSet, options: Any) -> ImageSet:
    """The subset and the held-out part that the flags ask for, with what standardises them.

    Raises:
        UsageError: Where there are fewer images than asked for.
    """
    from train import subsets

    train = subsets.balanced(images.train, options.train_examples, "--train_examples")
    test = subsets.balanced(images.test, options.test_examples, "--test_examples")
    train, validation = subsets.hold_out(train, options.validation_fraction)
    if len(train) < options.batch_size:
        raise UsageError(
            f"--batch_size={options.batch_size} is larger than the training set of "
            f"{len(train)} images: give {len(train)} or less."
        )
    mean, variance = images.mean, images.variance
    if mean is None:
        mean, variance = train.channel_moments()
    return dataclasses.replace(
        images, train=train, test=test, validation=validation, mean=mean, variance=variance
    )


def _module(name: str) -> Any:
    return importlib.import_module(f"train.datasets.{name}")
