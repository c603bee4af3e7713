"""What the data sets of TensorFlow Datasets have in common."""

import logging
from typing import Any

from train.errors import UsageError


def prepared_builder(name: str, options: Any, manual_dir: str | None = None) -> Any:
    """The builder of a data set, downloaded and prepared in `--data_dir`.

    Raises:
        UsageError: Where it is neither prepared nor to be had.
    """
    import tensorflow_datasets as tfds

    logging.getLogger("absl").setLevel(logging.ERROR)
    builder = tfds.builder(name, data_dir=options.data_dir, try_gcs=False)
    config = tfds.download.DownloadConfig(manual_dir=manual_dir, try_download_gcs=False)
    try:
        builder.download_and_prepare(download_config=config)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(
            f"--dataset={name} is not prepared in {builder.data_dir} and could not be "
            f"prepared ({type(error).__name__}: {reason}): give a --data_dir that holds it, or "
            "run once where there is a network."
        ) from error
    return builder


def as_arrays(builder: Any, split: str, size: int) -> Any:
    """A whole split in memory, as uint8 images and labels."""
    import numpy as np
    import tensorflow as tf

    from train.sources import ArraySource

    count = builder.info.splits[split].num_examples
    images = np.empty((count, size, size, 3), "uint8")
    labels = np.empty(count, "int32")
    # File order, so that the images are the same ones every time.
    examples = builder.as_dataset(split=split, shuffle_files=False)
    examples = examples.map(lambda e: (e["image"], e["label"]), num_parallel_calls=tf.data.AUTOTUNE)
    start = 0
    for batch_images, batch_labels in examples.batch(1000).as_numpy_iterator():
        stop = start + len(batch_labels)
        images[start:stop], labels[start:stop] = batch_images, batch_labels
        start = stop
    return ArraySource(images, labels)
