"""Images that are read while training: encoded ones, and record files. TensorFlow's alone."""

import abc
import functools
import os
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from train.data import augmentation, images
from train.data.image_set import TEST_BATCH_SIZE, ImageSource, Moments, moments
from train.data.tensorflow import epoch_numbers, epoch_seed, fold_in, host_constant, permutation
from train.errors import UsageError

# Images that the standardisation is measured on.
MOMENT_EXAMPLES = 5_000
# Record files, in random order, that are read at once; and the records shuffled at once.
PARALLEL_FILES = 16
SHUFFLE_BLOCK = 8_192
# A selection of up to so many records is held in memory, still encoded: 1 GB of ImageNet's.
MEMORY_EXAMPLES = 10_000


class _StreamedSource(ImageSource):
    """Encoded images, decoded anew in every epoch: random resized crops, centre crops to test."""

    @abc.abstractmethod
    def _shuffled(self, seed: Any) -> Any:
        """Pairs of encoded image and label, in an order that the seed decides."""

    @abc.abstractmethod
    def _in_order(self) -> Any:
        """Pairs of encoded image and label, always in the same order."""

    def training_batches(
        self, batch_size: int, epochs: range, seed: int, flip: bool, skipped: int = 0
    ) -> Any:
        whole = len(self) // batch_size * batch_size

        def examples_of(epoch):
            of_epoch = epoch_seed(seed, epoch)
            examples = self._shuffled(of_epoch).take(whole).enumerate()
            return examples.map(lambda place, example: (fold_in(of_epoch, place), *example))

        def load(seed, encoded, label):
            return augmentation.random_resized_crop(encoded, seed, self.size, flip), label

        examples = epoch_numbers(epochs).flat_map(examples_of).skip(skipped * batch_size)
        examples = examples.map(load, num_parallel_calls=tf.data.AUTOTUNE)
        return examples.batch(batch_size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)

    def test_batches(self, batch_size: int = TEST_BATCH_SIZE) -> Any:
        examples = self._in_order().map(self._load_test, num_parallel_calls=tf.data.AUTOTUNE)
        return examples.batch(batch_size).prefetch(tf.data.AUTOTUNE)

    def channel_moments(self) -> Moments:
        chosen = np.random.default_rng(0).permutation(len(self))[:MOMENT_EXAMPLES]
        batches = self.take(np.sort(chosen)).test_batches()
        return moments(images for images, _ in batches.as_numpy_iterator())

    def _load_test(self, encoded, label):
        return augmentation.centre_crop(encoded, self.size), label


class EncodedSource(_StreamedSource):
    """JPEG or PNG images in memory, or in files.

    Args:
        items: Array of bytes: the encoded images, or the names of their files.
        labels: Integers from 0.
        size: Side in pixels that images are brought to.
        folder: Where the files are; None where the images are in memory.
    """

    def __init__(
        self, items: np.ndarray, labels: np.ndarray, size: int, folder: Path | None = None
    ):
        self._items, self._labels = items, np.asarray(labels, "int32")
        self.size, self.folder = size, folder
        self._folder_name = b"" if folder is None else os.fsencode(folder)

    @property
    def labels(self) -> np.ndarray:
        return self._labels

    def take(self, indices: np.ndarray) -> "EncodedSource":
        return EncodedSource(self._items[indices], self._labels[indices], self.size, self.folder)

    @functools.cached_property
    def checksum(self) -> int:
        """Of the labels and the images; of files, of their names in the folder and their sizes."""
        items = self._items.tolist()
        if self.folder is not None:
            items = [b"%s %d" % (name, _size(self._path(name))) for name in items]
        return _checksum(items, zlib.crc32(self._labels))

    def _path(self, name: bytes) -> Path:
        return self.folder / os.fsdecode(name)

    def checked(self, skipped: list[Path] | None = None) -> "EncodedSource":
        """The images of all files that are some, after every one has been decoded once.

        Args:
            skipped: Takes the files that are no images, which are left out.

        Raises:
            UsageError: Naming the first file that is no image, where none is to be skipped.
        """
        good: list[int] = []
        for numbers, _ in self._decodable().batch(1000).as_numpy_iterator():
            good += numbers.tolist()
            if skipped is None and good[-1] >= len(good):
                break
        bad = sorted({*range(len(self))} - {*good})
        if not bad:
            return self
        if skipped is None:
            path = self._path(self._items[bad[0]])
            # Which may have more to say.
            images.decoded(path, self.size)
            raise UsageError(images.damaged(path))
        skipped += [self._path(self._items[number]) for number in bad]
        return self.take(np.array(good, int))

    def unreadable(self) -> str:
        bad: list[Path] = []
        self.checked(bad)
        return f"{bad[0]} is no image any more" if bad else ""

    def _decodable(self) -> Any:
        """The numbers of the images that can be decoded, with their shapes."""
        items = host_constant(self._items)

        def decode(number):
            # With the shape, or nothing would ask for the image.
            return number, tf.shape(augmentation.decode(self._encoded(items[number])))

        numbers = tf.data.Dataset.range(len(self))
        decoded = numbers.map(decode, num_parallel_calls=tf.data.AUTOTUNE)
        return decoded.ignore_errors()

    def _encoded(self, item: Any) -> Any:
        if self.folder is None:
            return item
        return tf.io.read_file(tf.strings.join([self._folder_name, item], "/"))

    def _shuffled(self, seed: Any) -> Any:
        order = tf.data.Dataset.from_tensor_slices(permutation(len(self), seed))
        return self._read(order)

    def _in_order(self) -> Any:
        return self._read(tf.data.Dataset.range(len(self)))

    def _read(self, indices: Any) -> Any:
        items, labels = host_constant(self._items), host_constant(self._labels)

        def read(index):
            return self._encoded(items[index]), labels[index]

        return indices.map(read, num_parallel_calls=tf.data.AUTOTUNE)


