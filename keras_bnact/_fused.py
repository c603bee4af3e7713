"""Batch normalization with what only TensorFlow has; imported on that backend alone."""

from typing import Any

import tensorflow as tf

from keras_bnact._backends.tensorflow import sum_over_replicas

FUSED_DTYPES = ("float32", "bfloat16", "float16")


def fused_batch_normalization(
    inputs: Any,
    gamma: Any,
    beta: Any,
    moving_mean: Any,
    moving_variance: Any,
    epsilon: float,
    training: bool,
) -> tuple[Any, Any, Any]:
    """`gamma * (x - mean) / sqrt(variance + epsilon) + beta` over the last axis, in one kernel.

    Args:
        inputs: Tensor in one of `FUSED_DTYPES`, of rank 4 or, in training, of rank 2 or more.
        gamma, beta, moving_mean, moving_variance: float32 vectors as long as the last axis.
        epsilon: Added to the variance.
        training: Whether the batch's own mean and variance normalize it.

    Returns:
        The outputs in the dtype of `inputs`, and the float32 mean and (biased) variance
        that normalized them.
    """
    channels = inputs.shape[-1]
    # The positions go into the height, because cuDNN takes at most 65,535 of them as a batch.
    direct = inputs.shape.rank == 4
    image = inputs if direct else tf.reshape(inputs, [1, -1, 1, channels])
    # The raw op: tf.nn.fused_batch_norm raises a smaller epsilon to 1.001e-5.
    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=image,
        scale=gamma,
        offset=beta,
        mean=[] if training else moving_mean,
        variance=[] if training else moving_variance,
        epsilon=epsilon,
        is_training=training,
    )
    if training:
        # The kernel's variance is the unbiased one.
        count = tf.size(inputs, out_type=tf.int64) // channels
        variance *= tf.cast(tf.maximum(count - 1, 1) / tf.maximum(count, 1), tf.float32)
    else:
        # With no operation in between, TensorFlow's graph optimizer fuses convolution,
        # normalization and tanh into a kernel that the CPU lacks ("Fusion is not implemented:
        # [FusedBatchNorm,Tanh]"). This one moves no data, and converters drop it.
        outputs = tf.ensure_shape(outputs, inputs.shape)
    if not direct:
        outputs = tf.reshape(outputs, tf.shape(inputs))
        outputs.set_shape(inputs.shape)
    return outputs, mean, variance


def synchronized_batch_normalization(
    inputs: Any, gamma: Any, beta: Any, epsilon: float
) -> tuple[Any, Any, Any]:
    """The same with the mean and variance of all replicas' inputs together, for training.

    The variance is the mean of `(x - mean) ** 2`, for a second exchange between the replicas.
    Keras takes `mean(x ** 2) - mean(x) ** 2`, which cancels in float32 just where a bounded
    activation saturates: after two steps a small network's loss was off by 7e-4, and is by 2e-6.

    Args:
        inputs: Tensor of rank 2 or more, in one of `FUSED_DTYPES`.
        gamma, beta: float32 vectors as long as the last axis.
        epsilon: Added to the variance.

    Returns:
        As `fused_batch_normalization`.
    """
    axes = list(range(inputs.shape.rank - 1))
    x = tf.cast(inputs, tf.float32)
    count = tf.cast(tf.size(x) // x.shape[-1], tf.float32)
    count, total = sum_over_replicas((count, tf.reduce_sum(x, axes)))
    mean = total / count
    variance = sum_over_replicas(tf.reduce_sum(tf.square(x - mean), axes)) / count
    outputs = tf.nn.batch_normalization(x, mean, variance, beta, gamma, epsilon)
    return tf.cast(outputs, inputs.dtype), mean, variance
