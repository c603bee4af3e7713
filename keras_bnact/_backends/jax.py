"""Programs on JAX."""

import contextlib
import math
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.extend
import jax.numpy as jnp
import keras
import numpy as np

from keras_bnact._backends.base import Backend, state

# So many positions of an image are summed in float32, and these sums in float64: the roundings of a
# channel that hardly varies are alike, and add up. For fewer it is not worth its while.
MOST_FLOAT32, LEAST_FLOAT32 = 128, 16


class Jax(Backend):
    """Programs that take the model's variables as arguments and give those back that change.

    Of a model with `run_eagerly` they are functions, which are run as they are written.
    """

    def scope(self) -> Any:
        return jax.extend.core.get_opaque_trace_state()

    def model_dtypes(self) -> contextlib.AbstractContextManager:
        # Programs are made where float64 is to be had, for their sums; a model's constants would be
        # of that type too, and clash with its float32.
        return jax.enable_x64(False)

    def placement(self, model: Any) -> Any:
        return [variable.value.sharding for variable in model.variables]

    def trace(self, function: Callable, within: Callable, model: Any, specs: Any) -> None:
        variables = _variables(model)

        def stateless(values, batch):
            with _holding(variables, values):
                function(batch)

        values = [variable.value for variable in variables]
        with within(model), _float64(), keras.StatelessScope(), _traceable():
            if model.run_eagerly:
                stateless(values, jax.tree.map(lambda s: jnp.zeros(s.shape, _dtype(s)), specs))
            else:
                batch = jax.tree.map(lambda s: jax.ShapeDtypeStruct(s.shape, _dtype(s)), specs)
                jax.eval_shape(stateless, values, batch)

    def compile(
        self, function: Callable, within: Callable, model: Any, specs: Any, *arguments: Any
    ) -> Callable:
        variables = _variables(model)

        # Weak, so that the program does not keep the model alive.
        reference = weakref.ref(model)

        def stateless(values, batch, *arguments):
            with _holding(variables, values) as scope:
                outputs = function(batch, *arguments)
            return outputs, _changed(scope, variables, values)

        def eager(*arguments):
            with within(reference()):
                return stateless(*arguments)

        def values():
            return [variable.value for variable in variables]

        placed = jax.tree.map(lambda spec: _sharding(variables, spec.shape), specs)
        batch = jax.tree.map(
            lambda spec, place: jax.ShapeDtypeStruct(spec.shape, _dtype(spec), sharding=place),
            specs,
            placed,
        )
        # In a scope of its own, since variables that are made in the trace, a metric's, would
        # otherwise get their first values there.
        if model.run_eagerly:
            program: Callable = eager
        else:
            with within(model), _float64(), keras.StatelessScope(), _traceable():
                traced = jax.jit(stateless, out_shardings=(_sharding(variables, ()), None))
                program = traced.lower(values(), batch, *arguments).compile()

        def place(array, spec, sharding):
            array = np.asarray(array, _dtype(spec))
            if sharding is None:
                return array
            # Every process has the whole batch, and takes what its devices compute.
            return jax.make_array_from_callback(array.shape, sharding, array.__getitem__)

        def run(batch, *arguments, shared=True):
            with _float64():
                placed_batch = jax.tree.map(place, batch, specs, placed)
                outputs, changed = program(values(), placed_batch, *arguments)
            for number, value in changed.items():
                variables[number].assign(value)
            return [{name: np.asarray(value) for name, value in outputs.items()}]

        return run

    def channel_sums(
        self, terms: Callable, x: Any, vectors: tuple[Any, ...], largest_batch: Any
    ) -> tuple[Any, Any, Any]:
        if x.dtype in (jnp.float16, jnp.bfloat16):
            # XLA would leave out the rounding of an activation that nothing else reads.
            info = jnp.finfo(x.dtype)
            x = jax.lax.reduce_precision(x, info.nexp, info.nmant)
        # Within an image, since devices may share the batch.
        positions = math.prod(x.shape[1:-1])
        block = math.gcd(positions, MOST_FLOAT32)
        dtype = jnp.promote_types(x.dtype, jnp.float32) if block >= LEAST_FLOAT32 else jnp.float64
        # In two steps, since JAX joins axes or parts one of an array with a sharding of its own.
        x = jnp.reshape(x, (x.shape[0], positions, x.shape[-1])).astype(dtype)
        x = jnp.reshape(x, (x.shape[0], positions // block, block, x.shape[-1]))
        sums = [
            jnp.sum(jnp.sum(summand, axis=2).astype(jnp.float64), axis=(0, 1))
            for summand in terms(x, *vectors)
        ]
        minimum, maximum = (reduce(x, axis=(0, 1, 2)) for reduce in (jnp.min, jnp.max))
        return jnp.stack(sums), minimum.astype(jnp.float64), maximum.astype(jnp.float64)

    def bincount(self, x: Any, length: int) -> Any:
        return jnp.bincount(x, length=length)

    def gradients(self, function: Callable, model: Any) -> tuple[Any, list[list[Any]]]:
        # JAX has no gradient by what is computed on the way. Zeros are added to it, and stand for
        # it.
        variables = _variables(model)
        values = [variable.value for variable in variables]
        specs: list[jax.ShapeDtypeStruct] = []
        places: list[list[tuple[int, int]]] = []

        def note(x):
            specs.append(jax.ShapeDtypeStruct(x.shape, x.dtype))
            return x

        def explored(values):
            with _holding(variables, values):
                function(note)

        def scalar(zeros, values):
            made: list[Any] = []

            def perturb(x):
                made.append(x + zeros[len(made)])
                return made[-1]

            with _holding(variables, values) as scope:
                result, others, targets = function(perturb)
            number = {id(x): (0, n) for n, x in enumerate(made)}
            number |= {id(variable): (1, n) for n, variable in enumerate(variables)}
            places[:] = [[number[id(target)] for target in some] for some in targets]
            return result, (others, _changed(scope, variables, values))

        with _traceable():
            jax.eval_shape(explored, values)
        zeros = [jnp.zeros(spec.shape, spec.dtype) for spec in specs]
        differentiate = jax.grad(scalar, argnums=(0, 1), has_aux=True, allow_int=True)
        found, (others, changed) = differentiate(zeros, values)
        for number, value in changed.items():
            variables[number].assign(value)
        return others, [[_or_nan(found[which][n]) for which, n in some] for some in places]

    @contextlib.contextmanager
    def state_restored(self, model: Any) -> Iterator[None]:
        old = {id(variable): variable.value for variable in state(model)}
        try:
            yield
        finally:
            for variable in state(model):
                # Zeros for a metric that was made meanwhile.
                value = old.get(id(variable), 0)
                if variable.value is not value:
                    variable.assign(jnp.broadcast_to(value, variable.shape))


def _variables(model: Any) -> list[keras.Variable]:
    return list({id(v): v for v in [*model.variables, *model.metrics_variables]}.values())


def _dtype(spec: Any) -> Any:
    """What JAX takes for it elsewhere: of 32 bits, not 64."""
    with jax.enable_x64(False):
        return jax.dtypes.canonicalize_dtype(spec.dtype)


def _sharding(variables: list[keras.Variable], shape: tuple[int, ...]) -> Any:
    """Which device takes which examples of an array, where `keras.distribution` has several.

    A batch that they cannot share evenly, and what is no batch, is every device's.
    """
    shardings = [variable.value.sharding for variable in variables]
    meshes = [s.mesh for s in shardings if isinstance(s, jax.sharding.NamedSharding)]
    if not meshes:
        return None
    axis = getattr(keras.distribution.distribution(), "batch_dim_name", None)
    if axis not in meshes[0].axis_names:
        axis = meshes[0].axis_names[0]
    even = bool(shape) and shape[0] % meshes[0].shape[axis] == 0
    return jax.sharding.NamedSharding(
        meshes[0], jax.sharding.PartitionSpec(*([axis] if even else []))
    )


def _holding(variables: list[keras.Variable], values: list[Any]) -> keras.StatelessScope:
    return keras.StatelessScope(zip(variables, values, strict=True), collect_losses=True)


def _changed(
    scope: keras.StatelessScope, variables: list[keras.Variable], values: list[Any]
) -> dict[int, Any]:
    """New values by number, of what Keras carries from batch to batch on JAX.

    What a layer assigns to a weight that is trained is lost there in training, too.
    """
    current = [scope.get_current_value(variable) for variable in variables]
    return {
        number: current[number]
        for number, variable in enumerate(variables)
        if not variable.trainable and current[number] is not values[number]
    }


@contextlib.contextmanager
def _traceable() -> Iterator[None]:
    """Says in a sentence what JAX means where it has no values."""
    try:
        yield
    except Exception as error:
        chain: list[BaseException | None] = [error]
        while chain[-1] is not None:
            chain.append(chain[-1].__cause__ or chain[-1].__context__)
        if not any(isinstance(link, jax.errors.JAXTypeError) for link in chain):
            raise
        raise ValueError(
            "The model reads values of its tensors, as NumPy arrays or in an `if`, and JAX has "
            "none where it compiles or differentiates: after model.compile(run_eagerly=True) "
            "`measure` runs it as it is written; gradients it has none on JAX."
        ) from None


def _float64() -> contextlib.AbstractContextManager:
    """Without which JAX takes float32 for float64."""
    return jax.enable_x64(True)


def _or_nan(gradient: Any) -> Any:
    """NaN for what has none, an integer."""
    return jnp.nan if gradient.dtype == jax.dtypes.float0 else gradient


BACKEND = Jax()
