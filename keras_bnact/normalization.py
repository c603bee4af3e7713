"""Batch normalization on TensorFlow's fused kernel."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_bnact")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` on TensorFlow's fused kernel, with the same numbers.

    In training, `gamma * (x - mean) / sqrt(variance + epsilon) + beta` with the mean and
    the biased variance of the batch over all axes but `axis`, and
    `moving = moving * momentum + batch * (1 - momentum)`; else with the moving statistics.

    The fused kernel is taken on the TensorFlow backend for channels in the last axis,
    float32, bfloat16 or float16 inputs of rank 2 or more (4 at inference, where any reshaping
    would keep converters from folding it into a convolution), without a mask or `renorm`. There
    `synchronized` training takes its variance around the replicas' common mean, more exactly
    than Keras; everything else is Keras' own computation.

    Args:
        **kwargs: As for `keras.layers.BatchNormalization`, with its defaults.

    Call arguments:
        inputs: Float tensor of rank 2 or more.
        training: Whether to normalize with the batch's statistics and update the moving ones.
        mask: Optional boolean tensor of one rank less: which positions count.

    Returns:
        A tensor of the shape of `inputs` in the layer's compute dtype.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> from keras_bnact.normalization import BatchNormalization
    >>> outputs = BatchNormalization()(np.eye(4, dtype="float32"), training=True)
    >>> abs(float(keras.ops.mean(outputs[:, 0]))) < 1e-6
    True
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        training = bool(training and self.trainable)
        if not self._own_kernels_apply(inputs, training, mask):
            return super().call(inputs, training=training, mask=mask)
        from keras_bnact import _fused

        moving_mean = ops.cast(self.moving_mean, "float32")
        moving_variance = ops.cast(self.moving_variance, "float32")
        gamma = ops.ones_like(moving_mean) if self.gamma is None else self.gamma
        beta = ops.zeros_like(moving_mean) if self.beta is None else self.beta
        gamma, beta = ops.cast(gamma, "float32"), ops.cast(beta, "float32")
        if training and self.synchronized:
            outputs, mean, variance = _fused.synchronized_batch_normalization(
                inputs, gamma, beta, self.epsilon
            )
        else:
            outputs, mean, variance = _fused.fused_batch_normalization(
                inputs, gamma, beta, moving_mean, moving_variance, self.epsilon, training
            )
        if training:
            rest = 1.0 - self.momentum
            self.moving_mean.assign(moving_mean * self.momentum + mean * rest)
            self.moving_variance.assign(moving_variance * self.momentum + variance * rest)
        return outputs

    def _own_kernels_apply(self, inputs: Any, training: bool, mask: Any) -> bool:
        if keras.backend.backend() != "tensorflow":
            return False
        from keras_bnact import _fused

        dtype = keras.backend.standardize_dtype(inputs.dtype)
        return (
            mask is None
            # Which Keras has since 3.14.
            and not getattr(self, "renorm", False)
            and (len(inputs.shape) == 4 or (training and len(inputs.shape) >= 2))
            and self.axis in (-1, len(inputs.shape) - 1)
            and dtype == self.compute_dtype
            and dtype in _fused.FUSED_DTYPES
        )
