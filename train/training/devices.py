"""Starts Keras' backend: quietly, and on what the flags ask for."""

import importlib.util
import random
from typing import Any

from train import backend, native_messages
from train.errors import UsageError
from train.names import PRECISIONS
from train.options import check_batch_size

DEFAULT_CPU_REPLICAS = 2


def start(flags: Any) -> None:
    """Imports Keras and its backend; sets devices, seed, precision and determinism.

    Raises:
        UsageError: If the devices cannot be had.
    """
    with native_messages.suppressed():
        {"tensorflow": _start_tensorflow, "jax": _start_jax}[backend.name()](flags)

        import keras

    keras.config.set_dtype_policy(PRECISIONS[flags.precision])
    # What Keras' initializers take their seeds from; its own function would import TensorFlow on
    # JAX, too. All else is drawn from seeds of its own.
    random.seed(flags.seed)


def describe() -> list[str]:
    """A line for each device that the backend sees."""
    if backend.name() == "jax":
        import jax

        return [f"{device} {device.device_kind}" for device in jax.devices()]

    import tensorflow as tf

    lines = []
    for device in tf.config.list_logical_devices():
        physical = tf.config.list_physical_devices(device.device_type)
        details = tf.config.experimental.get_device_details(physical[0])
        lines.append(" ".join([device.name, details.get("device_name", "")]).strip())
    return lines


def strategy(flags: Any) -> Any:
    """TensorFlow's, on the devices that `start` has made; its default one for a single device."""
    import tensorflow as tf

    kind, number = _devices(flags, len(tf.config.list_physical_devices("GPU")))
    if not number:
        return tf.distribute.get_strategy()
    # The default collectives abort on logical CPU devices.
    operations = None if kind == "GPU" else tf.distribute.ReductionToOneDevice()
    return tf.distribute.MirroredStrategy(
        [f"{kind}:{i}" for i in range(number)], cross_device_ops=operations
    )


def _start_jax(flags: Any) -> None:
    import jax

    products = "highest" if flags.precision == "float32" else "tensorfloat32"
    jax.config.update("jax_default_matmul_precision", products)


def _start_tensorflow(flags: Any) -> None:
    if importlib.util.find_spec("tensorboard") is None:
        # Which Keras would say in words of its own, once the images are read.
        raise ModuleNotFoundError(name="tensorboard")

    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        # Else the first of several runs on a GPU takes all of its memory.
        tf.config.experimental.set_memory_growth(gpu, True)
    kind, number = _devices(flags, len(gpus))
    if kind == "CPU" and number:
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * number,
        )
    tf.config.list_logical_devices()
    tf.config.experimental.enable_tensor_float_32_execution(flags.precision != "float32")
    if flags.deterministic:
        tf.config.experimental.enable_op_determinism()
    tf.random.set_seed(flags.seed)


def _devices(flags: Any, gpus: int) -> tuple[str, int]:
    """Of which kind, and on how many of them a mirrored strategy is made: on none, for no such."""
    kind = "GPU" if gpus else "CPU"
    if flags.strategy == "single" or (flags.strategy == "auto" and gpus < 2):
        return kind, 0
    number = flags.replicas or gpus or DEFAULT_CPU_REPLICAS
    if gpus and number > gpus:
        raise UsageError(f"--replicas={number} is more than the GPUs there are: {gpus}.")
    check_batch_size(flags.batch_size, number)
    return kind, number
