"""Data sets on real images: scikit-learn's digits, Tiny ImageNet's own files, folders."""

import concurrent.futures
import io
import shutil
import tarfile
import types
import urllib.error
import urllib.request
import zipfile

import numpy as np
import pytest
import scipy.io
import tensorflow as tf
from conftest import SHARED_DATA
from sklearn.datasets import load_digits

from train import data
from train.data import subsets
from train.errors import UsageError

TINY = SHARED_DATA / "tiny-imagenet-200-sample.tar.xz"


def options(dataset, **given):
    defaults = {
        "data_dir": None,
        "image_size": None,
        "train_examples": None,
        "test_examples": None,
        "validation_fraction": 0.0,
        "skip_corrupt": None,
        "batch_size": 2,
    }
    return types.SimpleNamespace(dataset=dataset, **{**defaults, **given})


def first_batch(source):
    return next(source.test_batches().as_numpy_iterator())


def test_digits():
    images = data.load(options("digits"))
    assert (len(images.train), len(images.test)) == (1437, 360)
    assert (images.classes, images.size, images.flip) == (10, 32, False)
    counts = np.bincount(images.test.labels)
    assert counts.min() >= 34
    assert counts.max() <= 38
    # Every image is one of scikit-learn's, four times as large.
    originals = {
        (d.tobytes(), int(t))
        for d, t in zip(load_digits().images, load_digits().target, strict=True)
    }
    batch, labels = first_batch(images.test)
    for image, label in zip(batch, labels, strict=True):
        small = np.round(image[::4, ::4, 0] * (16 / 255)).astype("float64")
        assert (small.tobytes(), int(label)) in originals
        np.testing.assert_array_equal(image, np.kron(image[::4, ::4], np.ones((4, 4, 1))))


def test_subset_and_held_out_part_are_the_same_every_time():
    flags = options("digits", train_examples=200, test_examples=50, validation_fraction=0.25)
    one = data.load(flags)
    data._load.cache_clear()
    two = data.load(flags)
    assert (len(one.train), len(one.validation), len(one.test)) == (150, 50, 50)
    np.testing.assert_array_equal(one.train.images, two.train.images)
    np.testing.assert_array_equal(one.validation.images, two.validation.images)
    assert one.mean == one.train.channel_moments()[0]


def test_a_batch_larger_than_the_training_set_is_refused():
    with pytest.raises(UsageError, match="--batch_size=64 is larger than the training set of 50"):
        data.load(options("digits", train_examples=50, batch_size=64))


@pytest.fixture
def folder(tmp_path, rng):
    """Two classes of images of several sizes and forms, and things that are none."""
    for part in ("train", "test"):
        for number, name in enumerate(("cat", "dog")):
            place = tmp_path / part / name
            place.mkdir(parents=True)
            for index, (height, width) in enumerate([(40, 60), (32, 32), (90, 50), (33, 47)]):
                image = np.full((height, width, 3), 100 * number + 20, "uint8")
                encode = tf.io.encode_jpeg if index % 2 else tf.io.encode_png
                suffix = "JPG" if index % 2 else "png"
                (place / f"{index}.{suffix}").write_bytes(encode(image).numpy())
            (place / "notes.txt").write_text("no image")
    (tmp_path / "README").write_text("mine")
    return tmp_path


def test_image_folder(folder):
    flags = options("image_folder", data_dir=str(folder), image_size=48)
    data.check(flags)
    images = data.load(flags)
    assert (len(images.train), len(images.test)) == (8, 8)
    assert (images.classes, images.size) == (2, 48)
    batch, labels = first_batch(images.train)
    assert batch.shape == (8, 48, 48, 3)
    np.testing.assert_allclose(batch[:, 24, 24, 0], 100 * labels + 20, atol=2)


def test_large_images_of_a_folder_are_read_while_training(folder):
    flags = options("image_folder", data_dir=str(folder), image_size=96)
    images = data.load(flags)
    batches = images.train.training_batches(4, range(2), seed=0, flip=True).as_numpy_iterator()
    shown = list(batches)
    assert len(shown) == 4
    for batch, labels in shown:
        assert batch.shape == (4, 96, 96, 3)
        np.testing.assert_allclose(batch[:, 48, 48, 0], 100 * labels + 20, atol=2)


