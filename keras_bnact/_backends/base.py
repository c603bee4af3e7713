"""What measuring a model needs of Keras' backend."""

import abc
import contextlib
from collections.abc import Callable
from typing import Any

import keras

from keras_bnact import _keras_internals


class Backend(abc.ABC):
    """Programs that run a model, sums and gradients in them; the defaults are those of one device.

    Attributes:
        any_length: Whether one program takes batches of any length.
    """

    any_length = False

    def scope(self) -> Any:
        """What identifies the program that is being traced."""
        return None

    def model_dtypes(self) -> contextlib.AbstractContextManager:
        """A block in which a model computes in the types that it computes in elsewhere."""
        return contextlib.nullcontext()

    def placement(self, model: keras.Model) -> Any:
        """Where the model's variables are, as far as programs depend on it."""
        return None

    @abc.abstractmethod
    def trace(self, function: Callable, within: Callable, model: keras.Model, specs: Any) -> None:
        """Calls the function as `compile` does, on no values.

        Args:
            function: From a batch to nothing.
            within, model, specs: As in `compile`.
        """

    @abc.abstractmethod
    def compile(
        self, function: Callable, within: Callable, model: keras.Model, specs: Any, *arguments: Any
    ) -> Callable:
        """`function(batch, *arguments)` as one program, run by every replica on its share.

        Args:
            function: From tensors to a dict of tensors.
            within: Called with the model for a context manager; the function is called inside.
            model: The Keras model that it runs.
            specs: Shape and dtype of a batch's arrays, in any nesting; the first axis is that of
                the examples.
            *arguments: Arrays that every replica gets whole, for their shapes and dtypes.

        Returns:
            A function of a batch and arguments that returns a dict of NumPy arrays for each
            replica that took part. With `shared=False`, and for fewer examples than replicas, that
            is the first alone.
        """

    def traced_once(self, function: Callable) -> Callable:
        """The function, of tensors and Python values alone, for use within a program.

        Where programs are graphs, one that is called for many layers is traced and optimized once
        for each shape, and not for each layer.
        """
        return function

    @abc.abstractmethod
    def channel_sums(
        self, terms: Callable, x: Any, vectors: tuple[Any, ...], largest_batch: Any
    ) -> tuple[Any, Any, Any]:
        """Sums of `terms(x, *vectors)` over all axes but the last, and the extremes of `x`.

        Args:
            terms: From `x` and the vectors to a tuple of tensors, element by element.
            x: Tensor with the channels last.
            vectors: Vectors as long as that axis, float64 for a float64 `x` and else float32.
            largest_batch: Length of the first axis of a full batch; `x` may be shorter.

        Returns:
            float64 tensors: the sums `(terms, channels)`, minimum and maximum `(channels,)`.
        """

    @abc.abstractmethod
    def bincount(self, x: Any, length: int) -> Any:
        """How often each integer from 0 to `length - 1` is in a tensor of these alone."""

    @abc.abstractmethod
    def gradients(self, function: Callable, model: keras.Model) -> tuple[Any, list[list[Any]]]:
        """The gradients of a scalar.

        Args:
            function: Takes a function through which every tensor must go that a gradient is by;
                returns the scalar, other tensors, and lists of such tensors and of variables.
            model: The Keras model that it runs.

        Returns:
            The other tensors, and gradients in the place of the lists; NaN where there is none.
        """

    def state_restored(self, model: keras.Model) -> contextlib.AbstractContextManager:
        """A block at whose end the model's variables are as they were, those of each replica.

        That is moving statistics, seeds, metrics, and weights: spectral normalization assigns its
        kernel in the forward pass.
        """
        return contextlib.nullcontext()

    def replicas(self, model: keras.Model) -> int:
        """On how many shares of a batch a compiled function is called."""
        return 1

    def replicas_agree(self, model: keras.Model) -> bool:
        """Whether all replicas have the same moving statistics, as synchronized ones have."""
        return True

    def sum_over_replicas(self, x: Any) -> Any:
        """The sum of what all replicas hold as `x`."""
        return x


def state(model: keras.Model) -> list[keras.Variable]:
    """What running a model may change: also weights, which some layers assign."""
    layers = _keras_internals.layers(model)
    # Keras does not count a recurrent layer's among its variables.
    states = keras.tree.flatten([getattr(layer, "states", None) for layer in layers])
    states = [state for state in states if isinstance(state, keras.Variable)]
    return model.variables + model.metrics_variables + states
