"""Batches of images in memory, drawn and augmented by JAX; the compiled epoch draws the same."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from train.data.images import ArraySource


def training_batches(
    images: ArraySource, batch_size: int, epochs: range, seed: int, flip: bool, skipped: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """See `train.data.image_set.ImageSource`."""
    for epoch in epochs:
        key = epoch_key(jax.random.key(seed), epoch)
        order, keys = epoch_order(key, len(images), batch_size)
        for step, (indices, key) in enumerate(zip(np.asarray(order), keys, strict=True)):
            if epoch == epochs.start and step < skipped:
                continue
            crops = pad_crop_flip(images.at(indices), key, images.padding, flip)
            yield np.asarray(crops), images.labels[indices]


def test_batches(images: ArraySource, batch_size: int) -> "Batches":
    """See `train.data.image_set.ImageSource`."""
    return Batches(images, batch_size)


class Batches:
    """Batches of a source, in order."""

    def __init__(self, source: ArraySource, batch_size: int):
        self.source, self.batch_size = source, batch_size

    def __len__(self) -> int:
        return -(-len(self.source) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for begin in range(0, len(self.source), self.batch_size):
            part = slice(begin, begin + self.batch_size)
            yield self.source.at(part), self.source.labels[part]


def epoch_key(seed: Any, epoch: int) -> Any:
    """What all randomness of an epoch, counted from 0, comes from; `seed` is a run's key."""
    return jax.random.fold_in(seed, epoch)


def epoch_order(key: Any, count: int, batch_size: int) -> tuple[Any, Any]:
    """The indices of an epoch's whole batches, `(steps, batch_size)`, and a key for each."""
    steps = count // batch_size
    order_key, crops_key = jax.random.split(key)
    order = jax.random.permutation(order_key, count)[: steps * batch_size]
    return order.reshape(steps, batch_size), jax.random.split(crops_key, steps)


def pad_crop_flip(images: Any, key: Any, padding: int, flip: bool) -> Any:
    """Crops of the images' own size from a black frame, mirrored half of the time if `flip`.

    As `train.data.augmentation.pad_crop_flip`, with other random numbers.

    Args:
        images: uint8 array of shape (batch, size, size, 3).
        key: Of `jax.random`.
        padding: Width of the frame in pixels.
        flip: Whether to mirror images from left to right.

    Returns:
        An array like `images`.
    """
    offset_key, mirror_key = jax.random.split(key)
    offsets = jax.random.randint(offset_key, (len(images), 2), 0, 2 * padding + 1)
    mirrored = jax.random.bernoulli(mirror_key, 0.5, (len(images),)) & flip
    return crop(images, offsets, mirrored, padding)


def crop(images: Any, offsets: Any, mirrored: Any, padding: int) -> Any:
    """The crops at these places of the padded images.

    Args:
        images: Array of shape (batch, size, size, 3).
        offsets: Row and column of each, from 0 to `2 * padding`, of shape (batch, 2).
        mirrored: Which crops to mirror, of shape (batch,).
        padding: Width of the black frame in pixels.

    Returns:
        An array like `images`.
    """
    size = images.shape[1]
    padded = jnp.pad(images, [(0, 0), (padding, padding), (padding, padding), (0, 0)])

    def one(image, offset, mirror):
        part = jax.lax.dynamic_slice(image, (offset[0], offset[1], 0), (size, size, 3))
        return jnp.where(mirror, part[:, ::-1], part)

    return jax.vmap(one)(padded, offsets, mirrored)
