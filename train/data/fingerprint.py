"""What tells a run that goes on whether its images are those that it began with: `data.json`."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from train.data.image_set import ImageSet, ImageSource, Moments
from train.errors import UsageError
from train.run_directory import DATA, RunDirectory, State

PARTS = {
    "train": "images to train on",
    "validation": "held-out images",
    "test": "test images",
}


class Part(NamedTuple):
    """A part of the images: how many, and their checksum as eight hexadecimal digits."""

    images: int
    checksum: str

    def __str__(self) -> str:
        return f"{self.images:,} with checksum {self.checksum}"


@dataclasses.dataclass(frozen=True)
class Fingerprint:
    """Of all images of a run.

    Attributes:
        parts: By name, those of `PARTS` that there are.
        moments: Mean and variance of each channel, in units of 0 to 255.
        skipped: Images that cannot be read.
    """

    parts: Mapping[str, Part]
    moments: Moments
    skipped: int = 0

    def check(self, images: ImageSet) -> None:
        """Refuses other images than these.

        Raises:
            UsageError: Naming the first part that differs.
        """
        now = {name: _part(source) for name, source in images.parts().items()}
        for name, noun in PARTS.items():
            was, has = self.parts.get(name), now.get(name)
            if was != has:
                raise UsageError(
                    f"the {noun} are not those that the run began with ({was or 'none'} then, "
                    f"{has or 'none'} now): put them back, or start anew with --overwrite."
                )

    def content(self) -> dict[str, Any]:
        """As `data.json` has it."""
        mean, variance = self.moments
        parts = {name: part._asdict() for name, part in self.parts.items()}
        return {**parts, "mean": mean, "variance": variance, "skipped": self.skipped}


def of(images: ImageSet) -> Fingerprint:
    """That of images with a mean and a variance."""
    assert images.mean is not None
    assert images.variance is not None
    parts = {name: _part(source) for name, source in images.parts().items()}
    return Fingerprint(parts, (images.mean, images.variance), len(images.skipped))


def read(directory: RunDirectory, overwrite: bool) -> Fingerprint | None:
    """That which an interrupted run began with; None for a new run, and an old one without it.

    Raises:
        UsageError: Where `data.json` cannot be read.
    """
    path = directory.path / DATA
    if directory.state(overwrite) is not State.INTERRUPTED or not path.is_file():
        return None
    advice = "remove it, to go on with the images as they are, or start anew with --overwrite."
    content = directory.read_json(DATA, advice)
    try:
        return _parsed(content)
    except (ValueError, TypeError, KeyError) as error:
        raise UsageError(f"{path} is damaged ({error}): {advice}") from None


def _parsed(content: Any) -> Fingerprint:
    moments = np.array([content["mean"], content["variance"]], "float64")
    if moments.shape != (2, 3) or not np.isfinite(moments).all():
        raise ValueError("mean and variance are three numbers each")
    mean, variance = map(tuple, moments.tolist())
    parts = {name: content[name] for name in PARTS if name in content}
    return Fingerprint(
        {name: Part(int(part["images"]), str(part["checksum"])) for name, part in parts.items()},
        (mean, variance),
        int(content.get("skipped", 0)),
    )


def _part(source: ImageSource) -> Part:
    return Part(len(source), f"{source.checksum:08x}")
