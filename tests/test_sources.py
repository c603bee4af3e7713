import gc
import sys
import weakref

import numpy as np
import pytest
import tensorflow as tf

from train.data import images, subsets
from train.data import tensorflow as drawing
from train.data.image_set import moments
from train.data.images import ArraySource
from train.data.streamed import EncodedSource
from train.errors import UsageError

COUNT, BATCH = 50, 8


@pytest.fixture
def arrays(rng):
    # The label is written into the image, so that a batch shows which images it holds.
    images = rng.integers(0, 256, (COUNT, 16, 16, 3)).astype("uint8")
    labels = np.arange(COUNT)
    images[:, 4:12, 4:12] = labels[:, None, None, None]
    return ArraySource(images, labels)


@pytest.fixture
def encoded(arrays):
    items = np.array([tf.io.encode_png(image).numpy() for image in arrays.images], object)
    return EncodedSource(items, arrays.labels, 16)


def batches(source, epochs, seed=0):
    dataset = source.training_batches(BATCH, epochs, seed, flip=True)
    return [(images.copy(), labels.copy()) for images, labels in dataset.as_numpy_iterator()]


@pytest.mark.parametrize("kind", ["arrays", "encoded"])
class TestEverySource:
    @pytest.fixture
    def source(self, kind, request):
        return request.getfixturevalue(kind)

    def test_an_epoch_shows_images_once_with_their_labels(self, source, kind):
        (images, labels), *_ = epoch = batches(source, range(1))
        assert images.shape == (BATCH, 16, 16, 3)
        assert images.dtype == np.uint8
        assert len(epoch) == COUNT // BATCH
        shown = np.concatenate([labels for _, labels in epoch])
        assert len(set(shown)) == len(shown)
        if kind == "arrays":
            np.testing.assert_array_equal(images[:, 8, 8, 0], labels)

    def test_training_goes_on_in_the_middle(self, source):
        whole, rest = batches(source, range(3)), batches(source, range(1, 3))
        for expected, actual in zip(whole[COUNT // BATCH :], rest, strict=True):
            np.testing.assert_array_equal(actual[0], expected[0])
            np.testing.assert_array_equal(actual[1], expected[1])

    def test_epochs_and_seeds_differ(self, source):
        steps = COUNT // BATCH
        two, other = batches(source, range(2)), batches(source, range(1), seed=1)
        orders = [
            np.concatenate([labels for _, labels in part])
            for part in (two[:steps], two[steps:], other)
        ]
        assert not np.array_equal(orders[0], orders[1])
        assert not np.array_equal(orders[0], orders[2])

    def test_test_batches_are_all_images_in_order(self, source):
        labels = [labels for _, labels in source.test_batches(16).as_numpy_iterator()]
        assert [len(part) for part in labels] == [16, 16, 16, 2]
        np.testing.assert_array_equal(np.concatenate(labels), source.labels)

    def test_take(self, source):
        part = source.take(np.array([3, 5, 8]))
        assert len(part) == 3
        labels = [labels for _, labels in part.test_batches().as_numpy_iterator()]
        np.testing.assert_array_equal(labels[0], [3, 5, 8])


def test_arrays_are_tested_as_they_are(arrays):
    shown = [images for images, _ in arrays.test_batches(16).as_numpy_iterator()]
    np.testing.assert_array_equal(np.concatenate(shown), arrays.images)


def test_moments_are_numpys(arrays):
    mean, variance = arrays.channel_moments()
    np.testing.assert_allclose(
        mean, arrays.images.mean(axis=(0, 1, 2), dtype="float64"), rtol=1e-12
    )
    np.testing.assert_allclose(
        variance, arrays.images.var(axis=(0, 1, 2), dtype="float64"), rtol=1e-9
    )


def test_moments_of_the_whitest_images_do_not_overflow():
    # As many as an int64 of all squares, and a uint32 of a batch's, are asked for.
    white = np.full((66_000, 1, 2, 3), 255, "uint8")
    white[-1] = 254
    mean, variance = moments([white, white])
    share = 1 / 66_000
    np.testing.assert_allclose(mean, [255 - share] * 3, rtol=1e-15)
    np.testing.assert_allclose(variance, [share * (1 - share)] * 3, rtol=1e-12)


def test_moments_of_encoded_images(encoded, arrays):
    # The centre crop leaves the border out, so these are of what the test set shows.
    shown = np.concatenate([i for i, _ in encoded.test_batches().as_numpy_iterator()])
    mean, variance = encoded.channel_moments()
    np.testing.assert_allclose(mean, shown.mean(axis=(0, 1, 2), dtype="float64"), rtol=1e-12)
    np.testing.assert_allclose(variance, shown.var(axis=(0, 1, 2), dtype="float64"), rtol=1e-9)


@pytest.fixture
def files(tmp_path, encoded):
    """Of three images."""
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path, item in zip(paths, encoded._items, strict=False):
        path.write_bytes(item)
    return paths


def test_images_of_the_right_size_are_read_as_they_are(files, arrays):
    read = images.read(files, arrays.labels[:3], size=16)
    np.testing.assert_array_equal(read.images, arrays.images[:3])
    np.testing.assert_array_equal(read.labels, [0, 1, 2])


def test_of_another_image_the_middle_is_read(tmp_path):
    # Twice as large, and wider: of 24 columns the 16 in the middle.
    columns = np.repeat(np.arange(24, dtype="uint8") * 10, 2)
    wide = np.broadcast_to(columns[None, :, None], (32, 48, 1))
    (tmp_path / "grey.png").write_bytes(tf.io.encode_png(wide).numpy())
    (read,) = images.read([tmp_path / "grey.png"], np.zeros(1), size=16).images
    expected = np.broadcast_to((np.arange(4, 20) * 10)[None, :, None], (16, 16, 3))
    # Each pixel has a part of its neighbours, which on a ramp cancel but at its ends.
    np.testing.assert_allclose(read[:, 1:-1], expected[:, 1:-1], atol=1)
    np.testing.assert_allclose(read, expected, atol=3)


def test_of_sixteen_bits_the_high_ones_are_read(tmp_path, rng):
    wide = rng.integers(0, 2**16, (16, 16, 1)).astype("uint16")
    (tmp_path / "wide.png").write_bytes(tf.io.encode_png(wide).numpy())
    (read,) = images.read([tmp_path / "wide.png"], np.zeros(1), size=16).images
    np.testing.assert_allclose(read, np.broadcast_to(wide // 256, (16, 16, 3)), atol=1)


def test_a_large_photograph_is_read_small(tmp_path):
    rows, columns = np.mgrid[:800, :800] / 800
    large = np.stack([255 * rows, 255 * columns, 0 * rows], -1).astype("uint8")
    (tmp_path / "large.jpg").write_bytes(tf.io.encode_jpeg(large, quality=95).numpy())
    (read,) = images.read([tmp_path / "large.jpg"], np.zeros(1), size=32).images
    expected = large.reshape(32, 25, 32, 25, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(read[1:-1, 1:-1], expected[1:-1, 1:-1], atol=4)


@pytest.mark.parametrize("content", [b"no image", None])
def test_a_damaged_file_is_named(content, files):
    # No image at all, or half of one.
    files[1].write_bytes(content or files[1].read_bytes()[:200])
    labels = np.zeros(3)
    with pytest.raises(UsageError, match=r"1\.png is no JPEG or PNG"):
        images.read(files, labels, size=16)
    names = np.array([path.name.encode() for path in files], object)
    source = EncodedSource(names, labels, 16, files[0].parent)
    with pytest.raises(UsageError, match=r"1\.png is no JPEG or PNG"):
        source.checked()


def test_a_balanced_subset_has_every_class_alike(rng):
    labels = rng.permutation(np.repeat([0, 1, 2], [100, 50, 4]))
    chosen = subsets.balanced_indices(labels, 30)
    assert len(set(chosen)) == 30
    # Four of the rare class, and the rest shared.
    assert sorted(np.bincount(labels[chosen])) == [4, 13, 13]
    np.testing.assert_array_equal(chosen, subsets.balanced_indices(labels, 30))
    assert set(subsets.balanced_indices(labels, 12)) <= set(chosen)


def test_more_images_than_there_are_is_refused(arrays):
    with pytest.raises(UsageError, match="--train_examples=51: there are 50"):
        subsets.balanced(arrays, 51, "--train_examples")


def test_hold_out_is_stratified_and_disjoint(rng):
    labels = np.repeat([0, 1], [80, 20])
    source = ArraySource(np.arange(100, dtype="uint8").reshape(100, 1, 1, 1), labels)
    train, held_out = subsets.hold_out(source, 0.2)
    np.testing.assert_array_equal(np.bincount(held_out.labels), [16, 4])
    both = np.concatenate([train.images, held_out.images]).ravel()
    np.testing.assert_array_equal(np.sort(both), np.arange(100))
    assert subsets.hold_out(source, 0.0) == (source, None)


@pytest.mark.parametrize("fraction", [0.1, 0.9])
def test_a_rare_class_is_on_both_sides_or_refused(fraction):
    source = ArraySource(np.zeros((100, 1, 1, 1), "uint8"), np.repeat([0, 1], [98, 2]))
    with pytest.raises(UsageError, match="leaves a class without"):
        subsets.hold_out(source, fraction)


def test_a_fraction_that_leaves_a_class_without_images_is_refused(arrays):
    with pytest.raises(UsageError, match=r"--validation_fraction=0\.1"):
        subsets.hold_out(arrays, 0.1)


def test_parts_share_the_pixels(arrays):
    part = arrays.take(np.arange(10, 40)).take(np.array([0, 5, 29]))
    assert part.pixels is arrays.pixels
    np.testing.assert_array_equal(part.images, arrays.pixels[[10, 15, 39]])
    ((shown, labels),) = part.test_batches().as_numpy_iterator()
    np.testing.assert_array_equal(shown, arrays.pixels[[10, 15, 39]])
    np.testing.assert_array_equal(labels, [10, 15, 39])
    for shown, labels in part.training_batches(3, range(2), 0, flip=True).as_numpy_iterator():
        # Where the label is written.
        np.testing.assert_array_equal(shown[:, 8, 8, 0], labels)
        assert set(labels) == {10, 15, 39}


def test_tensorflow_shares_pixels_and_keeps_them(rng):
    pixels = images.empty(50, 16)
    pixels[:] = rng.integers(0, 256, pixels.shape)
    tensor = drawing.shared(pixels)
    pixels[3, 2, 1, 0] = 77
    assert tensor[3, 2, 1, 0] == 77
    expected, kept = pixels.copy(), weakref.ref(pixels.base)
    batches = ArraySource(pixels, np.zeros(50)).test_batches(50)
    del pixels, tensor
    gc.collect()
    np.testing.assert_array_equal(next(batches.as_numpy_iterator())[0], expected)
    del batches
    gc.collect()
    assert kept() is None


def test_pixels_that_are_not_aligned_are_copied(rng):
    memory = images.empty(3, 16).reshape(-1)
    for begin in range(1, 65):
        pixels = memory[begin : begin + 2 * 16 * 16 * 3].reshape(2, 16, 16, 3)
        pixels[:] = rng.integers(0, 256, pixels.shape)
        np.testing.assert_array_equal(tf.gather(drawing.shared(pixels), [1, 0]), pixels[::-1])


MEMORY = """
import numpy as np
import tensorflow as tf
from train.data import images

def memory(name):
    return int(open("/proc/self/status").read().split(name + ":")[1].split()[0]) * 1024

def draw(count):
    pixels = images.empty(count, 64)
    pixels[:] = 1
    source = images.ArraySource(pixels, np.zeros(count))
    for part in (source, source.take(np.arange(1, count))):
        for batches in (part.training_batches(32, range(1), 0, True), part.test_batches()):
            for _ in batches.take(3):
                pass

draw(300)
before = memory("VmRSS")
draw(20_000)
print((memory("VmHWM") - before) / (20_000 * 64 * 64 * 3))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_there_is_one_copy_of_the_pixels(run_python):
    process = run_python("-c", MEMORY)
    assert process.returncode == 0, process.stderr
    assert 1.0 < float(process.stdout) < 1.3
