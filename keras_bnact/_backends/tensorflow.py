"""Programs on TensorFlow."""

import contextlib
import functools
import math
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from keras_bnact._backends import tensorflow_sums
from keras_bnact._backends.base import Backend, state
from keras_bnact._keras_internals import strategy


class TensorFlow(Backend):
    """Graphs, on one device or on the replicas of a `tf.distribute` strategy.

    Of a model with `run_eagerly` they are functions, which are run as they are written.
    """

    any_length = True

    def scope(self) -> Any:
        return id(tf.compat.v1.get_default_graph())

    def trace(self, function: Callable, within: Callable, model: Any, specs: Any) -> None:
        def on_all(batch):
            strategy(model).run(function, args=(batch,))

        with within(model):
            if model.run_eagerly:
                on_all(tf.nest.map_structure(_zeros, _signature(specs)))
            else:
                tf.function(on_all, autograph=False).get_concrete_function(_signature(specs))

    def compile(
        self, function: Callable, within: Callable, model: Any, specs: Any, *arguments: Any
    ) -> Callable:
        replicated = strategy(model)
        number = self.replicas(model)

        def on_share(batch, *arguments):
            if number > 1:
                index = tf.distribute.get_replica_context().replica_id_in_sync_group
                batch = tf.nest.map_structure(lambda x: _share(x, index, number), batch)
            return function(batch, *arguments)

        def on_all(*arguments):
            outputs = replicated.run(on_share, args=arguments)
            return tf.nest.map_structure(replicated.experimental_local_results, outputs)

        signature = _signature((specs, *arguments))
        if model.run_eagerly:
            # Weak, so that the program does not keep the model alive.
            reference = weakref.ref(model)

            def graph(*arguments):
                with within(reference()):
                    return on_all(*arguments)
        else:
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

    def traced_once(self, function: Callable) -> Callable:
        return _function(function)

    def channel_sums(
        self, terms: Callable, x: Any, vectors: tuple[Any, ...], largest_batch: Any
    ) -> tuple[Any, Any, Any]:
        return tensorflow_sums.channel_sums(terms, x, vectors, largest_batch)

    def bincount(self, x: Any, length: int) -> Any:
        return tf.math.bincount(x, minlength=length, maxlength=length)

    def gradients(self, function: Callable, model: Any) -> tuple[Any, list[list[Any]]]:
        with tf.GradientTape() as tape:
            scalar, others, targets = function(lambda x: x)
        flat = tf.nest.flatten(targets)
        found = tape.gradient(scalar, flat)
        found = [math.nan if gradient is None else gradient for gradient in found]
        return others, tf.nest.pack_sequence_as(targets, list(map(tf.convert_to_tensor, found)))

    @contextlib.contextmanager
    def state_restored(self, model: Any) -> Iterator[None]:
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

    def replicas(self, model: Any) -> int:
        return strategy(model).num_replicas_in_sync

    def replicas_agree(self, model: Any) -> bool:
        for variable in model.non_trainable_weights:
            first, *others = strategy(model).experimental_local_results(variable.value)
            if not all(np.array_equal(first, other, equal_nan=True) for other in others):
                return False
        return True

    def sum_over_replicas(self, x: Any) -> Any:
        return sum_over_replicas(x)


@functools.cache
def _function(function: Callable) -> Callable:
    """One that stays a function in the graphs that call it."""
    return tf.function(function, autograph=False, experimental_attributes={"_noinline": True})


def sum_over_replicas(x: Any) -> Any:
    """The sums of what all replicas of `tf.distribute` hold as `x`; `x` itself without any."""
    replica = tf.distribute.get_replica_context()
    return x if replica is None else tf.nest.pack_sequence_as(x, _all_sums(*tf.nest.flatten(x)))


@tf.custom_gradient
def _all_sums(*values: Any) -> tuple[Any, Callable]:
    replica = tf.distribute.get_replica_context()
    # `all_reduce` has this gradient too, and to find what it is of looks back through the graphs
    # of the other replicas, in a time that grows with their square. It stops at `stop_gradient`.
    sums = replica.all_reduce(tf.distribute.ReduceOp.SUM, list(map(tf.stop_gradient, values)))
    return sums, _all_sums


def _state(model: Any) -> list[Any]:
    """Every replica's variables of the model's state."""
    return [
        replica
        for variable in state(model)
        for replica in strategy(model).experimental_local_results(variable.value)
    ]


def _signature(specs: Any) -> Any:
    return tf.nest.map_structure(lambda spec: tf.TensorSpec(spec.shape, spec.dtype), specs)


def _zeros(spec: tf.TensorSpec) -> Any:
    return tf.zeros([length or 1 for length in spec.shape], spec.dtype)


def _share(x: Any, index: Any, number: int) -> Any:
    count = tf.shape(x)[0]
    return x[count * index // number : count * (index + 1) // number]


BACKEND = TensorFlow()
