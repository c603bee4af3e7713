"""Random crops and flips of a batch on the device."""

from typing import Any

import jax
import jax.numpy as jnp

from train.datasets import CROP_PADDING


def pad_crop_flip(images: Any, key: Any, flip: bool) -> Any:
    """Crops of the images' own size from a black frame, mirrored half of the time if `flip`.

    As `train.augmentation.pad_crop_flip`, with other random numbers.

    Args:
        images: uint8 array of shape (batch, size, size, 3).
        key: Of `jax.random`.
        flip: Whether to mirror images from left to right.

    Returns:
        An array like `images`.
    """
    batch, size, *_ = images.shape
    padding = int(CROP_PADDING * size)
    offset_key, mirror_key = jax.random.split(key)
    offsets = jax.random.randint(offset_key, (batch, 2), 0, 2 * padding + 1)
    mirrored = jax.random.bernoulli(mirror_key, 0.5, (batch,)) & flip
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
