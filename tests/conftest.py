"""Quiet, seeded tests; TensorFlow is imported once, in a known state."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from train import native_messages

# Which a process that runs tests beside others inherits from the one that started it.
os.environ.pop(native_messages.LOG_LEVEL, None)
# JAX's, for replicas.
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
with native_messages.suppressed(), pytest.MonkeyPatch.context() as patch:
    # Without oneDNN's kernels, which TensorFlow takes by itself on some processors alone, a CPU has
    # no convolution of channels first.
    patch.setenv("TF_ENABLE_ONEDNN_OPTS", "1")
    import keras
    import tensorflow as tf

    # For replicas; before TensorFlow starts its devices.
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )
    tf.config.list_logical_devices()

pytest_plugins = ["made_runs"]

ROOT = Path(__file__).parent.parent
# Small enough for seconds, and with an uneven last batch of training and of test images.
SMALL_RUN = [
    "--model=vgg16_8",
    "--width=0.05",
    "--train_examples=250",
    "--test_examples=99",
    "--batch_size=32",
    "--deterministic",
]
# The same for train.sweep, to be told how many test images to take: there are 360.
SMALL_SWEEP = [flag for flag in SMALL_RUN if not flag.startswith("--test_examples")]
SMALL_SWEEP.append("--export=none")
# Six runs, of which the last must fail.
SIX_RUNS = [*SMALL_SWEEP, "--epochs=3", "--grid=test_examples=90,91,92,93,94,1000"]
SHARED_DATA = ROOT.parent / "shared" / "data"


NEEDS_FLOAT64 = pytest.mark.skipif(
    keras.backend.backend() == "jax", reason="JAX has none unless told to take it for everything"
)


def pytest_collection_modifyitems(items):
    if keras.backend.backend() != "tensorflow":
        for item in items:
            if item.get_closest_marker("tensorflow"):
                item.add_marker(pytest.mark.skip(reason="of TensorFlow alone"))


@pytest.fixture(autouse=True)
def _known_state():
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy("float32")
    yield
    # Without collecting garbage, which takes longer than most tests.
    keras.backend.clear_session(free_memory=False)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def two_replicas():
    """A strategy of two devices."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("tf.distribute is TensorFlow's")
    return tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )


@pytest.fixture
def counting():
    """A layer that passes its inputs on and counts how often it is traced."""
    if keras.backend.backend() == "torch":
        pytest.skip("PyTorch traces nothing")

    class Counting(keras.layers.Layer):
        traces = 0

        def call(self, inputs):
            self.traces += 1
            return inputs

    return Counting()


@pytest.fixture
def run_python():
    """Runs `python ARGUMENTS` from the checkout, as a user would."""

    def run(*arguments, timeout=300, **environment):
        inherited = {k: v for k, v in os.environ.items() if k != native_messages.LOG_LEVEL}
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=ROOT,
            env=inherited | environment,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return run


@pytest.fixture
def train(run_python):
    """Runs `python -m train.run ARGUMENTS`."""

    def run(*arguments, **keywords):
        return run_python("-m", "train.run", *arguments, **keywords)

    return run
