"""Where images come from: arrays in memory, encoded images, or record files.

Every source yields batches `(images, labels)` of uint8 images of one size, in 0 to 255.
Training batches depend on the seed, the epoch and the step alone, not on what was drawn
before, so that a run goes on in the middle as if it had never stopped.
"""

import abc
from typing import Any

import numpy as np
import tensorflow as tf

from train import augmentation
from train.datasets import CROP_PADDING
from train.errors import UsageError
from train.moments import channel_moments

TEST_BATCH_SIZE = 256
# Images that the standardisation of a source that is not in memory is measured on.
MOMENT_EXAMPLES = 5_000
# Record files, in random order, that are read at once; and the records shuffled at once.
PARALLEL_FILES = 16
SHUFFLE_BLOCK = 8_192
# A selection of up to so many records is held in memory, still encoded: 1 GB of ImageNet's.
MEMORY_EXAMPLES = 10_000


class Source(abc.ABC):
    """Labelled images of `size` pixels a side."""

    size: int

    @property
    @abc.abstractmethod
    def labels(self) -> np.ndarray:
        """int32 labels in the order of the source."""

    @abc.abstractmethod
    def take(self, indices: np.ndarray) -> "Source":
        """The images at these sorted indices."""

    @abc.abstractmethod
    def training_batches(self, batch_size: int, epochs: range, seed: int, flip: bool) -> Any:
        """Whole batches, shuffled and augmented, of these epochs one after another."""

    @abc.abstractmethod
    def test_batches(self, batch_size: int = TEST_BATCH_SIZE) -> Any:
        """All images once, in order, not augmented."""

    @abc.abstractmethod
    def channel_moments(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and variance of each channel, in units of 0 to 255."""

    def __len__(self) -> int:
        return len(self.labels)


class ArraySource(Source):
    """Images in memory: random crops from a frame of an eighth of their side."""

    def __init__(self, images: np.ndarray, labels: np.ndarray):
        self.images, self._labels = images, np.asarray(labels, "int32")
        self.size = images.shape[1]

    @property
    def labels(self) -> np.ndarray:
        return self._labels

    def take(self, indices: np.ndarray) -> "ArraySource":
        return ArraySource(self.images[indices], self._labels[indices])

    def training_batches(self, batch_size: int, epochs: range, seed: int, flip: bool) -> Any:
        images, labels = _on_host(self.images), _on_host(self._labels)
        steps = len(self) // batch_size

        def batches_of(epoch):
            epoch_seed = _epoch_seed(seed, epoch)
            order = _permutation(len(self), epoch_seed)[: steps * batch_size]
            indices = tf.data.Dataset.from_tensor_slices(tf.reshape(order, [steps, batch_size]))
            return indices.enumerate().map(lambda step, i: (_fold(epoch_seed, step), i))

        def load(step_seed, indices):
            batch = tf.gather(images, indices)
            padding = int(CROP_PADDING * self.size)
            return (
                augmentation.pad_crop_flip(batch, step_seed, padding, flip),
                tf.gather(labels, indices),
            )

        batches = _range(epochs).flat_map(batches_of)
        return batches.map(load, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)

    def test_batches(self, batch_size: int = TEST_BATCH_SIZE) -> Any:
        images, labels = _on_host(self.images), _on_host(self._labels)
        starts = tf.data.Dataset.range(0, len(self), batch_size)

        def load(start):
            part = slice(start, tf.minimum(start + batch_size, len(self)))
            return images[part], labels[part]

        return starts.map(load).prefetch(tf.data.AUTOTUNE)

    def channel_moments(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        return channel_moments(self.images[i : i + 1000] for i in range(0, len(self), 1000))


class _StreamedSource(Source):
    """Encoded images, decoded anew in every epoch: random resized crops, centre crops to test."""

    @abc.abstractmethod
    def _shuffled(self, epoch_seed: Any) -> Any:
        """Pairs of encoded image and label, in an order that the seed decides."""

    @abc.abstractmethod
    def _in_order(self) -> Any:
        """Pairs of encoded image and label, always in the same order."""

    def training_batches(self, batch_size: int, epochs: range, seed: int, flip: bool) -> Any:
        whole = len(self) // batch_size * batch_size

        def examples_of(epoch):
            epoch_seed = _epoch_seed(seed, epoch)
            examples = self._shuffled(epoch_seed).take(whole).enumerate()
            return examples.map(lambda place, example: (_fold(epoch_seed, place), *example))

        def load(seed, encoded, label):
            return augmentation.random_resized_crop(encoded, seed, self.size, flip), label

        examples = _range(epochs).flat_map(examples_of)
        examples = examples.map(load, num_parallel_calls=tf.data.AUTOTUNE)
        return examples.batch(batch_size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)

    def test_batches(self, batch_size: int = TEST_BATCH_SIZE) -> Any:
        examples = self._in_order().map(self._load_test, num_parallel_calls=tf.data.AUTOTUNE)
        return examples.batch(batch_size).prefetch(tf.data.AUTOTUNE)

    def channel_moments(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        chosen = np.random.default_rng(0).permutation(len(self))[:MOMENT_EXAMPLES]
        batches = self.take(np.sort(chosen)).test_batches()
        return channel_moments(images for images, _ in batches.as_numpy_iterator())

    def _load_test(self, encoded, label):
        return augmentation.centre_crop(encoded, self.size), label


class EncodedSource(_StreamedSource):
    """JPEG or PNG images in memory, or the paths of their files."""

    def __init__(self, items: np.ndarray, labels: np.ndarray, size: int, are_paths: bool):
        self._items, self._labels = items, np.asarray(labels, "int32")
        self.size, self._are_paths = size, are_paths

    @property
    def labels(self) -> np.ndarray:
        return self._labels

    def take(self, indices: np.ndarray) -> "EncodedSource":
        return EncodedSource(
            self._items[indices], self._labels[indices], self.size, self._are_paths
        )

    def decoded(self) -> ArraySource:
        """The images in memory, their shorter side resized and the middle cut out.

        Raises:
            UsageError: Naming the first file that is no image.
        """
        images = np.empty((len(self), self.size, self.size, 3), "uint8")
        start = 0
        for batch in self._each(lambda encoded: augmentation.centre_crop(encoded, self.size, 1.0)):
            images[start : start + len(batch)] = batch
            start += len(batch)
        return ArraySource(images, self._labels)

    def checked(self) -> "EncodedSource":
        """Itself, after every image has been decoded once.

        Raises:
            UsageError: Naming the first file that is no image.
        """
        for _ in self._each(lambda encoded: tf.shape(augmentation.decode(encoded))):
            pass
        return self

    def _each(self, function: Any) -> Any:
        results = self._in_order().map(
            lambda encoded, _: function(encoded), num_parallel_calls=tf.data.AUTOTUNE
        )
        done = 0
        try:
            for batch in results.batch(1000).as_numpy_iterator():
                done += len(batch)
                yield batch
        except tf.errors.OpError:
            raise UsageError(self._name_damaged(done)) from None

    def _name_damaged(self, start: int) -> str:
        for item in self._items[start:]:
            try:
                augmentation.decode(tf.io.read_file(item) if self._are_paths else item)
            except tf.errors.OpError:
                return f"{item} is no JPEG or PNG image: repair or remove it."
        return "an image cannot be decoded."

    def _shuffled(self, epoch_seed: Any) -> Any:
        order = tf.data.Dataset.from_tensor_slices(_permutation(len(self), epoch_seed))
        return self._read(order)

    def _in_order(self) -> Any:
        return self._read(tf.data.Dataset.range(len(self)))

    def _read(self, indices: Any) -> Any:
        items, labels = _on_host(self._items), _on_host(self._labels)

        def read(index):
            item = items[index]
            return (tf.io.read_file(item) if self._are_paths else item), labels[index]

        return indices.map(read, num_parallel_calls=tf.data.AUTOTUNE)


class RecordSource(_StreamedSource):
    """The record files of a TensorFlow Datasets split that is too large for memory.

    An image's index is its place in the files, read one after another.
    """

    def __init__(self, files, lengths, features, size, mask):
        self._files, self._lengths, self._features = files, lengths, features
        self.size, self._mask = size, mask
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

    def take(self, indices: np.ndarray) -> Source:
        kept = np.flatnonzero(self._mask)[indices]
        mask = np.zeros_like(self._mask)
        mask[kept] = True
        selection = RecordSource(self._files, self._lengths, self._features, self.size, mask)
        if len(indices) > MEMORY_EXAMPLES:
            return selection
        items, labels = zip(*selection._in_order().as_numpy_iterator(), strict=True)
        return EncodedSource(np.array(items, object), labels, self.size, are_paths=False)

    def _shuffled(self, epoch_seed: Any) -> Any:
        order = _permutation(len(self._files), epoch_seed)
        blocks = self._examples(order, PARALLEL_FILES).batch(SHUFFLE_BLOCK)

        # Dataset.shuffle takes no seed that is a tensor.
        def shuffle(number, examples):
            encoded, labels = examples
            order = _permutation(tf.size(labels), _fold(epoch_seed, number))
            return tf.gather(encoded, order), tf.gather(labels, order)

        return blocks.enumerate().map(shuffle).prefetch(1).unbatch()

    def _in_order(self) -> Any:
        return self._examples(tf.range(len(self._files)), cycle_length=1)

    def _examples(self, file_order: Any, cycle_length: int) -> Any:
        files, mask = _on_host(np.array(self._files)), _on_host(self._mask)
        offsets = _on_host(np.cumsum(self._lengths) - self._lengths)

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


def _on_host(array: np.ndarray) -> Any:
    # Outside of any graph that is being traced, which would hold a copy, of at most 2 GB.
    with tf.init_scope(), tf.device("CPU"):
        return tf.constant(array)


def _range(epochs: range) -> Any:
    return tf.data.Dataset.range(epochs.start, epochs.stop)


def _epoch_seed(seed: int, epoch: Any) -> Any:
    return _fold(tf.constant([seed, 0], tf.int32), epoch)


def _fold(seed: Any, number: Any) -> Any:
    return tf.random.fold_in(seed, tf.cast(number, tf.int32), alg="philox")


def _permutation(length: Any, seed: Any) -> Any:
    return tf.random.experimental.stateless_shuffle(tf.range(length), seed, alg="philox")
