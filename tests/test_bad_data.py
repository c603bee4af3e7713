"""Images that are not as they should be: each read rightly, or one sentence before training."""

import os
import shutil
import stat
import subprocess
import sys
import time
import zipfile
import zlib

import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT
from digit_images import SMALL, write_folder
from PIL import Image
from test_datasets import make_tiny, options

from train import data, native_messages
from train.data.sets import image_folder
from train.errors import UsageError

TINY = "tiny-imagenet-200"
# In memory, and read while training.
SIZES = (48, 96)
COLOUR = (200, 40, 90)
NOT_ROOT = pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")


@pytest.fixture
def folder(tmp_path):
    """Two images of each of two classes."""
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / "data" / part / name).mkdir(parents=True)
            for number in range(2):
                image = Image.new("RGB", (40, 50), COLOUR)
                image.save(tmp_path / "data" / part / name / f"{number}.png")
    return tmp_path / "data"


@pytest.fixture(autouse=True)
def _read_anew():
    image_folder.class_files.cache_clear()
    data._load.cache_clear()


def read(folder, **flags):
    given = options("image_folder", data_dir=str(folder), **flags)
    data.check(given)
    return data.load(given)


def pixels_of(source):
    return np.concatenate([np.asarray(images) for images, _ in source.test_batches()])


def filled(mode, colour):
    return lambda path: Image.new(mode, (60, 50), colour).save(path)


def cmyk(path):
    Image.new("RGB", (60, 50), COLOUR).convert("CMYK").save(path, quality=95)


def palette_with_transparency(path):
    image = Image.new("RGB", (60, 50), COLOUR).quantize(4)
    image.save(path, transparency=bytes([128, 255, 0, 255]))


def encoded_png(value, dtype):
    image = np.broadcast_to(np.array(value, dtype), (60, 50, np.size(value)))
    return lambda path: path.write_bytes(tf.io.encode_png(image).numpy())


def one_pixel(path):
    Image.new("RGB", (1, 1), COLOUR).save(path)


def linked(path):
    place = path.parents[3] / "elsewhere.png"
    Image.new("RGB", (60, 50), COLOUR).save(place)
    path.symlink_to(place)


def with_a_comment_that_is_none(path):
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x05broken"
    Image.new("RGB", (60, 50), COLOUR).save(path, exif=exif, quality=95)


GREY = (131, 131, 131)
READ = {
    "CMYK": ("x.jpg", cmyk, COLOUR),
    "grey": ("x.jpg", filled("L", 131), GREY),
    "one bit": ("x.png", filled("1", 1), (255, 255, 255)),
    "transparent": ("x.png", filled("RGBA", (*COLOUR, 7)), COLOUR),
    "grey and transparent": ("x.png", filled("LA", (131, 7)), GREY),
    "palette": ("x.png", palette_with_transparency, COLOUR),
    "16 bits, grey": ("x.png", encoded_png([131 * 257], "uint16"), GREY),
    "16 bits": ("x.png", encoded_png([257 * c for c in COLOUR], "uint16"), COLOUR),
    "one pixel": ("x.png", one_pixel, COLOUR),
    "a link": ("x.png", linked, COLOUR),
    "damaged Exif": ("x.jpg", with_a_comment_that_is_none, COLOUR),
    "capitals": ("X.JPEG", lambda path: Image.new("RGB", (60, 50), COLOUR).save(path), COLOUR),
    "a PNG named JPEG": ("x.jpg", encoded_png(COLOUR, "uint8"), COLOUR),
    "any script": (" 猫 кот\u00a0🐈.png", filled("RGB", COLOUR), COLOUR),
    "name of a pattern": ("[a-b]*?%s;.png", filled("RGB", COLOUR), COLOUR),
    "name that is no text": (os.fsdecode(b"\xff\xfe.png"), filled("RGB", COLOUR), COLOUR),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("name", "write", "colour"), READ.values(), ids=READ)
def test_an_odd_image_is_read_rightly(name, write, colour, size, folder):
    # The last of the first class.
    shutil.copytree(folder / "train" / "cat", folder / "train" / "a b 猫")
    write(folder / "train" / "a b 猫" / f"x{name}")
    images = read(folder, image_size=size)
    assert len(images.train) == 7
    shown = pixels_of(images.train)[2].reshape(-1, 3)
    np.testing.assert_allclose(shown, np.broadcast_to(colour, shown.shape), atol=3)


