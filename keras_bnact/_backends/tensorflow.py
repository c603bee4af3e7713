"""Programs on TensorFlow, on one device or on the replicas of a `tf.distribute` strategy."""

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from keras_bnact._backends import state
from keras_bnact._backends.tensorflow_sums import channel_sums as channel_sums

ANY_LENGTH = True


def scope() -> Any:
    """Identifies the program that is being made: the graph."""
    return id(tf.compat.v1.get_default_graph())


def ordinary() -> contextlib.AbstractContextManager:
    """A block in which a model computes as it does elsewhere."""
    return contextlib.nullcontext()


def placement(model: Any) -> Any:
    """Where the model's variables are, as far as programs depend on it: not at all."""
    return None


def explore(function: Callable, within: Callable, model: Any, specs: Any) -> None:
    """Calls the function as `compiled` does, on no values.

    Args:
        function: From a batch to nothing.
        within, model, specs: As in `compiled`.
    """

    def on_all(batch):
        model.distribute_strategy.run(function, args=(batch,))

    with within(model):
        tf.function(on_all, autograph=False).get_concrete_function(_signature(specs))


def compiled(
    function: Callable, within: Callable, model: Any, specs: Any, *arguments: Any
) -> Callable:
    """`function(batch, *arguments)` as one graph, run by every replica on its share of a batch.

    Args:
        function: From tensors to a dict of tensors.
        within: Called with the model for a context manager; the function is called inside.
        model: The Keras model that it runs, which knows its `tf.distribute` strategy.
        specs: Shape and dtype of a batch's arrays, in any nesting; the first axis is that of the
            examples.
        *arguments: Arrays that every replica gets whole, for their shapes and dtypes.

    Returns:
        A function of a batch and arguments that returns a dict of NumPy arrays for each replica
        that took part. With `shared=False`, and for fewer examples than replicas, that is the
        first alone.
    """
    strategy = model.distribute_strategy
    number = replicas(model)

    def on_share(batch, *arguments):
        if number > 1:
            index = tf.distribute.get_replica_context().replica_id_in_sync_group
            batch = tf.nest.map_structure(lambda x: _share(x, index, number), batch)
        return function(batch, *arguments)

    def on_all(*arguments):
        outputs = strategy.run(on_share, args=arguments)
        return tf.nest.map_structure(strategy.experimental_local_results, outputs)

    signature = _signature((specs, *arguments))
    with within(model):
        graph = tf.function(on_all, autograph=False).get_concrete_function(*signature)

    def run(*arguments, shared=True):
        batch, *rest = tf.nest.map_structure(
            lambda value, spec: tf.convert_to_tensor(value, spec.dtype), arguments, signature
        )
        takes_part = number
        if number > 1 and (not shared or len(tf.nest.flatten(batch)[0]) < number):
            # TensorFlow's convolutions fail on no examples: all replicas take the same ones.
            batch = tf.nest.map_structure(lambda x: tf.concat([x] * number, 0), batch)
            takes_part = 1
        outputs = graph(batch, *rest)
        return [
            {name: values[replica].numpy() for name, values in outputs.items()}
            for replica in range(takes_part)
        ]

    return run


def bincount(x: Any, length: int) -> Any:
    """How often each integer from 0 to `length - 1` is in a tensor of these alone."""
    return tf.math.bincount(x, minlength=length, maxlength=length)


def gradients(function: Callable, model: Any) -> tuple[Any, list[list[Any]]]:
    """The gradients of a scalar.

    Args:
        function: Takes a function through which every tensor must go that a gradient is by;
            returns the scalar, other tensors, and lists of such tensors and of variables.
        model: The Keras model that it runs.

    Returns:
        The other tensors, and gradients in the place of the lists; NaN where there is none.
    """
    with tf.GradientTape() as tape:
        scalar, others, targets = function(lambda x: x)
    flat = tf.nest.flatten(targets)
    found = tape.gradient(scalar, flat)
    found = [math.nan if gradient is None else gradient for gradient in found]
    return others, tf.nest.pack_sequence_as(targets, list(map(tf.convert_to_tensor, found)))


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


def replicas(model: Any) -> int:
    """On how many shares of a batch `compiled` calls a function."""
    return model.distribute_strategy.num_replicas_in_sync


def replicas_agree(model: Any) -> bool:
    """Whether all replicas have the same moving statistics, as synchronized ones have."""
    strategy = model.distribute_strategy
    for variable in model.non_trainable_weights:
        first, *others = strategy.experimental_local_results(variable.value)
        if not all(np.array_equal(first, other, equal_nan=True) for other in others):
            return False
    return True


def sum_over_replicas(x: Any) -> Any:
    """The sum of what all replicas of `tf.distribute` hold as `x`; `x` itself without any."""
    replica = tf.distribute.get_replica_context()
    return x if replica is None else replica.all_reduce(tf.distribute.ReduceOp.SUM, x)


def _state(model: Any) -> list[Any]:
    """Every replica's variables of the model's state."""
    return [
        replica
        for variable in state(model)
        for replica in model.distribute_strategy.experimental_local_results(variable.value)
    ]


def _signature(specs: Any) -> Any:
    return tf.nest.map_structure(lambda spec: tf.TensorSpec(spec.shape, spec.dtype), specs)


def _share(x: Any, index: Any, number: int) -> Any:
    count = tf.shape(x)[0]
    return x[count * index // number : count * (index + 1) // number]
