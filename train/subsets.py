"""Which images of a source to take: balanced subsets and held-out parts.

Both are drawn with a fixed seed, so that runs with different seeds see the same images.
"""

import numpy as np

from train.errors import UsageError
from train.sources import Source

SUBSET_SEED = 0


def balanced(source: Source, count: int | None, flag: str) -> Source:
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
    rng = np.random.default_rng(SUBSET_SEED)
    order = rng.permutation(len(labels))
    rank = np.empty(len(labels), int)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        rank[members] = np.arange(len(members))
    # The first of every class, then the second of every class, and so on.
    return np.sort(order[np.argsort(rank[order], kind="stable")][:count])


def hold_out(source: Source, fraction: float) -> tuple[Source, Source | None]:
    """The source without, and then with only, a stratified `fraction` of its images.

    Raises:
        UsageError: If that leaves a class without an image on either side.
    """
    if not fraction:
        return source, None
    from sklearn.model_selection import train_test_split

    labels = source.labels
    try:
        kept, held_out = train_test_split(
            np.arange(len(source)), test_size=fraction, stratify=labels, random_state=SUBSET_SEED
        )
    except ValueError:
        raise UsageError(
            f"--validation_fraction={fraction} of {len(source)} images cannot be drawn from "
            f"each of the {len(np.unique(labels))} classes: give another fraction or more images."
        ) from None
    return source.take(np.sort(kept)), source.take(np.sort(held_out))
