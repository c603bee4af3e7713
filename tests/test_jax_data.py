"""Batches of images in memory as JAX draws them."""

import keras
import numpy as np
import pytest

if keras.backend.backend() != "jax":
    pytest.skip("of JAX: make test-jax", allow_module_level=True)

import jax

from train.data import jax as drawing


def test_an_epoch_takes_every_image_once():
    key = drawing.epoch_key(jax.random.key(3), 0)
    order, keys = drawing.epoch_order(key, 100, 32)
    assert order.shape == (3, 32)
    assert len(np.unique(order)) == 96
    assert len(np.unique(jax.random.key_data(keys), axis=0)) == 3
    again, _ = drawing.epoch_order(key, 100, 32)
    np.testing.assert_array_equal(order, again)
    other, _ = drawing.epoch_order(drawing.epoch_key(jax.random.key(3), 1), 100, 32)
    assert (np.asarray(order) != np.asarray(other)).any()


def test_crops_are_numpys(rng):
    pixels = rng.integers(0, 256, (5, 8, 8, 3)).astype("uint8")
    offsets = np.array([[0, 0], [4, 4], [2, 2], [1, 3], [3, 0]])
    mirrored = np.array([False, False, True, True, False])
    crops = drawing.crop(pixels, offsets, mirrored, padding=2)
    padded = np.pad(pixels, [(0, 0), (2, 2), (2, 2), (0, 0)])
    for crop, image, (row, column), mirror in zip(crops, padded, offsets, mirrored, strict=True):
        expected = image[row : row + 8, column : column + 8]
        np.testing.assert_array_equal(crop, expected[:, ::-1] if mirror else expected)


def test_every_offset_and_mirror_image_is_drawn():
    # One white pixel tells where the crop was taken.
    pixels = np.zeros((4000, 16, 16, 3), "uint8")
    pixels[:, 8, 6] = 255
    found = {}
    for flip in (False, True):
        crops = np.asarray(drawing.pad_crop_flip(pixels, jax.random.key(0), 2, flip))
        assert crops.dtype == np.uint8
        found[flip] = {tuple(place) for place in np.argwhere(crops[..., 0])[:, 1:]}
    plain = {(8 + row, 6 + column) for row in range(-2, 3) for column in range(-2, 3)}
    assert found[False] == plain
    assert found[True] == plain | {(row, 15 - column) for row, column in plain}
