"""What the data sets of TensorFlow Datasets have in common."""

import contextlib
import fcntl
import io
import logging
import os
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from train import backend, native_messages
from train.data.image_set import ImageSet
from train.errors import UsageError


def prepared_builder(
    name: str, options: Any, url: str | None = None, manual_dir: str | None = None
) -> Any:
    """The builder of a data set, downloaded and prepared in `--data_dir`.

    Of several runs that find it missing one prepares it, and the others wait.

    Args:
        name: The data set's name in TensorFlow Datasets.
        options: The flags; `data_dir` counts.
        url: Where its archive is downloaded from, None if it is not.
        manual_dir: The folder that holds what was downloaded by hand.

    Raises:
        UsageError: Where it is neither prepared nor to be had.
    """
    with native_messages.suppressed():
        import tensorflow as tf
        import tensorflow_datasets as tfds

        if backend.name() != "tensorflow":
            # It reads the files, and would take the memory of the GPUs.
            tf.config.set_visible_devices([], "GPU")
    for logger in ("absl", "urllib3"):
        logging.getLogger(logger).setLevel(logging.ERROR)
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    root = root_folder(options.data_dir)
    try:
        with _alone_in(root):
            return _prepare(name, options.data_dir, url, manual_dir)
    except UsageError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(
            f"--dataset={name} is not prepared in {root / name} and could not be prepared "
            f"({type(error).__name__}: {reason}): give a --data_dir that holds it, or run once "
            "where there is a network."
        ) from error


@contextlib.contextmanager
def _alone_in(root: Path) -> Iterator[None]:
    """Waits until no other run prepares a data set in the folder, and keeps others from it."""
    made = not root.exists()
    folder = _locked(root)
    try:
        yield
    finally:
        os.close(folder)
        if made:
            # Only an empty folder can be removed so.
            with contextlib.suppress(OSError):
                root.rmdir()


def _locked(root: Path) -> int:
    while True:
        root.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            folder = os.open(root, os.O_RDONLY)
            # On a file system without locks, runs started at once may be in each other's way.
            with contextlib.suppress(OSError):
                fcntl.flock(folder, fcntl.LOCK_EX)
            # Else whoever made the folder has failed, and removed it meanwhile.
            if root.exists() and os.path.samestat(os.fstat(folder), root.stat()):
                return folder
            os.close(folder)


def _prepare(name: str, data_dir: str | None, url: str | None, manual_dir: str | None) -> Any:
    import tensorflow_datasets as tfds

    builder = tfds.builder(name, data_dir=data_dir, try_gcs=False)
    root = root_folder(data_dir)
    # TensorFlow Datasets takes an old extraction for a new archive of the same name.
    with tempfile.TemporaryDirectory() as extracted:
        config = tfds.download.DownloadConfig(
            extract_dir=extracted, manual_dir=manual_dir, try_download_gcs=False
        )
        try:
            if not Path(builder.data_dir).exists():
                at_hand = url is None or _is_downloaded(url, root / "downloads", name)
                if not at_hand:
                    _refuse_without_network(url)
                print(f"{'Preparing' if at_hand else 'Downloading and preparing'} {name} in {root}")
                sys.stdout.flush()
            # It says of every data set that it is downloaded.
            with contextlib.redirect_stdout(io.StringIO()):
                builder.download_and_prepare(download_config=config)
        except Exception:
            _remove_leftovers(root, name)
            raise
    return builder


def root_folder(data_dir: str | None) -> Path:
    """Where TensorFlow Datasets keeps what it prepares; found without importing it."""
    default = os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")
    return Path(data_dir or default).expanduser()


def manual_folder(data_dir: str | None) -> Path:
    """Where it looks for what was downloaded by hand."""
    return root_folder(data_dir) / "downloads" / "manual"


def _is_downloaded(url: str, downloads: Path, name: str) -> bool:
    # In a folder of the data set's, or as older versions had it, with all others.
    pattern = f"*{Path(url).name.split('.')[0]}*"
    archives = [*downloads.glob(pattern), *(downloads / name).rglob(pattern)]
    return any(".tmp." not in path.name for path in archives)


def _refuse_without_network(url: str) -> None:
    # TensorFlow Datasets tries for minutes. A refusal of this request is an answer too.
    with contextlib.suppress(urllib.error.HTTPError):
        request = urllib.request.Request(url, method="HEAD")
        urllib.request.urlopen(request, timeout=20).close()


def _remove_leftovers(root: Path, name: str) -> None:
    """Removes half a download and folders that were made in vain; keeps whole archives."""
    downloads = root / "downloads"
    for path in (downloads / name).glob("*.tmp.*"):
        shutil.rmtree(path)
    for path in [
        *(root / name).glob("*"),
        root / name,
        downloads / name,
        downloads / "extracted",
        downloads,
    ]:
        # Only an empty folder can be removed so.
        with contextlib.suppress(OSError):
            path.rmdir()


def in_memory(builder: Any, size: int, test: str = "test", flip: bool = True) -> ImageSet:
    """A prepared data set of small images.

    Args:
        builder: Of `prepared_builder`.
        size: Side that all images are given, smaller ones by a black frame; grey ones are given
            three channels.
        test: The split to test on; that to train on is `train`.
        flip: Whether an image may be mirrored.
    """
    return ImageSet(
        train=_as_arrays(builder, "train", size),
        test=_as_arrays(builder, test, size),
        classes=builder.info.features["label"].num_classes,
        size=size,
        flip=flip,
    )


def _as_arrays(builder: Any, split: str, size: int) -> Any:
    """A whole split in memory, as uint8 images and labels."""
    import numpy as np
    import tensorflow as tf
    import tensorflow_datasets as tfds

    from train.data.images import ArraySource, empty

    count = builder.info.splits[split].num_examples
    images = empty(count, size)
    (side, _, _) = builder.info.features["image"].shape
    first = (size - side) // 2
    inside = images[:, first : first + side, first : first + side]
    if side < size:
        images[:] = 0
    labels = np.empty(count, "int32")
    # Read once, which is no reason to keep a copy.
    config = tfds.ReadConfig(try_autocache=False)
    # File order, so that the images are the same ones every time.
    examples = builder.as_dataset(split=split, shuffle_files=False, read_config=config)
    examples = examples.map(lambda e: (e["image"], e["label"]), num_parallel_calls=tf.data.AUTOTUNE)
    start = 0
    for batch_images, batch_labels in examples.batch(1000).as_numpy_iterator():
        stop = start + len(batch_labels)
        inside[start:stop], labels[start:stop] = batch_images, batch_labels
        start = stop
    return ArraySource(images, labels)
