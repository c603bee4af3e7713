"""Training and measuring on many devices with `keras.distribution`, which is JAX' alone."""

import json
import socket
import subprocess
import sys

import keras
import numpy as np
import pytest

if keras.backend.backend() != "jax":
    pytest.skip("of JAX: make test-jax", allow_module_level=True)

import jax
import one_process
from one_process import make_model

from keras_bnact import Histogram, _keras_internals, measure, measure_gradients


@pytest.fixture
def on_devices():
    """Has what follows take the first so many of the virtual devices."""

    def distribute(number):
        devices = [f"cpu:{index}" for index in range(number)]
        keras.distribution.set_distribution(keras.distribution.DataParallel(devices=devices))

    yield distribute
    keras.distribution.set_distribution(None)


def make_data(count):
    rng = np.random.default_rng(1)
    return rng.normal(size=(count, 12, 12, 3)).astype("float32"), rng.integers(0, 5, count)


def trained(order, data):
    """Losses, weights, statistics and gradients of a model that was trained."""
    model = make_model(order)
    # Keras itself refuses a batch that the devices cannot share evenly.
    whole = [array[: len(array) // 16 * 16] for array in data]
    losses = model.fit(*whole, batch_size=16, epochs=3, shuffle=False, verbose=0).history["loss"]
    measured = measure(model, data, batch_size=16, histograms=[Histogram(bins=7)])
    return losses, model, measured, measure_gradients(model, data, batch_size=16)


def assert_alike(found, expected):
    losses, model, measured, gradients = found
    np.testing.assert_allclose(losses, expected[0], rtol=1e-5)
    for weight, wanted in zip(model.get_weights(), expected[1].get_weights(), strict=True):
        np.testing.assert_allclose(weight, wanted, atol=1e-5)
    for layer, wanted in zip(measured, expected[2], strict=True):
        assert layer.count == wanted.count
        for name, values in layer.channels().items():
            np.testing.assert_allclose(values, wanted.channels()[name], rtol=1e-5, atol=1e-5)
        counts = [one.histograms[0].counts for one in (layer, wanted)]
        # A value on an edge may fall to either side.
        assert np.abs(counts[0] - counts[1]).sum() <= 4
    for layer, wanted in zip(gradients, expected[3], strict=True):
        figures = [
            [one.input, one.weight_gradient, one.activation_gradient] for one in (layer, wanted)
        ]
        np.testing.assert_allclose(*figures, rtol=1e-5)


@pytest.mark.parametrize("order", ["swap", "convention"])
@pytest.mark.parametrize("number", [2, 4])
# The last batch measured has 16 or 10 examples, which four devices cannot share evenly.
@pytest.mark.parametrize("count", [48, 42])
def test_devices_equal_one(order, number, count, on_devices):
    data = make_data(count)
    expected = trained(order, data)
    on_devices(number)
    found = trained(order, data)
    assert len(found[1].weights[0].value.devices()) == number
    assert_alike(found, expected)


def test_devices_share_a_batch(on_devices, monkeypatch):
    on_devices(4)
    model = make_model("swap")
    placed = []
    make = jax.make_array_from_callback

    def record(shape, sharding, callback):
        placed.append(sharding.shard_shape(shape))
        return make(shape, sharding, callback)

    monkeypatch.setattr(jax, "make_array_from_callback", record)
    measure(model, make_data(26), batch_size=16)
    # The last ten examples are everyone's.
    assert [shape[0] for shape in placed] == [4, 10]


def test_a_layout_of_weights_is_the_models_alone(on_devices):
    """The small model by which Keras is tried has weights that do not fit it."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, activation="tanh")])
    data = np.random.default_rng(0).normal(size=(16, 3)).astype("float32")
    expected = measure(model, data)[0]
    mesh = keras.distribution.DeviceMesh((1, 4), ["batch", "model"], [f"cpu:{i}" for i in range(4)])
    layout = keras.distribution.LayoutMap(mesh)
    layout[".*kernel"] = (None, "model")
    keras.distribution.set_distribution(
        keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch")
    )
    shared = keras.models.clone_model(model)
    shared.set_weights(model.get_weights())
    _keras_internals.check.cache_clear()
    found = measure(shared, data)[0]
    np.testing.assert_allclose(found.channel_skewness, expected.channel_skewness, rtol=1e-5)
    assert keras.distribution.distribution().batch_dim_name == "batch"


def test_a_model_that_moves_to_other_devices_is_measured_there():
    data = make_data(16)
    model = make_model("swap")
    expected = measure(model, data).means()
    mesh = jax.make_mesh((2,), ("batch",))
    everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    for variable in model.variables:
        variable._value = jax.device_put(variable.value, everywhere)
    assert measure(model, data).means() == pytest.approx(expected, rel=1e-5)


def test_two_processes_equal_one(tmp_path):
    x, y = make_data(48)
    losses, model, measured, _ = trained("swap", (x, y))
    np.savez(tmp_path / "data.npz", x=x, y=y)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    processes = [
        subprocess.Popen(
            [sys.executable, one_process.__file__, address, str(number), tmp_path / "data.npz"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    try:
        said = [process.communicate(timeout=300) for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, (output, error) in zip(processes, said, strict=True):
        assert process.returncode == 0, error
        found_losses, weights, means = json.loads(output.splitlines()[-1])
        np.testing.assert_allclose(found_losses, losses, rtol=1e-5)
        for weight, wanted in zip(weights, model.get_weights(), strict=True):
            np.testing.assert_allclose(weight, wanted, atol=1e-5)
        assert means == pytest.approx(measured.means(), rel=1e-5)