def test_a_subset_of_a_folder_is_that_of_all_its_images(tmp_path):
    # Every image of a grey of its own.
    for grey in range(48):
        part, name = ("train", "test")[grey % 2], ("cat", "dog")[grey // 2 % 2]
        (tmp_path / part / name).mkdir(parents=True, exist_ok=True)
        image = np.full((32, 32, 3), 5 * grey, "uint8")
        tf.io.write_file(str(tmp_path / part / name / f"{grey}.png"), tf.io.encode_png(image))
    whole = data.load(options("image_folder", data_dir=str(tmp_path)))
    counts = {"train_examples": 14, "test_examples": 6}
    flags = options("image_folder", data_dir=str(tmp_path), validation_fraction=0.3, **counts)
    images = data.load(flags)
    train, held_out = subsets.hold_out(subsets.balanced(whole.train, 14, ""), 0.3)
    test = subsets.balanced(whole.test, 6, "")
    for ours, expected in zip(
        (images.train, images.validation, images.test), (train, held_out, test), strict=True
    ):
        np.testing.assert_array_equal(ours.images, expected.images)
        np.testing.assert_array_equal(ours.labels, expected.labels)


def test_a_cut_short_image_is_named_before_training(folder):
    path = folder / "test" / "dog" / "1.JPG"
    path.write_bytes(path.read_bytes()[:300])
    for size in (48, 96):
        with pytest.raises(UsageError, match=r"dog/1\.JPG is no JPEG or PNG image"):
            data.load(options("image_folder", data_dir=str(folder), image_size=size))


def spoil_missing(folder):
    shutil.rmtree(folder / "test")
    return "test is missing"


def spoil_empty(folder):
    shutil.rmtree(folder / "train")
    (folder / "train").mkdir()
    return "train is empty"


def spoil_class_without_images(folder):
    for path in (folder / "train" / "dog").glob("*.*"):
        path.rename(path.with_suffix(".txt"))
    return "dog holds no image"


def spoil_unknown_class(folder):
    (folder / "test" / "dog").rename(folder / "test" / "horse")
    return "horse is a class that"


def spoil_one_class(folder):
    shutil.rmtree(folder / "train" / "dog")
    shutil.rmtree(folder / "test" / "dog")
    return r"one class, \['cat'\]"


def spoil_other_format(folder):
    (folder / "test" / "dog" / "1.JPG").write_bytes(b"GIF89a")
    return r"dog/1\.JPG is no JPEG or PNG"


def spoil_folder_named_as_image(folder):
    (folder / "train" / "cat" / "more.png").mkdir()
    return r"cat/more\.png is no JPEG or PNG"


def spoil_dangling_link(folder):
    (folder / "train" / "cat" / "link.png").symlink_to("nowhere")
    return r"cat/link\.png is no JPEG or PNG"


@pytest.mark.parametrize(
    "spoil",
    [
        spoil_missing,
        spoil_empty,
        spoil_class_without_images,
        spoil_unknown_class,
        spoil_one_class,
        spoil_other_format,
        spoil_folder_named_as_image,
        spoil_dangling_link,
    ],
)
def test_a_spoilt_folder_is_refused(folder, spoil):
    expected = spoil(folder)
    with pytest.raises(UsageError, match=expected):
        data.check(options("image_folder", data_dir=str(folder)))


def test_no_folder_at_all_is_refused(tmp_path):
    with pytest.raises(UsageError, match="needs --data_dir"):
        data.check(options("image_folder"))
    with pytest.raises(UsageError, match="nowhere is no folder"):
        data.check(options("cifar10", data_dir=str(tmp_path / "nowhere")))


def test_an_incomplete_tiny_imagenet_is_refused_and_then_completed(tmp_path):
    root = tmp_path / "tiny-imagenet-200"
    make_tiny(root)
    (root / "train" / "n01").rename(tmp_path / "aside")
    flags = options("tiny_imagenet", data_dir=str(tmp_path))
    with pytest.raises(UsageError, match="n01/images holds no JPEG"):
        data.load(flags)
    (tmp_path / "aside").rename(root / "train" / "n01")
    check_tiny(data.load(flags), root)


@pytest.fixture(scope="module", params=["made", "real"])
def tiny_folder(request, tmp_path_factory):
    """Tiny ImageNet's layout: with a few images of noise, and a sample of the real one."""
    place = tmp_path_factory.mktemp("tiny")
    if request.param == "made":
        make_tiny(place / "tiny-imagenet-200")
        return place
    if not TINY.exists():
        pytest.skip(f"{TINY.name} is not at hand: shared data is absent")
    with tarfile.open(TINY) as archive:
        archive.extractall(place, filter="data")
    return place


def make_tiny(root):
    rng = np.random.default_rng(0)
    names = ["n03", "n01", "n02"]

    def write(path, channels):
        path.parent.mkdir(parents=True, exist_ok=True)
        image = rng.integers(0, 256, (64, 64, channels)).astype("uint8")
        path.write_bytes(tf.io.encode_jpeg(image).numpy())

    for name in names:
        for index in range(4):
            write(root / "train" / name / "images" / f"{name}_{index}.JPEG", 3 if index else 1)
        (root / "train" / name / f"{name}_boxes.txt").write_text("no image")
    annotations = [(f"val_{index}.JPEG", names[index % 3]) for index in range(6)]
    for index, (file, _) in enumerate(annotations):
        write(root / "val" / "images" / file, 3 if index else 1)
    rows = [f"{file}\t{name}\t0\t0\t9\t9\n" for file, name in annotations]
    (root / "val" / "val_annotations.txt").write_text("".join(rows))
    (root / "wnids.txt").write_text("\n".join(names))


def check_tiny(images, folder):
    names = (folder / "wnids.txt").read_text().split()
    each = 100 if len(names) == 10 else 4
    assert (images.classes, images.size, images.flip) == (len(names), 64, True)
    # Validation images keep the class of their annotation, greyscale ones too.
    annotations = [
        line.split("\t")[:2]
        for line in (folder / "val/val_annotations.txt").read_text().splitlines()
    ]
    expected = sorted(
        (names.index(name), decoded(folder / "val" / "images" / file).tobytes())
        for file, name in annotations
    )
    found = sorted(
        (int(label), image.tobytes())
        for image, label in zip(images.test.images, images.test.labels, strict=True)
    )
    assert found == expected
    np.testing.assert_array_equal(np.bincount(images.train.labels), [each] * len(names))
    first = images.train.images[images.train.labels == 0]
    originals = (folder / "train" / names[0] / "images").iterdir()
    assert {image.tobytes() for image in first} == {decoded(p).tobytes() for p in originals}


def decoded(path):
    return tf.io.decode_jpeg(path.read_bytes(), channels=3).numpy()


def test_tiny_imagenet_from_its_folder(tiny_folder):
    flags = options("tiny_imagenet", data_dir=str(tiny_folder))
    check_tiny(data.load(flags), tiny_folder / "tiny-imagenet-200")
    # Prepared now, so that the folder is needed no more.
    (tiny_folder / "tiny-imagenet-200").rename(tiny_folder / "elsewhere")
    data._load.cache_clear()
    check_tiny(data.load(flags), tiny_folder / "elsewhere")
    (tiny_folder / "elsewhere").rename(tiny_folder / "tiny-imagenet-200")


def test_tiny_imagenet_from_its_archive(tiny_folder, tmp_path, capsys):
    root = tiny_folder / "tiny-imagenet-200"
    with zipfile.ZipFile(tmp_path / "tiny-imagenet-200.zip", "w") as archive:
        for path in root.rglob("*"):
            archive.write(path, path.relative_to(tiny_folder))
    images = data.load(options("tiny_imagenet", data_dir=str(tmp_path)))
    check_tiny(images, root)
    assert capsys.readouterr().out == f"Preparing tiny_imagenet in {tmp_path}\n"


@pytest.mark.parametrize(
    "name", ["cifar10", "cifar100", "fashion_mnist", "mnist", "svhn_cropped", "tiny_imagenet"]
)
def test_a_data_set_that_cannot_be_had_is_one_sentence(name, tmp_path, monkeypatch):
    def no_network(*args, **kwargs):
        raise urllib.error.URLError("no route\nto host")

    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    for place in (tmp_path, tmp_path / "new"):
        with pytest.raises(UsageError) as error:
            data.load(options(name, data_dir=str(place)))
        message = str(error.value)
        assert "\n" not in message
        assert str(place) in message
        assert "no route to host" in message
        assert list(tmp_path.iterdir()) == []


def test_imagenet_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"ILSVRC2012_img_train\.tar and .*/downloads/manual"):
        data.check(options("imagenet2012", data_dir=str(tmp_path)))


