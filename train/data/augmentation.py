"""Random crops and flips, and what the test images get instead; all from stateless seeds."""

from typing import Any

import tensorflow as tf

# The test image's shorter side is resized to so many times the crop (ImageNet's custom).
CENTRE_MARGIN = 256 / 224

CROP_AREA = (0.08, 1.0)
CROP_ASPECT_RATIO = (3 / 4, 4 / 3)


def pad_crop_flip(images: Any, seed: Any, padding: int, flip: bool) -> Any:
    """Crops of the images' own size from a black frame, mirrored half of the time if `flip`.

    Args:
        images: uint8 tensor of shape (batch, size, size, 3).
        seed: Integer tensor of shape (2,); every image gets an offset of its own from it.
        padding: Width of the frame in pixels.
        flip: Whether to mirror images from left to right.
    """
    batch, size = tf.shape(images)[0], images.shape[1]
    padded = tf.pad(images, [[0, 0], [padding, padding], [padding, padding], [0, 0]])
    offsets = tf.random.stateless_uniform([3, batch], seed, 0, 2 * (2 * padding + 1), tf.int32)
    pixels = tf.range(size)[None, :]
    rows = offsets[0, :, None] // 2 + pixels
    columns = offsets[1, :, None] // 2 + pixels
    if flip:
        columns = tf.where(offsets[2, :, None] % 2 == 1, columns[:, ::-1], columns)
    cropped = tf.gather(padded, rows, axis=1, batch_dims=1)
    return tf.gather(cropped, columns, axis=2, batch_dims=1)


def random_resized_crop(encoded: Any, seed: Any, size: int, flip: bool) -> Any:
    """A random part of an encoded image, of 8 to 100 % of its area, as size x size uint8."""
    begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
        _shape(encoded),
        tf.zeros([1, 0, 4]),
        seed,
        min_object_covered=0.0,
        area_range=CROP_AREA,
        aspect_ratio_range=CROP_ASPECT_RATIO,
        use_image_if_no_bounding_boxes=True,
    )
    window = tf.concat([begin[:2], extent[:2]], axis=0)
    image = tf.cond(
        tf.io.is_jpeg(encoded),
        lambda: tf.io.decode_and_crop_jpeg(encoded, window, channels=3),
        lambda: tf.slice(decode(encoded), begin, tf.concat([extent[:2], [3]], axis=0)),
    )
    image = tf.image.resize(image, [size, size], antialias=True)
    if flip:
        mirror = tf.random.stateless_uniform([], tf.random.fold_in(seed, 1)) < 0.5
        image = tf.where(mirror, image[:, ::-1], image)
    return tf.saturate_cast(tf.round(image), tf.uint8)


def centre_crop(encoded: Any, size: int) -> Any:
    """The middle of an encoded image as size x size uint8, its aspect ratio kept.

    The shorter side is resized to `CENTRE_MARGIN * size` first, then the middle is cut out.
    """
    image = decode(encoded)
    shape = tf.cast(tf.shape(image)[:2], tf.float32)
    scale = CENTRE_MARGIN * size / tf.reduce_min(shape)
    resized = tf.maximum(tf.cast(tf.round(shape * scale), tf.int32), size)
    image = tf.image.resize(image, resized, antialias=True)
    image = tf.image.resize_with_crop_or_pad(image, size, size)
    return tf.saturate_cast(tf.round(image), tf.uint8)


def decode(encoded: Any) -> Any:
    """JPEG or PNG to uint8 RGB of shape (height, width, 3); greyscale is repeated."""
    image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    image.set_shape([None, None, 3])
    return image


def _shape(encoded: Any) -> Any:
    return tf.cond(
        tf.io.is_jpeg(encoded),
        lambda: tf.io.extract_jpeg_shape(encoded),
        lambda: tf.shape(decode(encoded)),
    )
