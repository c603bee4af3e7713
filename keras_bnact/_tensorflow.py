"""What only TensorFlow has; imported on that backend alone."""

import contextlib
import functools
import math
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

FUSED_DTYPES = ("float32", "bfloat16", "float16")

# One step of the loop over an activation takes so many rows of about so many elements: the
# sums and the step's rows stay in a core's cache.
LOOP_ROWS = 8
LOOP_ROW_ELEMENTS = 2048
# After so many steps float32 sums go into float64 ones: the roundings of a channel that hardly
# varies are alike, and add up.
LOOP_FLOAT32_STEPS = 16
# Elements an image, and a step, from which on the loop is worth its while.
LOOP_WORTHWHILE = 4096
LOOP_STEP_WORTHWHILE = 1024
LOOP_MAX_PARTS = 16
# Elements that stock operations sum at a time: seven float64 tensors of 16 MB.
STOCK_ELEMENTS = 2**21


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
    # ("Fusion is not implemented: [FusedBatchNorm,Tanh]"). The positions go into the height,
    # because cuDNN takes at most 65,535 of them as a batch.
    direct = training and inputs.shape.rank == 4
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
    count = sum_over_replicas(tf.cast(tf.size(x) // x.shape[-1], tf.float32))
    mean = sum_over_replicas(tf.reduce_sum(x, axes)) / count
    variance = sum_over_replicas(tf.reduce_sum(tf.square(x - mean), axes)) / count
    outputs = tf.nn.batch_normalization(x, mean, variance, beta, gamma, epsilon)
    return tf.cast(outputs, inputs.dtype), mean, variance


def sum_over_replicas(x: Any) -> Any:
    """The sum of what all replicas of `tf.distribute` hold as `x`; `x` itself without any."""
    replica = tf.distribute.get_replica_context()
    return x if replica is None else replica.all_reduce(tf.distribute.ReduceOp.SUM, x)


def graph() -> Any:
    """Identifies the graph that is being made."""
    return id(tf.compat.v1.get_default_graph())


def origin(tensor: Any) -> Any:
    """What `tensor` was cast from, however often; a variable or a constant as it is."""
    while getattr(getattr(tensor, "op", None), "type", None) == "Cast":
        tensor = tensor.op.inputs[0]
    return tensor


def compiled(function: Callable, model: Any, specs: Any, *arguments: Any) -> Callable:
    """`function(batch, *arguments)` as one graph, run by every replica on its share of a batch.

    Args:
        function: From tensors to a dict of tensors.
        model: The Keras model that it runs, which knows its `tf.distribute` strategy.
        specs: Shape and dtype of a batch's arrays, in any nesting; the first axis is that of the
            examples.
        *arguments: Arrays that every replica gets whole; later ones may have another length.

    Returns:
        A function of a batch and arguments that returns a dict of NumPy arrays for each replica
        that took part. With `shared=False`, and for fewer examples than replicas, that is the
        first alone.
    """
    strategy = model.distribute_strategy
    replicas = strategy.num_replicas_in_sync

    def on_share(batch, *arguments):
        if replicas > 1:
            index = tf.distribute.get_replica_context().replica_id_in_sync_group
            batch = tf.nest.map_structure(lambda x: _share(x, index, replicas), batch)
        return function(batch, *arguments)

    def on_all(*arguments):
        outputs = strategy.run(on_share, args=arguments)
        return tf.nest.map_structure(strategy.experimental_local_results, outputs)

    signature = (
        tf.nest.map_structure(lambda spec: tf.TensorSpec(spec.shape, spec.dtype), specs),
        *map(_any_length, arguments),
    )
    graph = tf.function(on_all, autograph=False).get_concrete_function(*signature)

    def run(*arguments, shared=True):
        batch, *rest = tf.nest.map_structure(
            lambda value, spec: tf.convert_to_tensor(value, spec.dtype), arguments, signature
        )
        takes_part = replicas
        if replicas > 1 and (not shared or len(tf.nest.flatten(batch)[0]) < replicas):
            # TensorFlow's convolutions fail on no examples: all replicas take the same ones.
            batch = tf.nest.map_structure(lambda x: tf.concat([x] * replicas, 0), batch)
            takes_part = 1
        outputs = graph(batch, *rest)
        return [
            {name: values[replica].numpy() for name, values in outputs.items()}
            for replica in range(takes_part)
        ]

    return run


def gradients(function: Callable) -> tuple[Any, list[list[Any]]]:
    """The gradients of a scalar.

    Args:
        function: Takes nothing; returns the scalar, anything, and lists of tensors or variables.

    Returns:
        That anything, and gradients in the place of the tensors; NaN where there is no gradient.
    """
    with tf.GradientTape() as tape:
        scalar, anything, targets = function()
    flat = tf.nest.flatten(targets)
    found = tape.gradient(scalar, flat)
    found = [math.nan if gradient is None else gradient for gradient in found]
    return anything, tf.nest.pack_sequence_as(targets, list(map(tf.convert_to_tensor, found)))


@contextlib.contextmanager
def state_restored(model: Any) -> Iterator[None]:
    """Puts back at the end of the block what running the model in training changes.

    That is all but its trainable weights: moving statistics, seeds and metrics, of each replica.
    """
    old = [(replica, tf.identity(replica)) for replica in _state(model)]
    known = {id(replica) for replica, _ in old}
    try:
        yield
    finally:
        for replica, value in old:
            replica.assign(value)
        for replica in _state(model):
            if id(replica) not in known:
                # A metric that was made meanwhile.
                replica.assign(tf.zeros_like(replica))


def replicas_agree(model: Any) -> bool:
    """Whether all replicas have the same moving statistics, as synchronized ones have."""
    strategy = model.distribute_strategy
    for variable in model.non_trainable_weights:
        first, *others = strategy.experimental_local_results(variable.value)
        if not all(np.array_equal(first, other, equal_nan=True) for other in others):
            return False
    return True


def _state(model: Any) -> list[Any]:
    """Every replica's variables that are never trained; a frozen layer's weights are no state."""
    layers = model._flatten_layers()
    weights = {id(weight) for layer in layers for weight in layer._trainable_variables}
    variables = [v for v in model.non_trainable_variables if id(v) not in weights]
    return [
        replica
        for variable in variables + model.metrics_variables
        for replica in model.distribute_strategy.experimental_local_results(variable.value)
    ]


def channel_sums(
    terms: Callable, x: Any, vectors: tuple[Any, ...], largest_batch: Any
) -> tuple[Any, Any, Any]:
    """Sums of `terms(x, *vectors)` over all axes but the last, and the extremes of `x`.

    On a CPU a large activation is read once: a loop compiled by XLA adds a few rows at a time
    to running sums, which stay in the cache, one loop for each core. Stock operations would
    write every term to memory and read it again. Everything else is summed by stock operations
    in float64, so many elements at a time that they take 100 MB.

    Args:
        terms: From `x` and the vectors to a tuple of tensors, element by element.
        x: Tensor with the channels last.
        vectors: float32 vectors as long as that axis.
        largest_batch: Length of the first axis to compile the loop for; a shorter `x` takes
            the same loop.

    Returns:
        float64 tensors: the sums `(terms, channels)`, minimum and maximum `(channels,)`.
    """
    rows, repeats = _loop_shape(x.shape)
    if rows == 0 or tf.config.list_logical_devices("GPU"):
        return _stock_sums(terms, x, vectors)
    steps = tf.reshape(x, [-1, rows, repeats * x.shape[-1]])
    count = tf.shape(steps)[0]
    missing = (largest_batch - tf.shape(x)[0]) * (math.prod(x.shape[1:-1]) // (rows * repeats))
    steps = tf.cond(
        missing > 0, lambda: tf.pad(steps, [[0, missing], [0, 0], [0, 0]]), lambda: steps
    )
    wide = [tf.tile(vector, [repeats]) for vector in vectors]
    parts = min(os.cpu_count() or 1, LOOP_MAX_PARTS)
    results = [
        _loop(terms)(steps, wide, count * part // parts, count * (part + 1) // parts)
        for part in range(parts)
    ]
    sums, minimum, maximum = (
        tf.reshape(tf.cast(tf.stack(result), tf.float64), shape)
        for result, shape in zip(
            zip(*results, strict=True),
            ([parts, -1, repeats, x.shape[-1]], [-1, x.shape[-1]], [-1, x.shape[-1]]),
            strict=True,
        )
    )
    return tf.reduce_sum(sums, [0, 2]), tf.reduce_min(minimum, 0), tf.reduce_max(maximum, 0)


def _stock_sums(terms: Callable, x: Any, vectors: tuple[Any, ...]) -> tuple[Any, Any, Any]:
    channels = x.shape[-1]
    vectors = [tf.cast(vector, tf.float64) for vector in vectors]
    x = tf.reshape(x, [-1, channels])
    positions = max(1, STOCK_ELEMENTS // channels)

    def add(begin, sums, minimum, maximum):
        part = tf.cast(x[begin : begin + positions], tf.float64)
        sums += tf.stack([tf.reduce_sum(summand, 0) for summand in terms(part, *vectors)])
        minimum = tf.minimum(minimum, tf.reduce_min(part, 0))
        return begin + positions, sums, minimum, tf.maximum(maximum, tf.reduce_max(part, 0))

    zeros = tf.zeros(channels, tf.float64)
    number = len(terms(zeros, *vectors))
    start = (0, tf.zeros((number, channels), tf.float64), zeros + math.inf, zeros - math.inf)
    _, *results = tf.while_loop(
        lambda begin, *_: begin < tf.shape(x)[0], add, start, parallel_iterations=1
    )
    return tuple(results)


@functools.cache
def _loop(terms: Callable) -> Callable:
    @tf.function(jit_compile=True, autograph=False)
    def loop(steps: Any, vectors: list[Any], begin: Any, end: Any) -> tuple[Any, Any, Any]:
        """Of steps `begin` to `end`; each element of a row has sums of its own."""
        dtype = tf.float64 if steps.dtype == tf.float64 else tf.float32
        vectors = [tf.cast(vector, dtype) for vector in vectors]

        zeros = tf.zeros(steps.shape[2:], dtype)
        number = len(terms(zeros, *vectors))

        def add(step, sums, minimum, maximum):
            x = tf.cast(steps[step], dtype)
            summands = terms(x, *vectors)
            sums = [s + tf.reduce_sum(t, 0) for s, t in zip(sums, summands, strict=True)]
            minimum = tf.minimum(minimum, tf.reduce_min(x, 0))
            return step + 1, sums, minimum, tf.maximum(maximum, tf.reduce_max(x, 0))

        def add_some(step, totals, minimum, maximum):
            stop = tf.minimum(step + LOOP_FLOAT32_STEPS, end)
            _, sums, minimum, maximum = tf.while_loop(
                lambda step, *_: step < stop, add, (step, [zeros] * number, minimum, maximum)
            )
            totals = [t + tf.cast(s, tf.float64) for t, s in zip(totals, sums, strict=True)]
            return stop, totals, minimum, maximum

        _, sums, minimum, maximum = tf.while_loop(
            lambda step, *_: step < end,
            add_some,
            (
                begin,
                [tf.cast(zeros, tf.float64)] * number,
                zeros + math.inf,
                zeros - math.inf,
            ),
        )
        return tf.stack(sums), minimum, maximum

    return loop


def _loop_shape(shape: tf.TensorShape) -> tuple[int, int]:
    """Rows a step, and positions a row: both divide an image evenly; zeros for no loop."""
    if shape.rank < 2 or None in shape[1:] or math.prod(shape[1:]) < LOOP_WORTHWHILE:
        return 0, 0
    positions = math.prod(shape[1:-1])
    repeats = _divisor(positions, LOOP_ROW_ELEMENTS // shape[-1])
    rows = _divisor(positions // repeats, LOOP_ROWS)
    return (rows, repeats) if rows * repeats * shape[-1] >= LOOP_STEP_WORTHWHILE else (0, 0)


def _divisor(number: int, at_most: int) -> int:
    return max(d for d in range(1, max(at_most, 1) + 1) if number % d == 0)


def _share(x: Any, index: Any, replicas: int) -> Any:
    count = tf.shape(x)[0]
    return x[count * index // replicas : count * (index + 1) // replicas]


def _any_length(value: Any) -> tf.TensorSpec:
    return tf.TensorSpec([None, *value.shape[1:]] if value.shape else [], value.dtype)
