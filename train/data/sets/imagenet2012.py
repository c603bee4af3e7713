"""ImageNet (ILSVRC 2012), from TensorFlow Datasets, read from its files while training."""

from typing import TYPE_CHECKING, Any

from train import backend
from train.data.sets._tfds import manual_folder, prepared_builder, root_folder
from train.errors import UsageError

if TYPE_CHECKING:
    from train.data.image_set import ImageSet

NAME = "imagenet2012"
ARCHIVES = ("ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar")
SIZE = 224

# The constants that go with ImageNet everywhere, in units of 0 to 255.
MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)
VARIANCE = ((0.229 * 255) ** 2, (0.224 * 255) ** 2, (0.225 * 255) ** 2)


def check(options: Any) -> None:
    """Refuses a run where it is neither prepared nor downloaded by hand."""
    backend.check_streaming(f"--dataset={NAME}")
    manual = manual_folder(options.data_dir)
    missing = [name for name in ARCHIVES if not (manual / name).is_file()]
    if missing and not (root_folder(options.data_dir) / NAME).is_dir():
        raise UsageError(
            f"--dataset={NAME} is not prepared in {root_folder(options.data_dir)}: name the folder "
            f"that holds it with --data_dir, or put {' and '.join(missing)} of image-net.org into "
            f"{manual}."
        )


def load(options: Any) -> "ImageSet":
    """The training images, and the official validation images to test on."""
    from train.data.image_set import ImageSet
    from train.data.streamed import RecordSource

    builder = prepared_builder(NAME, options)
    return ImageSet(
        train=RecordSource.from_builder(builder, "train", SIZE),
        test=RecordSource.from_builder(builder, "validation", SIZE),
        classes=builder.info.features["label"].num_classes,
        size=SIZE,
        flip=True,
        mean=MEAN,
        variance=VARIANCE,
    )
