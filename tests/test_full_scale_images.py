"""The images of `examples.full_scale`: read, drawn and augmented."""

import keras
import numpy as np
import pytest

if keras.backend.backend() != "jax":
    pytest.skip("of JAX: make test-jax", allow_module_level=True)

import jax
from digit_images import SMALL, digits, write_folder

from examples.full_scale import augmentation, images
from train import options


def test_an_epoch_takes_every_image_once():
    key = images.epoch_key(jax.random.key(3), 0)
    order, keys = images.epoch_order(key, 100, 32)
    assert order.shape == (3, 32)
    assert len(np.unique(order)) == 96
    assert len(np.unique(jax.random.key_data(keys), axis=0)) == 3
    again, _ = images.epoch_order(key, 100, 32)
    np.testing.assert_array_equal(order, again)
    other, _ = images.epoch_order(images.epoch_key(jax.random.key(3), 1), 100, 32)
    assert (np.asarray(order) != np.asarray(other)).any()


def test_crops_are_numpys(rng):
    pixels = rng.integers(0, 256, (5, 8, 8, 3)).astype("uint8")
    offsets = np.array([[0, 0], [4, 4], [2, 2], [1, 3], [3, 0]])
    mirrored = np.array([False, False, True, True, False])
    crops = augmentation.crop(pixels, offsets, mirrored, padding=2)
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
        crops = np.asarray(augmentation.pad_crop_flip(pixels, jax.random.key(0), flip))
        assert crops.dtype == np.uint8
        found[flip] = {tuple(place) for place in np.argwhere(crops[..., 0])[:, 1:]}
    plain = {(8 + row, 6 + column) for row in range(-2, 3) for column in range(-2, 3)}
    assert found[False] == plain
    assert found[True] == plain | {(row, 15 - column) for row, column in plain}


def test_images_are_read_from_a_folder(tmp_path):
    folder = write_folder(tmp_path)
    flags = options.parse(
        [
            *(*SMALL, "--batch_size=16", "--validation_fraction=0.2"),
            *("--dataset=image_folder", f"--data_dir={folder}"),
        ]
    )
    loaded = images.load(flags)
    assert (loaded.classes, loaded.size) == (3, 32)
    whole = digits(120)
    known = {
        (pixels.tobytes(), label) for pixels, label in zip(whole.images, whole.labels, strict=True)
    }
    for part in (loaded.train, loaded.validation):
        for pixels, label in zip(part.images, part.labels, strict=True):
            assert (pixels.tobytes(), label) in known
    assert len(loaded.train) + len(loaded.validation) == (whole.labels < 3).sum()
    assert loaded.test.images.shape[1:] == (32, 32, 3)
    # Half of a digit's pixels at 48 pixels a side is between that at 32.
    assert loaded.test.images.mean() == pytest.approx(digits(50).images.mean(), rel=0.1)
    expected = loaded.train.images.reshape(-1, 3).mean(axis=0)
    np.testing.assert_allclose(loaded.mean, expected, rtol=1e-6)
