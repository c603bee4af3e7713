"""Algorithms 1 and 2 of the paper's appendix A.11, literally, with the paper's names.

`get_activation(x)` and `get_block(x)` give a batch's outputs of all activations and blocks, a
tensor `(batch, ..., channels)` for each layer; the paper has the channels before the positions.
"""

import tensorflow as tf

from keras_bnact import BoundedBlock


def algorithm_1(batches, get_activation, N):
    """Skewness of each layer: a pass for the means, one for the variances, one for the skewness."""

    def updated(mean, variance, condition):
        return accumulated(
            statistics(x, mean, variance, condition, get_activation, N) for x in batches
        )

    mean = updated(None, None, "mean")
    variance = updated(mean, None, "variance")
    skewness = updated(mean, variance, "skewness")
    return [float(tf.reduce_mean(tf.abs(channels))) for channels in skewness]


@tf.function(reduce_retracing=True, autograph=False)
def statistics(x, mean, variance, condition, get_activation, N):
    batch_statistics = []
    for i, X in enumerate(get_activation(x)):
        block = flat(X)
        D = size(N, X)
        if condition == "mean":
            batch_statistic = tf.reduce_sum(block, 0) / D
        if condition == "variance":
            batch_statistic = tf.reduce_sum((block - mean[i]) ** 2, 0) / D
        if condition == "skewness":
            cubes = (block - mean[i]) ** 3 / tf.sqrt(variance[i]) ** 3
            batch_statistic = tf.reduce_sum(cubes, 0) / D * (tf.sqrt(D * (D - 1)) / (D - 2))
        batch_statistics.append(batch_statistic)
    return batch_statistics


def algorithm_2(batches, get_activation, get_block, N, empirical=False, lecun_tanh=False):
    """Saturation of each layer in a pass; the empirical one needs another for the maxima."""
    upper = 1.7159 if lecun_tanh else 1.0
    if empirical:
        largest = [maximum(x, get_block) for x in batches]
        upper = [tf.reduce_max(tf.stack(channels), 0) for channels in zip(*largest, strict=True)]
    get = get_block if empirical else get_activation
    return [float(s) for s in accumulated(saturation(x, upper, get, N) for x in batches)]


@tf.function(reduce_retracing=True, autograph=False)
def maximum(x, get_block):
    return [tf.reduce_max(tf.abs(flat(X)), 0) for X in get_block(x)]


@tf.function(reduce_retracing=True, autograph=False)
def saturation(x, upper, get, N):
    saturations = []
    for i, X in enumerate(get(x)):
        block = tf.abs(flat(X)) / (upper[i] if isinstance(upper, list) else upper)
        saturations.append(tf.reduce_sum(block) / (size(N, X) * block.shape[1]))
    return saturations


def getters(network):
    """`get_activation` and `get_block` of one of our networks, from its blocks' steps."""

    def run(x):
        activations, blocks = [], []
        for layer in network.layers[1:]:
            for step in getattr(layer, "steps", [layer]):
                x = step(x)
                if step is getattr(layer, "activation", None):
                    activations.append(x)
            if isinstance(layer, BoundedBlock):
                blocks.append(x)
        return activations, blocks

    return lambda x: run(x)[0], lambda x: run(x)[1]


def flat(X):
    """`B x C`, where `B` counts the batch and the positions."""
    return tf.reshape(X, [-1, X.shape[-1]])


def size(N, X):
    """`D`: elements a channel, of all samples."""
    return tf.constant(float(N)) * tf.reduce_prod(tf.cast(tf.shape(X)[1:-1], tf.float32))


def accumulated(parts):
    total = None
    for part in parts:
        total = part if total is None else [a + b for a, b in zip(total, part, strict=True)]
    return total
