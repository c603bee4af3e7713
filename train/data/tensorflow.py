"""Batches of images in memory, drawn and augmented by TensorFlow."""

from typing import Any

import tensorflow as tf

from train.data import augmentation
from train.data.images import ArraySource


def training_batches(
    images: ArraySource, batch_size: int, epochs: range, seed: int, flip: bool
) -> Any:
    """See `train.data.image_set.ImageSource`; a `tf.data.Dataset`."""
    pixels, labels = host_constant(images.images), host_constant(images.labels)
    steps = len(images) // batch_size

    def batches_of(epoch):
        of_epoch = epoch_seed(seed, epoch)
        order = permutation(len(images), of_epoch)[: steps * batch_size]
        indices = tf.data.Dataset.from_tensor_slices(tf.reshape(order, [steps, batch_size]))
        return indices.enumerate().map(lambda step, i: (fold_in(of_epoch, step), i))

    def load(step_seed, indices):
        batch = tf.gather(pixels, indices)
        crops = augmentation.pad_crop_flip(batch, step_seed, images.padding, flip)
        return crops, tf.gather(labels, indices)

    batches = epoch_numbers(epochs).flat_map(batches_of)
    return batches.map(load, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def test_batches(images: ArraySource, batch_size: int) -> Any:
    """See `train.data.image_set.ImageSource`; a `tf.data.Dataset`."""
    pixels, labels = host_constant(images.images), host_constant(images.labels)
    starts = tf.data.Dataset.range(0, len(images), batch_size)

    def load(start):
        part = slice(start, tf.minimum(start + batch_size, len(images)))
        return pixels[part], labels[part]

    return starts.map(load).prefetch(tf.data.AUTOTUNE)


def host_constant(array: Any) -> Any:
    """A constant outside of any graph that is being traced, which would hold a copy, of 2 GB."""
    with tf.init_scope(), tf.device("CPU"):
        return tf.constant(array)


def epoch_numbers(epochs: range) -> Any:
    """A data set of their numbers."""
    return tf.data.Dataset.range(epochs.start, epochs.stop)


def epoch_seed(seed: int, epoch: Any) -> Any:
    """What all randomness of an epoch comes from."""
    return fold_in(tf.constant([seed, 0], tf.int32), epoch)


def fold_in(seed: Any, number: Any) -> Any:
    """A seed of its own for each number."""
    return tf.random.fold_in(seed, tf.cast(number, tf.int32), alg="philox")


def permutation(length: Any, seed: Any) -> Any:
    """The numbers below `length` in random order."""
    return tf.random.experimental.stateless_shuffle(tf.range(length), seed, alg="philox")
