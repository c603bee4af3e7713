"""Programs on PyTorch."""

import contextlib
import math
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import torch

from keras_bnact._backends.base import Backend, state

# Elements summed at a time: seven float64 tensors of 16 MB.
ELEMENTS = 2**21


class Torch(Backend):
    """Functions, which are run as they are written."""

    def trace(self, function: Callable, within: Callable, model: Any, specs: Any) -> None:
        zeros = keras.tree.map_structure(lambda spec: np.zeros(spec.shape, spec.dtype), specs)
        with within(model), self.state_restored(model), torch.no_grad():
            function(keras.tree.map_structure(_tensor, zeros, specs))

    def compile(
        self, function: Callable, within: Callable, model: Any, specs: Any, *arguments: Any
    ) -> Callable:
        # Weak, so that the program does not keep the model alive.
        reference = weakref.ref(model)

        def run(batch, *arguments, shared=True):
            batch = keras.tree.map_structure(_tensor, batch, specs)
            arguments = [keras.ops.convert_to_tensor(argument) for argument in arguments]
            with within(reference()), torch.no_grad():
                outputs = function(batch, *arguments)
            return [{name: keras.ops.convert_to_numpy(value) for name, value in outputs.items()}]

        return run

    def channel_sums(
        self, terms: Callable, x: Any, vectors: tuple[Any, ...], largest_batch: Any
    ) -> tuple[Any, Any, Any]:
        channels = x.shape[-1]
        vectors = tuple(vector.to(torch.float64) for vector in vectors)
        sums, minimum, maximum = [], [], []
        for part in torch.reshape(x, (-1, channels)).split(max(1, ELEMENTS // channels)):
            part = part.to(torch.float64)
            sums.append(torch.stack([summand.sum(0) for summand in terms(part, *vectors)]))
            minimum.append(part.amin(0))
            maximum.append(part.amax(0))
        return sum(sums), torch.stack(minimum).amin(0), torch.stack(maximum).amax(0)

    def bincount(self, x: Any, length: int) -> Any:
        return torch.bincount(x, minlength=length)

    def gradients(self, function: Callable, model: Any) -> tuple[Any, list[list[Any]]]:
        # Copies, of which those of weights that are not trained have gradients too.
        copies = [
            (variable, variable.value.detach().requires_grad_())
            for variable in model.variables
            if variable.value.is_floating_point()
        ]
        with torch.enable_grad(), _Assigning(copies, collect_losses=True) as scope:
            scalar, others, targets = function(lambda x: x)
            flat = [
                scope.get_current_value(target) if isinstance(target, keras.Variable) else target
                for target in keras.tree.flatten(targets)
            ]
            # An integer variable, which is no tensor here, has no gradient.
            tensors = [target for target in flat if isinstance(target, torch.Tensor)]
            found = iter(torch.autograd.grad(scalar, tensors, allow_unused=True))
        before = {id(variable): copy for variable, copy in copies}
        for variable in state(model):
            value = scope.get_current_value(variable)
            if value is not before.get(id(variable)):
                variable.assign(value.detach())
        every = [next(found) if isinstance(target, torch.Tensor) else None for target in flat]
        every = [torch.tensor(math.nan) if gradient is None else gradient for gradient in every]
        return others, keras.tree.pack_sequence_as(targets, every)

    @contextlib.contextmanager
    def state_restored(self, model: Any) -> Iterator[None]:
        old = [(variable, variable.value.clone()) for variable in state(model)]
        known = {id(variable) for variable, _ in old}
        try:
            # Keras' dropout takes PyTorch's own random numbers.
            with torch.random.fork_rng():
                yield
        finally:
            for variable, value in old:
                variable.assign(value)
            for variable in state(model):
                if id(variable) not in known:
                    # A metric that was made meanwhile.
                    variable.assign(torch.zeros_like(variable.value))


def _tensor(array: Any, spec: Any) -> Any:
    return keras.ops.convert_to_tensor(array, spec.dtype)


class _Assigning(keras.StatelessScope):
    """In which a gradient goes no further back than to what a layer assigned, as in training."""

    def add_update(self, update: tuple[keras.Variable, Any]) -> None:
        variable, value = update
        value = value.detach()
        if value.is_floating_point():
            value.requires_grad_()
        super().add_update((variable, value))


BACKEND = Torch()