def test_half_a_download_is_removed_and_a_whole_one_kept(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    downloads = tmp_path / "downloads"

    def break_off(*args, **kwargs):
        (downloads / "cifar10" / "archive.tar.gz.tmp.0").mkdir(parents=True)
        (downloads / "cifar10" / "archive.tar.gz.tmp.0" / "half").write_text("half")
        (downloads / "cifar10" / "labels.txt").write_text("whole")
        raise ConnectionError("broken off")

    monkeypatch.setattr(urllib.request, "urlopen", lambda *args, **kwargs: io.BytesIO())
    monkeypatch.setattr(tfds.download.DownloadManager, "download_and_extract", break_off)
    (tmp_path / "mine").mkdir()
    with pytest.raises(UsageError, match="broken off"):
        data.load(options("cifar10", data_dir=str(tmp_path)))
    kept = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    assert kept == {"mine", "downloads", "downloads/cifar10", "downloads/cifar10/labels.txt"}


# Files, images a file and label bytes of the archives' own layout.
CIFAR = {
    "cifar10": ("cifar-10-batches-bin", [f"data_batch_{i}.bin" for i in range(1, 6)], 10),
    "cifar100": ("cifar-100-binary", ["train.bin"], 100),
}


@pytest.fixture
def cifar_archive(tmp_path, monkeypatch, rng):
    """Has `download_and_extract` give a made archive: files' images, and how often it did."""
    import tensorflow_datasets as tfds

    calls = []

    def extract(*_):
        calls.append(None)
        return tmp_path / "archive"

    monkeypatch.setattr(urllib.request, "urlopen", lambda *args, **kwargs: io.BytesIO())
    monkeypatch.setattr(tfds.download.DownloadManager, "download_and_extract", extract)
    return lambda name: (write_cifar(tmp_path / "archive", name, rng), calls)


def write_cifar(archive, name, rng):
    """Writes a data set's archive as it was published, with six images a file."""
    folder, train_files, classes = CIFAR[name]
    written = {}
    place = archive / folder
    place.mkdir(parents=True)
    for file in [*train_files, "test_batch.bin" if name == "cifar10" else "test.bin"]:
        images = rng.integers(0, 256, (6, 3, 32, 32)).astype("uint8")
        labels = rng.integers(0, classes, 6).astype("uint8")
        coarse = [] if name == "cifar10" else [0]
        rows = [[*coarse, y, *x.ravel()] for x, y in zip(images, labels, strict=True)]
        (place / file).write_bytes(np.array(rows, "uint8").tobytes())
        written[file] = {
            (int(y), x.transpose(1, 2, 0).tobytes()) for x, y in zip(images, labels, strict=True)
        }
    for file in ("batches.meta.txt", "fine_label_names.txt"):
        (place / file).write_text("".join(f"class{i}\n" for i in range(classes)))
    (place / "coarse_label_names.txt").write_text("".join(f"coarse{i}\n" for i in range(20)))
    return written


@pytest.mark.parametrize("name", CIFAR)
def test_cifar_from_its_archive(name, tmp_path, cifar_archive, capsys):
    written, _ = cifar_archive(name)
    _, train_files, classes = CIFAR[name]
    images = data.load(options(name, data_dir=str(tmp_path)))
    assert capsys.readouterr().out == f"Downloading and preparing {name} in {tmp_path}\n"
    data._load.cache_clear()
    data.load(options(name, data_dir=str(tmp_path)))
    assert capsys.readouterr().out == ""
    assert (images.classes, images.size, images.flip) == (classes, 32, True)
    *_, test_file = written
    read = {
        (int(y), x.tobytes()) for x, y in zip(images.test.images, images.test.labels, strict=True)
    }
    assert read == written[test_file]
    read = {
        (int(y), x.tobytes()) for x, y in zip(images.train.images, images.train.labels, strict=True)
    }
    assert read == set().union(*(written[file] for file in train_files))


def gray_archive(folder, rng):
    """MNIST's four files, as TensorFlow Datasets unpacks them, of six images a part."""
    given, written = {}, {}
    for part in ("train", "test"):
        images = rng.integers(0, 256, (6, 28, 28)).astype("uint8")
        labels = rng.integers(0, 10, 6).astype("uint8")
        for kind, head, values in (("data", 16, images), ("labels", 8, labels)):
            given[f"{part}_{kind}"] = folder / f"{part}_{kind}"
            given[f"{part}_{kind}"].write_bytes(bytes(head) + values.tobytes())
        written[part] = images, labels
    return given, written


@pytest.mark.parametrize(("name", "flip"), [("mnist", False), ("fashion_mnist", True)])
def test_grey_images_stand_in_a_black_frame(name, flip, tmp_path, monkeypatch, rng):
    import tensorflow_datasets as tfds
    from tensorflow_datasets.image_classification import mnist

    given, written = gray_archive(tmp_path, rng)
    monkeypatch.setattr(urllib.request, "urlopen", lambda *args, **kwargs: io.BytesIO())
    monkeypatch.setattr(tfds.download.DownloadManager, "download_and_extract", lambda *_: given)
    for constant in ("_TRAIN_EXAMPLES", "_TEST_EXAMPLES"):
        monkeypatch.setattr(mnist, constant, 6)
    images = data.load(options(name, data_dir=str(tmp_path / "new")))
    assert (images.classes, images.size, images.flip) == (10, 32, flip)
    for part, source in (("train", images.train), ("test", images.test)):
        expected, labels = written[part]
        framed = np.pad(expected, [(0, 0), (2, 2), (2, 2)])
        found = {(int(y), x.tobytes()) for x, y in zip(source.images, source.labels, strict=True)}
        assert found == {
            (int(y), np.stack([x] * 3, axis=-1).tobytes())
            for x, y in zip(framed, labels, strict=True)
        }


def test_house_numbers_from_their_files(tmp_path, monkeypatch, rng):
    import tensorflow_datasets as tfds

    given, written = {}, {}
    for part in ("train", "test", "extra"):
        images = rng.integers(0, 256, (32, 32, 3, 5)).astype("uint8")
        # Its zero is ten.
        labels = np.array([[10], [1], [2], [9], [10]], "uint8")
        given[part] = tmp_path / f"{part}.mat"
        scipy.io.savemat(given[part], {"X": images, "y": labels})
        written[part] = {(int(y) % 10, images[..., i].tobytes()) for i, (y,) in enumerate(labels)}
    monkeypatch.setattr(urllib.request, "urlopen", lambda *args, **kwargs: io.BytesIO())
    monkeypatch.setattr(tfds.download.DownloadManager, "download", lambda *_: given)
    images = data.load(options("svhn_cropped", data_dir=str(tmp_path / "new")))
    assert (images.classes, images.size, images.flip) == (10, 32, False)
    for part, source in (("train", images.train), ("test", images.test)):
        pairs = zip(source.images, source.labels, strict=True)
        assert {(int(y), x.tobytes()) for x, y in pairs} == written[part]


def test_of_runs_that_start_at_once_one_prepares_a_data_set(tmp_path, cifar_archive):
    _, prepared = cifar_archive("cifar10")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        loaded = [
            pool.submit(data.load, options("cifar10", data_dir=str(tmp_path / "new")))
            for _ in range(3)
        ]
    assert [len(result.result().train.labels) for result in loaded] == [30, 30, 30]
    assert len(prepared) == 1


def add(archive, name, content):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


@pytest.fixture
def imagenet(tmp_path):
    """ImageNet's own archives, with 20 images of each of two classes."""
    manual = tmp_path / "downloads" / "manual"
    manual.mkdir(parents=True)
    wnids = ["n01440764", "n01443537"]

    def image(value):
        return tf.io.encode_jpeg(np.full((70, 90, 3), value, "uint8")).numpy()

    with tarfile.open(manual / "ILSVRC2012_img_train.tar", "w") as train:
        for number, wnid in enumerate(wnids):
            inner = io.BytesIO()
            with tarfile.open(fileobj=inner, mode="w") as archive:
                for index in range(20):
                    add(archive, f"{wnid}_{index}.JPEG", image(40 + 100 * number))
            add(train, f"{wnid}.tar", inner.getvalue())
    with tarfile.open(manual / "ILSVRC2012_img_val.tar", "w") as validation:
        for index in range(1, 4):
            add(validation, f"ILSVRC2012_val_{index:08}.JPEG", image(90))
    return tmp_path


def test_imagenet_from_its_archives(imagenet):
    flags = options("imagenet2012", data_dir=str(imagenet))
    data.check(flags)
    images = data.load(flags)
    assert (images.classes, images.size, len(images.train)) == (1000, 224, 40)
    assert images.mean[0] == pytest.approx(123.675)
    np.testing.assert_array_equal(np.bincount(images.train.labels), [20, 20])
    epochs = list(images.train.training_batches(8, range(2), 0, flip=True).as_numpy_iterator())
    assert len(epochs) == 10
    for batch, labels in epochs:
        assert batch.shape == (8, 224, 224, 3)
        np.testing.assert_allclose(batch[:, 100, 100, 0], 40 + 100 * labels, atol=2)
    for epochs_left, skipped, left in ((range(1, 2), 0, 5), (range(2), 3, 7)):
        again = images.train.training_batches(8, epochs_left, 0, flip=True, skipped=skipped)
        for expected, actual in zip(epochs[-left:], again.as_numpy_iterator(), strict=True):
            np.testing.assert_array_equal(actual[1], expected[1])
            np.testing.assert_array_equal(actual[0], expected[0])
    (record, *_) = sorted(imagenet.rglob("*-train.tfrecord*"))
    content = bytearray(record.read_bytes())
    content[len(content) // 2] ^= 1
    record.write_bytes(content)
    with pytest.raises(UsageError, match="can no longer be read"), data.reading(images):
        list(images.train.training_batches(8, range(1), 0, flip=True))


@pytest.mark.parametrize("memory_examples", [2, 100])
def test_part_of_imagenet(imagenet, memory_examples, monkeypatch):
    # Both ways to take a part: skipping the other records, and holding it in memory.
    monkeypatch.setattr("train.data.streamed.MEMORY_EXAMPLES", memory_examples)
    flags = options("imagenet2012", data_dir=str(imagenet), train_examples=4)
    images = data.load(flags)
    np.testing.assert_array_equal(np.bincount(images.train.labels), [2, 2])
    flags = options("imagenet2012", data_dir=str(imagenet), validation_fraction=0.2)
    images = data.load(flags)
    np.testing.assert_array_equal(np.bincount(images.validation.labels), [4, 4])
    np.testing.assert_array_equal(np.bincount(images.train.labels), [16, 16])
    both = [images.train, images.validation]
    assert sum(len(labels) for part in both for _, labels in part.test_batches()) == 40
    for batch, labels in images.validation.test_batches().as_numpy_iterator():
        np.testing.assert_allclose(batch[:, 100, 100, 0], 40 + 100 * labels, atol=2)
