"""Which images of a source to take: balanced subsets and held-out parts.

Both are drawn with a fixed seed, so that runs with different seeds see the same images.
"""

import numpy as np

from train.data.image_set import ImageSource
from train.errors import UsageError

SUBSET_SEED = 0


def balanced(source: ImageSource, count: int | None, flag: str) -> ImageSource:
    """So many images, as many of each class as can be; all where `count` is None.

    Raises:
        UsageError: If there are fewer than `count`.
    """
    if count is None:
        return source
    if count > len(source):
        raise UsageError(f"{flag}={count}: there are {len(source)} images; give that or less.")
    return source.take(balanced_indices(source.labels, count))


def balanced_indices(labels: np.ndarray, count: int) -> np.ndarray:
    """Sorted indices of `count` labels, the classes' numbers as equal as can be."""
    order, rank = _ranks(labels)
    # The first of every class, then the second of every class, and so on.
    return np.sort(order[np.argsort(rank[order], kind="stable")][:count])


def hold_out(source: ImageSource, fraction: float) -> tuple[ImageSource, ImageSource | None]:
    """The source without, and then with only, a `fraction` of the images of every class.

    Raises:
        UsageError: If that leaves a class without an image on either side.
    """
    if not fraction:
        return source, None
    labels = source.labels
    _, rank = _ranks(labels)
    held_out = rank < np.round(fraction * np.bincount(labels))[labels]
    for part in (held_out, ~held_out):
        if len(np.unique(labels[part])) < len(np.unique(labels)):
            raise UsageError(
                f"--validation_fraction={fraction} of {len(source)} images leaves a class without "
                "an image to train on or to judge by: give another fraction or more images."
            )
    return source.take(np.flatnonzero(~held_out)), source.take(np.flatnonzero(held_out))


def _ranks(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A random order of all images, and each image's place in it among those of its class."""
    order = np.random.default_rng(SUBSET_SEED).permutation(len(labels))
    rank = np.empty(len(labels), int)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        rank[members] = np.arange(len(members))
    return order, rank
