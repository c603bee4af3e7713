"""Kernels that only TensorFlow has; imported on that backend alone."""

from typing import Any

import tensorflow as tf

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
        inputs: Tensor of rank 2 or more, in one of `FUSED_DTYPES`.
        gamma, beta, moving_mean, moving_variance: float32 vectors as long as the last axis.
        epsilon: Added to the variance.
        training: Whether the batch's own mean and variance normalize it.

    Returns:
        The outputs in the dtype of `inputs`, and the float32 mean and (biased) variance
        that normalized them.
    """
    channels = inputs.shape[-1]
    # At inference the shape changes for a four-dimensional input too: else TensorFlow's graph
    # optimizer fuses convolution, normalization and tanh into a kernel that the CPU lacks
    # ("Fusion is not implemented: [FusedBatchNorm,Tanh]").
    direct = training and inputs.shape.rank == 4
    image = inputs if direct else tf.reshape(inputs, [-1, 1, 1, channels])
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
    if not direct:
        outputs = tf.reshape(outputs, tf.shape(inputs))
        outputs.set_shape(inputs.shape)
    return outputs, mean, variance
