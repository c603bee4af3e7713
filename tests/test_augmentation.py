import numpy as np
import pytest
import tensorflow as tf

from train.data import augmentation

SIZE, PADDING = 8, 2


@pytest.fixture
def images(rng):
    return rng.integers(1, 256, (400, SIZE, SIZE, 3)).astype("uint8")


def crops_by_hand(image, flip):
    """Every crop that is possible, by NumPy."""
    frame = np.pad(image, [(PADDING, PADDING), (PADDING, PADDING), (0, 0)])
    for row in range(2 * PADDING + 1):
        for column in range(2 * PADDING + 1):
            crop = frame[row : row + SIZE, column : column + SIZE]
            yield (row, column, False), crop
            if flip:
                yield (row, column, True), crop[:, ::-1]


@pytest.mark.parametrize("flip", [True, False])
def test_every_image_becomes_one_of_its_crops_and_all_occur(images, flip):
    crops = augmentation.pad_crop_flip(images, [3, 4], PADDING, flip).numpy()
    assert crops.dtype == np.uint8
    seen = set()
    for image, crop in zip(images, crops, strict=True):
        matches = [key for key, one in crops_by_hand(image, flip) if np.array_equal(one, crop)]
        assert len(matches) == 1
        seen.add(matches[0])
    assert len(seen) == (2 * PADDING + 1) ** 2 * (2 if flip else 1)


def test_the_seed_decides(images):
    first = augmentation.pad_crop_flip(images, [3, 4], PADDING, True)
    np.testing.assert_array_equal(first, augmentation.pad_crop_flip(images, [3, 4], PADDING, True))
    assert not np.array_equal(first, augmentation.pad_crop_flip(images, [3, 5], PADDING, True))


def encode(image, form):
    encoder = {"jpeg": tf.io.encode_jpeg, "png": tf.io.encode_png}[form]
    return encoder(image)


@pytest.mark.parametrize("form", ["jpeg", "png"])
def test_random_resized_crop_is_a_part_of_the_image(form):
    # Red grows to the right and green to the bottom, so that a crop shows where it was.
    ramp = np.linspace(0, 255, 120).astype("uint8")
    image = np.stack(
        [np.tile(ramp, (120, 1)), np.tile(ramp[:, None], (1, 120)), np.zeros((120, 120))], -1
    )
    encoded = encode(image.astype("uint8"), form)
    areas = []
    for number in range(60):
        crop = augmentation.random_resized_crop(encoded, [1, number], 32, flip=False).numpy()
        assert crop.shape == (32, 32, 3)
        assert crop.dtype == np.uint8
        width, height = (float(np.ptp(crop[..., channel])) / 255 for channel in (0, 1))
        areas.append(width * height)
    assert min(areas) > 0.05
    assert max(areas) <= 1.0
    assert np.ptp(areas) > 0.4


def test_random_resized_crop_flips_half_of_the_images():
    image = np.zeros((40, 40, 3), "uint8")
    image[..., 0] = np.linspace(0, 255, 40)
    encoded = encode(image, "png")
    crops = [
        augmentation.random_resized_crop(encoded, [2, n], 16, True).numpy() for n in range(100)
    ]
    mirrored = sum(int(crop[0, 0, 0]) > int(crop[0, -1, 0]) for crop in crops)
    assert 30 < mirrored < 70


def test_centre_crop_is_the_middle_and_keeps_the_aspect_ratio():
    # 64 x 112 pixels become 256 x 448, of which 224 x 224 are cut out: in the image's own pixels,
    # 56 x 56, rows 4 to 60 and columns 28 to 84.
    rows, columns = np.mgrid[:64, :112]
    image = np.stack([2 * rows, 2 * columns, 0 * rows], -1).astype("uint8")
    crop = augmentation.centre_crop(encode(image, "png"), 224).numpy().astype(float)
    assert crop.shape == (224, 224, 3)
    for axis, channel, begin in ((0, 0, 4), (1, 1, 28)):
        expected = 2 * (begin - 0.5 + (np.arange(224) + 0.5) / 4)
        shown = np.moveaxis(crop[..., channel], axis, -1)
        np.testing.assert_allclose(shown, np.broadcast_to(expected, (224, 224)), atol=0.51)


def test_greyscale_is_repeated():
    encoded = tf.io.encode_jpeg(np.full((5, 7, 1), 77, "uint8"))
    np.testing.assert_array_equal(augmentation.decode(encoded), np.full((5, 7, 3), 77))
