"""scikit-learn's handwritten digits: 1,797 images that come with the library."""

from typing import Any

from train.data.image_set import ImageSet

# 8x8 pixels of 0 to 16, enlarged to the models' smallest image.
ENLARGEMENT = 4
LARGEST_VALUE = 16
TEST_IMAGES = 360


def load(options: Any) -> ImageSet:
    """1,437 images to train on and 360 to test, stratified, the same split every time."""
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    from train.data.images import ArraySource

    digits = load_digits()
    images = np.kron(digits.images, np.ones((ENLARGEMENT, ENLARGEMENT)))
    images = np.round(images * (255 / LARGEST_VALUE)).astype("uint8")
    images = np.repeat(images[..., None], 3, axis=-1)
    parts = train_test_split(
        images, digits.target, test_size=TEST_IMAGES, stratify=digits.target, random_state=0
    )
    train_images, test_images, train_labels, test_labels = parts
    return ImageSet(
        train=ArraySource(train_images, train_labels),
        test=ArraySource(test_images, test_labels),
        classes=len(digits.target_names),
        size=images.shape[1],
        flip=False,
    )
