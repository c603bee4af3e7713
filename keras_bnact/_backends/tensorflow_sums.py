"""Sums of activations on TensorFlow."""

import functools
import math
import os
from collections.abc import Callable
from typing import Any

import tensorflow as tf

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
        vectors: Vectors as long as that axis, float64 for a float64 `x` and else float32.
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
    vectors = tuple(tf.cast(vector, tf.float64) for vector in vectors)
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
