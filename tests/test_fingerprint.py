"""A run that goes on is told whether its images are those that it began with."""

import json
import os
import shutil
import zlib

import numpy as np
import pytest
from digit_images import SMALL, write_folder

from train import data, options
from train.data import fingerprint
from train.data.image_set import ImageSet
from train.data.images import ArraySource
from train.data.streamed import EncodedSource
from train.errors import UsageError
from train.run_directory import RunDirectory


@pytest.fixture
def source(rng):
    pixels = rng.integers(0, 256, (600, 4, 4, 3)).astype("uint8")
    return ArraySource(pixels, np.arange(600) % 3)


def test_the_checksum_of_images_in_memory_is_of_labels_and_pixels(source):
    expected = zlib.crc32(source.labels.astype("<i4").tobytes() + source.images.tobytes())
    assert source.checksum == expected
    changed = source.images.copy()
    changed[599, 3, 3, 2] ^= 1
    labels = source.labels.copy()
    labels[[0, 1]] = labels[[1, 0]]
    others = [ArraySource(changed, source.labels), ArraySource(source.images, labels)]
    others.append(source.take(np.arange(599)))
    assert len({expected, *(other.checksum for other in others)}) == 4


def test_the_checksum_of_files_is_of_labels_names_and_sizes(tmp_path):
    names = np.array([b"a/1.png", "ü/2 .png".encode()], object)
    folder = tmp_path / "here"
    for name in names:
        path = folder / os.fsdecode(name)
        path.parent.mkdir(parents=True)
        path.write_bytes(b"12345")

    def checksum(names, labels, folder):
        return EncodedSource(names, np.array(labels), 96, folder).checksum

    first = checksum(names, [0, 1], folder)
    # Copied elsewhere, with other times: the same images.
    shutil.copytree(folder, tmp_path / "there", copy_function=shutil.copy)
    shutil.rmtree(folder)
    folder = tmp_path / "there"
    assert checksum(names, [0, 1], folder) == first
    assert checksum(names, [0, 0], folder) != first
    assert checksum(names[::-1], [0, 1], folder) != first
    (folder / "a/1.png").write_bytes(b"1234")
    assert checksum(names, [0, 1], folder) != first


def begun(path, content, flags="--a=b\n"):
    """A directory of an interrupted run, whose `data.json` holds this."""
    path.mkdir()
    (path / "flags.txt").write_text(flags)
    if content is not None:
        (path / "data.json").write_text(content)
    return RunDirectory(path, flags)


def test_what_is_written_is_read_again(source, tmp_path):
    images = ImageSet(source, source, 3, 4, False, None, ("a", "b"), *source.channel_moments())
    written = fingerprint.of(images)
    directory = begun(tmp_path / "run", json.dumps(written.content()))
    assert fingerprint.read(directory, overwrite=False) == written
    written.check(images)
    assert fingerprint.read(directory, overwrite=True) is None
    assert fingerprint.read(begun(tmp_path / "old", None), overwrite=False) is None


@pytest.mark.parametrize("part", ["train", "test", "validation"])
def test_another_part_is_named(part, source):
    images = ImageSet(source, source, 3, 4, False, source, (), *source.channel_moments())
    known = fingerprint.of(images)
    others = {"train": images.train, "test": images.test, "validation": images.validation}
    others[part] = source.take(np.arange(500))
    changed = ImageSet(classes=3, size=4, flip=False, **others)
    with pytest.raises(UsageError, match=f"{fingerprint.PARTS[part]}.*600 with.*500 with.*put"):
        known.check(changed)
    if part == "validation":
        with pytest.raises(UsageError, match="none now"):
            known.check(ImageSet(source, source, 3, 4, False))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "\0\xff",
        '{"mean": [1, 2, 3]}',
        '{"mean": [1, 2, 3], "variance": [1, 2]}',
        '{"mean": [1, 2, NaN], "variance": [1, 2, 3]}',
        '{"mean": [1, 2, 3], "variance": [1, 2, 3], "train": {"images": "x", "checksum": ""}}',
        '{"mean": [1, 2, 3], "variance": [1, 2, 3], "train": 7}',
    ],
)
def test_a_garbled_file_is_one_sentence(content, tmp_path):
    with pytest.raises(UsageError, match=r"data\.json is damaged \(.*remove it") as error:
        fingerprint.read(begun(tmp_path / "run", content), overwrite=False)
    assert "\n" not in str(error.value)


def test_a_run_that_goes_on_measures_no_moments(monkeypatch):
    flags = options.parse(["--train_examples=200", "--batch_size=32"])
    known = fingerprint.of(data.load(flags))
    monkeypatch.setattr(ArraySource, "channel_moments", None)
    images = data.load(flags, known)
    assert (images.mean, images.variance) == known.moments
    with pytest.raises(UsageError, match=r"images to train on are not those.*200.*150"):
        data.load(options.parse(["--train_examples=150", "--batch_size=32"]), known)


@pytest.mark.runs
def test_images_that_change_under_a_run_are_refused_and_put_back(train, tmp_path):
    folder = write_folder(tmp_path / "images")
    run_dir = tmp_path / "run"
    command = [*SMALL, "--dataset=image_folder", f"--data_dir={folder}", f"--run_dir={run_dir}"]
    command += ["--epochs=1", "--export=none", "--deterministic"]
    assert train(*command).returncode == 0
    known = (run_dir / "data.json").read_bytes()
    losses = (run_dir / "history.csv").read_bytes()
    # As if it had not come to its end.
    (run_dir / "summary.json").unlink()
    changed, aside = folder / "train" / "digit1" / "1.png", tmp_path / "aside.png"
    changed.rename(aside)
    shutil.copy(folder / "train" / "digit1" / "11.png", changed)
    refused = train(*command)
    assert refused.returncode == 2
    assert refused.stderr.startswith("train.run: the images to train on are not those")
    assert refused.stderr.count("\n") == 1
    aside.rename(changed)
    for missing in (False, True):
        if missing:
            # Of a version that wrote none.
            (run_dir / "data.json").unlink()
            (run_dir / "summary.json").unlink()
        process = train(*command)
        assert process.returncode == 0, process.stderr
        assert (run_dir / "data.json").read_bytes() == known
        assert (run_dir / "history.csv").read_bytes() == losses
