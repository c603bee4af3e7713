"""Starts TensorFlow: quietly, on the devices that the flags ask for."""

import os
from typing import Any

from train import native_messages
from train.errors import UsageError
from train.options import check_batch_size

DEFAULT_CPU_REPLICAS = 2


def start(options: Any) -> Any:
    """Imports TensorFlow and Keras, sets seed, dtype policy and determinism.

    Returns:
        A `tf.distribute.Strategy`; TensorFlow's default one for a single device.

    Raises:
        UsageError: If the devices cannot be had, or Keras has another backend.
    """
    backend = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if backend != "tensorflow":
        raise UsageError(
            f"train.run trains with TensorFlow, and KERAS_BACKEND is {backend}: unset it, or "
            "set it to tensorflow."
        )
    with native_messages.held_back():
        import keras
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        for gpu in gpus:
            # Else the first of several runs on a GPU takes all of its memory.
            tf.config.experimental.set_memory_growth(gpu, True)
        strategy = _strategy(options, len(gpus))
    check_batch_size(options.batch_size, strategy.num_replicas_in_sync)
    if options.deterministic:
        tf.config.experimental.enable_op_determinism()
    if options.mixed_precision != "none":
        keras.config.set_dtype_policy(f"mixed_{options.mixed_precision}")
    keras.utils.set_random_seed(options.seed)
    return strategy


def describe() -> list[str]:
    """A line for each device that TensorFlow sees."""
    import tensorflow as tf

    lines = []
    for device in tf.config.list_logical_devices():
        physical = tf.config.list_physical_devices(device.device_type)
        details = tf.config.experimental.get_device_details(physical[0])
        lines.append(" ".join([device.name, details.get("device_name", "")]).strip())
    return lines


def _strategy(options: Any, gpus: int) -> Any:
    import tensorflow as tf

    mirrored = options.strategy == "mirrored" or (options.strategy == "auto" and gpus > 1)
    if not mirrored:
        tf.config.list_logical_devices()
        return tf.distribute.get_strategy()
    replicas = options.replicas or gpus or DEFAULT_CPU_REPLICAS
    if gpus:
        if replicas > gpus:
            raise UsageError(f"--replicas={replicas} is more than the GPUs there are: {gpus}.")
        return tf.distribute.MirroredStrategy([f"GPU:{i}" for i in range(replicas)])
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * replicas,
    )
    # The default collectives abort on logical CPU devices.
    return tf.distribute.MirroredStrategy(
        [f"CPU:{i}" for i in range(replicas)],
        cross_device_ops=tf.distribute.ReductionToOneDevice(),
    )