class RecordSource(_StreamedSource):
    """The record files of a TensorFlow Datasets split that is too large for memory.

    An image's index is its place in the files, read one after another.
    """

    def __init__(self, files, lengths, features, size, mask):
        self._files, self._lengths, self._features = files, lengths, features
        self.size, self._mask = size, mask
        self.folder = Path(files[0]).parent
        self._known_labels = None

    @classmethod
    def from_builder(cls, builder: Any, split: str, size: int) -> "RecordSource":
        info = builder.info.splits[split]
        return cls(
            [str(path) for path in info.filepaths],
            np.array(info.shard_lengths, "int64"),
            builder.info.features,
            size,
            np.ones(info.num_examples, bool),
        )

    def __len__(self) -> int:
        return int(self._mask.sum())

    @property
    def labels(self) -> np.ndarray:
        if self._known_labels is None:
            labels = (label for _, label in self._in_order().as_numpy_iterator())
            self._known_labels = np.fromiter(labels, "int32", len(self))
        return self._known_labels

    def take(self, indices: np.ndarray) -> ImageSource:
        kept = np.flatnonzero(self._mask)[indices]
        mask = np.zeros_like(self._mask)
        mask[kept] = True
        selection = RecordSource(self._files, self._lengths, self._features, self.size, mask)
        if len(indices) > MEMORY_EXAMPLES:
            return selection
        items, labels = zip(*selection._in_order().as_numpy_iterator(), strict=True)
        return EncodedSource(np.array(items, object), labels, self.size)

    @functools.cached_property
    def checksum(self) -> int:
        """Of the record files' names and sizes and of which images are taken: labels are inside."""
        files = [b"%s %d" % (os.fsencode(Path(f).name), _size(Path(f))) for f in self._files]
        return _checksum(files, zlib.crc32(self._mask))

    def unreadable(self) -> str:
        try:
            for _ in self._in_order():
                pass
        except tf.errors.DataLossError as error:
            return f"a record file is damaged: {error.message.split(' [Op')[0]}"
        return ""

    def _shuffled(self, seed: Any) -> Any:
        order = permutation(len(self._files), seed)
        blocks = self._examples(order, PARALLEL_FILES).batch(SHUFFLE_BLOCK)

        # Dataset.shuffle takes no seed that is a tensor.
        def shuffle(number, examples):
            encoded, labels = examples
            order = permutation(tf.size(labels), fold_in(seed, number))
            return tf.gather(encoded, order), tf.gather(labels, order)

        return blocks.enumerate().map(shuffle).prefetch(1).unbatch()

    def _in_order(self) -> Any:
        return self._examples(tf.range(len(self._files)), cycle_length=1)

    def _examples(self, file_order: Any, cycle_length: int) -> Any:
        files, mask = host_constant(np.array(self._files)), host_constant(self._mask)
        offsets = host_constant(np.cumsum(self._lengths) - self._lengths)

        def records_of(number):
            records = tf.data.TFRecordDataset(files[number]).enumerate()
            return records.map(lambda place, record: (offsets[number] + place, record))

        records = tf.data.Dataset.from_tensor_slices(file_order).interleave(
            records_of, cycle_length=cycle_length, num_parallel_calls=tf.data.AUTOTUNE
        )
        if not self._mask.all():
            records = records.filter(lambda place, _: mask[place])
        return records.map(self._parse, num_parallel_calls=tf.data.AUTOTUNE)

    def _parse(self, _, record):
        import tensorflow_datasets as tfds

        skip = {"image": tfds.decode.SkipDecoding()}
        example = self._features.deserialize_example(record, decoders=skip)
        return example["image"], tf.cast(example["label"], tf.int32)


def _size(path: Path) -> int:
    return path.stat().st_size


def _checksum(items: Iterable[bytes], value: int) -> int:
    for item in items:
        # With its length, so that no two lists have the same bytes.
        value = zlib.crc32(item, zlib.crc32(b"%d " % len(item), value))
    return value