def text(path):
    path.write_text("no image")


def nothing(path):
    path.touch()


def cut_short_jpeg(path):
    noise = np.random.default_rng(0).integers(0, 256, (60, 50, 3)).astype("uint8")
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:-1000])


def cut_short_png(path):
    cut_short_jpeg(path)


def spoilt_png(path):
    Image.new("RGB", (60, 50), COLOUR).save(path)
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 6] ^= 255
    path.write_bytes(content)


def bomb(path):
    """A PNG of 60,000 x 60,000 pixels, which says so and has none."""
    content = b"\x89PNG\r\n\x1a\n"
    header = (60_000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")):
        content += len(body).to_bytes(4, "big") + kind + body
        content += zlib.crc32(kind + body).to_bytes(4, "big")
    path.write_bytes(content)


def of_format(name):
    return lambda path: Image.new("RGB", (60, 50), COLOUR).save(path, name)


NO_IMAGE = "is no JPEG or PNG image"
REFUSED = {
    "text": ("x.jpg", text, NO_IMAGE),
    "nothing": ("x.png", nothing, NO_IMAGE),
    "JPEG, cut short": ("x.jpg", cut_short_jpeg, NO_IMAGE),
    "PNG, cut short": ("x.png", cut_short_png, NO_IMAGE),
    "PNG, spoilt": ("x.png", spoilt_png, NO_IMAGE),
    "bomb": ("x.png", bomb, "has more pixels than are read, 178,956,970"),
    "GIF": ("x.gif", of_format("GIF"), NO_IMAGE),
    "GIF named JPEG": ("x.jpg", of_format("GIF"), NO_IMAGE),
    "WebP": ("x.webp", of_format("WebP"), NO_IMAGE),
    "WebP named JPEG": ("x.jpg", of_format("WebP"), NO_IMAGE),
    "TIFF": ("x.tif", of_format("TIFF"), NO_IMAGE),
    "BMP named PNG": ("x.png", of_format("BMP"), NO_IMAGE),
    "broken link": ("x.png", lambda path: path.symlink_to("nowhere"), NO_IMAGE),
    "loop of links": ("x.png", lambda path: path.symlink_to(path), NO_IMAGE),
    "folder": ("x.png", lambda path: path.mkdir(), NO_IMAGE),
    "name that is no text": (os.fsdecode(b"x\xff.jpg"), text, NO_IMAGE),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("name", "write", "expected"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_image_is_named_before_training(name, write, expected, size, folder):
    path = folder / "train" / "cat" / name
    write(path)
    with pytest.raises(UsageError) as error:
        read(folder, image_size=size)
    assert str(error.value).startswith(f"{path} {expected}")
    assert "\n" not in str(error.value)


def empty_class(folder):
    (folder / "train" / "empty").mkdir()
    return "train/empty holds no image"


def loop_as_class(folder):
    (folder / "train" / "loop").symlink_to(folder / "train")
    return "train/loop holds no image"


def loop_as_part(folder):
    shutil.rmtree(folder / "test")
    (folder / "test").symlink_to(folder / "test")
    return "test is missing"


def class_of_test_alone(folder):
    shutil.copytree(folder / "test" / "dog", folder / "test" / "horse")
    return "test/horse is a class that .*train does not have"


def one_class(folder):
    for part in ("train", "test"):
        shutil.rmtree(folder / part / "dog")
    return "train holds one class"


def unreadable_file(folder):
    (folder / "train" / "cat" / "0.png").chmod(0)
    return "Permission denied.*cat/0.png"


def unreadable_class(folder):
    (folder / "train" / "cat").chmod(0)
    return "Permission denied.*train/cat"


@pytest.mark.parametrize(
    "spoil",
    [
        empty_class,
        loop_as_class,
        loop_as_part,
        class_of_test_alone,
        one_class,
        pytest.param(unreadable_file, marks=NOT_ROOT),
        pytest.param(unreadable_class, marks=NOT_ROOT),
    ],
    ids=lambda spoil: spoil.__name__,
)
@pytest.mark.parametrize("skip_corrupt", [None, True])
def test_a_folder_that_is_not_of_the_form_is_refused(spoil, skip_corrupt, folder):
    expected = spoil(folder)
    try:
        with pytest.raises(UsageError, match=expected) as error:
            read(folder, skip_corrupt=skip_corrupt)
    finally:
        if expected.startswith("Permission"):
            (folder / "train" / "cat").chmod(0o700)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("size", SIZES)
def test_corrupt_images_are_skipped_where_asked_to(size, folder):
    for number, (name, write, _) in enumerate(REFUSED.values()):
        write(folder / "train" / "cat" / f"{number}{name}")
    text(folder / "test" / "dog" / "a.jpg")
    images = read(folder, image_size=size, skip_corrupt=True, train_examples=4)
    assert len(images.skipped) == len(REFUSED) + 1
    assert images.skipped[0].startswith(str(folder / "train" / "cat"))
    assert images.skipped[-1] == str(folder / "test" / "dog" / "a.jpg")
    for source in (images.train, images.test):
        np.testing.assert_array_equal(source.labels, [0, 0, 1, 1])
        shown = pixels_of(source).reshape(-1, 3)
        np.testing.assert_allclose(shown, np.broadcast_to(COLOUR, shown.shape), atol=1)
    # What is asked for is counted without them.
    with pytest.raises(UsageError, match="--train_examples=5: there are 4"):
        read(folder, image_size=size, skip_corrupt=True, train_examples=5)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("write", [text, cut_short_jpeg])
def test_a_class_left_without_an_image_is_refused(write, size, folder):
    for path in (folder / "test" / "dog").iterdir():
        write(path)
    with pytest.raises(UsageError, match=r"no image of .*/test/dog can be read"):
        read(folder, image_size=size, skip_corrupt=True)


@pytest.mark.runs
def test_a_run_says_what_it_skips(train, tmp_path):
    folder = write_folder(tmp_path / "images")
    cut_short_jpeg(folder / "train" / "digit1" / "a.jpg")
    text(folder / "test" / "digit1" / "b.jpg")
    run_dir = tmp_path / "run"
    flags = ["--dataset=image_folder", f"--data_dir={folder}", "--epochs=1", "--export=none"]
    process = train(*SMALL, *flags, "--skip_corrupt", f"--run_dir={run_dir}")
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    first = folder / "train" / "digit1" / "a.jpg"
    said = f"2 images that cannot be read are skipped, the first: {first}\n"
    assert said in process.stdout
    assert '"skipped": 2' in (run_dir / "data.json").read_text()


@pytest.mark.runs
def test_a_folder_that_is_pulled_away_is_put_back_and_the_run_goes_on(tmp_path):
    folder = write_folder(tmp_path / "images")
    run_dir = tmp_path / "run"
    command = [sys.executable, "-m", "train.run", *SMALL, "--dataset=image_folder"]
    command += [f"--data_dir={folder}", "--image_size=96", "--export=none", "--batch_size=4"]
    command += ["--epochs=5", "--learning_rate=0.001", f"--run_dir={run_dir}"]
    environment = {k: v for k, v in os.environ.items() if k != native_messages.LOG_LEVEL}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    pipes |= {"cwd": ROOT, "env": environment}
    process = subprocess.Popen(command, **pipes)
    while process.poll() is None and not (run_dir / "history.csv").exists():
        time.sleep(0.01)
    folder.rename(tmp_path / "away")
    _, said = process.communicate(timeout=300)
    assert process.returncode == 2, said
    assert said.startswith(f"train.run: the images in {folder} can no longer be read: put them")
    assert said.count("\n") == 1
    (tmp_path / "away").rename(folder)
    process = subprocess.run(command, **pipes)
    assert process.returncode == 0, process.stderr
    assert "Going on after epoch" in process.stdout


def test_an_image_that_is_spoilt_meanwhile_is_named(folder):
    images = read(folder, image_size=SIZES[1])
    spoilt = next((folder / "train").glob("*/*"))
    with data.reading(images):
        list(images.train.training_batches(2, range(1), 0, flip=False))
    spoilt.write_text("no image any more")
    with pytest.raises(UsageError, match="can no longer be read") as raised, data.reading(images):
        list(images.train.training_batches(2, range(1), 0, flip=False))
    assert str(spoilt) in str(raised.value)
    assert "put them back as they were, and the same command" in str(raised.value)


def unnamed_class(root):
    shutil.copytree(root / "train" / "n01", root / "train" / "n05")
    return r"wnids\.txt lacks n05, a class that train/ has"


def class_without_folder(root):
    (root / "wnids.txt").write_text("n03\nn01\nn02\nn07\n")
    return r"train/n07/images holds no JPEG file, and wnids\.txt names"


def class_without_images(root):
    shutil.rmtree(root / "train" / "n02" / "images")
    return r"train/n02/images holds no JPEG file"


def missing_validation_file(root):
    (root / "val" / "images" / "val_3.JPEG").unlink()
    return r"val_annotations\.txt names val_3\.JPEG, which val/images lacks"


def unknown_validation_class(root):
    path = root / "val" / "val_annotations.txt"
    path.write_text(path.read_text().replace("val_4.JPEG\tn01", "val_4.JPEG\tn09"))
    return r"gives val_4\.JPEG the class n09, which wnids\.txt lacks"


def line_without_a_class(root):
    (root / "val" / "val_annotations.txt").write_text("val_0.JPEG\n")
    return r"gives val_0\.JPEG the class of no name"


def no_annotations(root):
    (root / "val" / "val_annotations.txt").unlink()
    return r"No such file or directory.*val_annotations\.txt"


def no_class_list(root):
    (root / "wnids.txt").unlink()
    return r"No such file or directory.*wnids\.txt"


@pytest.mark.parametrize(
    "spoil",
    [
        unnamed_class,
        class_without_folder,
        class_without_images,
        missing_validation_file,
        unknown_validation_class,
        line_without_a_class,
        no_annotations,
        no_class_list,
    ],
    ids=lambda spoil: spoil.__name__,
)
def test_a_spoilt_tiny_imagenet_is_refused(spoil, tmp_path):
    make_tiny(tmp_path / TINY)
    expected = spoil(tmp_path / TINY)
    with pytest.raises(UsageError, match=expected) as error:
        data.load(options("tiny_imagenet", data_dir=str(tmp_path)))
    assert "\n" not in str(error.value)
    assert str(tmp_path) in str(error.value)
    # Nothing half-prepared.
    assert [entry.name for entry in tmp_path.iterdir()] == [TINY]


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-100])
    return "is damaged"


def not_a_zip(path):
    path.write_bytes(b"<html>Not found</html>")
    return "is damaged"


def changed_inside(path):
    content = bytearray(path.read_bytes())
    content[content.index(b"val_annotations.txt") + 40] ^= 255
    path.write_bytes(content)
    return r"is damaged, at .*val_annotations\.txt"


def climbing_member(path):
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"{TINY}/../../outside.txt", "outside")
    return r"holds .*\.\./\.\./outside\.txt, which leads out"


def absolute_member(path):
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(zipfile.ZipInfo(str(path.parent / "outside.txt")), "outside")
    return r"holds /.*/outside\.txt, which leads out"


def link(path):
    member = zipfile.ZipInfo(f"{TINY}/link")
    member.create_system, member.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(member, "/etc")
    return r"holds tiny-imagenet-200/link, which leads out"


@pytest.mark.parametrize(
    "spoil",
    [cut_short, not_a_zip, changed_inside, climbing_member, absolute_member, link],
    ids=lambda spoil: spoil.__name__,
)
def test_a_spoilt_archive_is_refused(spoil, tmp_path):
    make_tiny(tmp_path / TINY)
    place = tmp_path / "data"
    place.mkdir()
    path = place / f"{TINY}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted((tmp_path / TINY).rglob("*")):
            archive.write(file, file.relative_to(tmp_path))
    expected = spoil(path)
    with pytest.raises(UsageError, match=expected) as error:
        data.load(options("tiny_imagenet", data_dir=str(place)))
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    assert {entry.name for entry in tmp_path.rglob("*")} >= {path.name}
    assert [entry.name for entry in place.iterdir()] == [path.name]
    assert not list(tmp_path.rglob("outside.txt"))
