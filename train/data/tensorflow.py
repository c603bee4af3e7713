"""Batches of images in memory, drawn and augmented by TensorFlow."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from train.data import augmentation
from train.data.images import ALIGNMENT, ArraySource


def training_batches(
    images: ArraySource, batch_size: int, epochs: range, seed: int, flip: bool, skipped: int
) -> Any:
    """See `train.data.image_set.ImageSource`; a `tf.data.Dataset`."""
    read = _reader(images)
    steps = len(images) // batch_size

    def batches_of(epoch):
        of_epoch = epoch_seed(seed, epoch)
        order = permutation(len(images), of_epoch)[: steps * batch_size]
        indices = tf.data.Dataset.from_tensor_slices(tf.reshape(order, [steps, batch_size]))
        return indices.enumerate().map(lambda step, i: (fold_in(of_epoch, step), i))

    def load(step_seed, indices):
        batch, labels = read(indices)
        return augmentation.pad_crop_flip(batch, step_seed, images.padding, flip), labels

    batches = epoch_numbers(epochs).flat_map(batches_of).skip(skipped)
    return _loaded(batches, load)


def test_batches(images: ArraySource, batch_size: int) -> Any:
    """See `train.data.image_set.ImageSource`; a `tf.data.Dataset`."""
    read = _reader(images)
    starts = tf.data.Dataset.range(0, len(images), batch_size)

    def load(start):
        return read(tf.range(start, tf.minimum(start + batch_size, len(images))))

    return _loaded(starts, load)


def _loaded(examples: Any, load: Callable) -> Any:
    # To optimize a pipeline, TensorFlow makes a graph of it, that holds a copy of all images.
    as_it_is = tf.data.Options()
    as_it_is.experimental_optimization.apply_default_optimizations = False
    batches = examples.map(load, num_parallel_calls=tf.data.AUTOTUNE)
    return batches.prefetch(tf.data.AUTOTUNE).with_options(as_it_is)


def _reader(images: ArraySource) -> Callable[[Any], tuple[Any, Any]]:
    """Gives the images and the labels at some indices."""
    pixels = shared(images.pixels)
    places, labels = host_constant(images.places), host_constant(images.labels)
    return lambda indices: (
        tf.gather(pixels, tf.gather(places, indices)),
        tf.gather(labels, indices),
    )


def shared(pixels: np.ndarray) -> Any:
    """A tensor that is the array's memory and keeps it; a copy where it is not aligned for one.

    TensorFlow takes an address that is a multiple of `train.data.images.ALIGNMENT`, and ends the
    process at another.
    """
    fit = pixels.ctypes.data % ALIGNMENT == 0 and pixels.flags.carray and pixels.size
    if not fit:
        return host_constant(pixels)
    with tf.init_scope():
        return tf.experimental.dlpack.from_dlpack(pixels.__dlpack__())


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
