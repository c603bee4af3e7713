"""Images that are not as they should be: each read rightly, or one sentence before training."""

import shutil
import stat
import zipfile

import pytest
from test_datasets import make_tiny, options

from train import data
from train.errors import UsageError

TINY = "tiny-imagenet-200"


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
