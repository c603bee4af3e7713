"""Bounded activation functions and their bounds.

| name             | formula                         | bounds          |
| ---              | ---                             | ---             |
| `tanh`           | `tanh(x)`                       | -1, 1           |
| `lecun_tanh`     | `1.7159 * tanh(2 * x / 3)`      | -1.7159, 1.7159 |
| `softsign`       | `x / (1 + abs(x))`              | -1, 1           |
| `hard_tanh`      | `min(max(x, -1), 1)`            | -1, 1           |
| `arctan`         | `arctan(x)`                     | -pi/2, pi/2     |
| `erf`            | `erf(x)`                        | -1, 1           |
| `shifted_tanh`   | `tanh(x - 1)`                   | -1, 1           |
| `penalized_tanh` | `tanh(x)`, a quarter below zero | -0.25, 1        |
| `relu`           | `max(x, 0)`                     | none            |

The shifted and the penalized one are asymmetric from the start.

The bounds of an activation are its asymptotes, the lower and the upper one.
"""

import dataclasses
import inspect
import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

LECUN_TANH_SCALE = 1.7159
TANH_SHIFT = 1.0
TANH_PENALTY = 0.25

Bounds = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class _Known:
    """What is known of an activation: its asymptotes, and whether `f(-x) = -f(x)`."""

    function: Callable
    bounds: Bounds | None
    odd: bool


_KNOWN: dict[str, _Known] = {}


def _known(bounds: Bounds | None, odd: bool = False) -> Callable[[Callable], Callable]:
    """Makes a function known by its name."""

    def decorator(function: Callable) -> Callable:
        _KNOWN[function.__name__] = _Known(function, bounds, odd)
        return function

    return decorator


@_known((-1.0, 1.0), odd=True)
def tanh(x: Any) -> Any:
    """Hyperbolic tangent, `tanh(x)`, in (-1, 1).

    Args:
        x: Tensor of any shape and float dtype.

    Returns:
        A tensor of the shape and dtype of `x`.

    Example:

    >>> from keras_bnact import activations
    >>> float(activations.tanh(0.0))
    0.0
    """
    return ops.tanh(x)


@_known((-LECUN_TANH_SCALE, LECUN_TANH_SCALE), odd=True)
def lecun_tanh(x: Any) -> Any:
    """LeCun's scaled hyperbolic tangent, `1.7159 * tanh(2 * x / 3)`, in (-1.7159, 1.7159).

    Args:
        x: Tensor of any shape and float dtype.

    Returns:
        A tensor of the shape and dtype of `x`.

    Example:

    >>> from keras_bnact import activations
    >>> round(float(activations.lecun_tanh(1.0)), 4)
    1.0

    Reference: section 7.2 of the paper, after LeCun et al., "Efficient BackProp".
    """
    return LECUN_TANH_SCALE * ops.tanh(2.0 / 3.0 * x)


@_known((-1.0, 1.0), odd=True)
def softsign(x: Any) -> Any:
    """Softsign, `x / (1 + abs(x))`, in (-1, 1): approaches its bound polynomially.

    Args:
        x: Tensor of any shape and float dtype.

    Returns:
        A tensor of the shape and dtype of `x`.

    Example:

    >>> from keras_bnact import activations
    >>> float(activations.softsign(1.0))
    0.5

    Reference: section 7.2 of the paper, after Turian et al. (2009).
    """
    return ops.softsign(x)


@_known((-1.0, 1.0), odd=True)
def hard_tanh(x: Any) -> Any:
    """Piecewise linear tangent, `min(max(x, -1), 1)`, in [-1, 1]: reaches its bounds.

    Args:
        x: Tensor of any shape and float dtype.

    Returns:
        A tensor of the shape and dtype of `x`.

    Example:

    >>> from keras_bnact import activations
    >>> float(activations.hard_tanh(3.0))
    1.0

    Reference: Collobert, "Large scale machine learning" (2004).
    """
    return ops.hard_tanh(x)


@_known((-math.pi / 2, math.pi / 2), odd=True)
def arctan(x: Any) -> Any:
    """Inverse tangent, `arctan(x)`, in (-pi/2, pi/2): approaches its bound as `1 / x`.

    Args:
        x: Tensor of any shape and float dtype.

    Returns:
        A tensor of the shape and dtype of `x`.

    Example:

    >>> from keras_bnact import activations
    >>> round(float(activations.arctan(1.0)), 4)
    0.7854
    """
    return ops.arctan(x)


@_known((-1.0, 1.0), odd=True)
def erf(x: Any) -> Any:
    """Error function, `2 / sqrt(pi)` times the integral of `exp(-t ** 2)` from 0 to `x`.

    In (-1, 1); of the smooth ones here it approaches its bounds the fastest.

    Args:
        x: Tensor of any shape and float dtype.

    Returns:
        A tensor of the shape and dtype of `x`.

    Example:

    >>> from keras_bnact import activations
    >>> round(float(activations.erf(1.0)), 4)
    0.8427
    """
    return ops.erf(x)


@_known((-1.0, 1.0))
def shifted_tanh(x: Any) -> Any:
    """A tangent that is asymmetric from the start, `tanh(x - 1)`, in (-1, 1).

    What it gives for inputs around zero is nearer its lower bound, as in a channel that has
    saturated there. A bias of 1 before it undoes that: weight layers learn theirs, from 0 on.

    Args:
        x: Tensor of any shape and float dtype.

    Returns:
        A tensor of the shape and dtype of `x`.

    Example:

    >>> from keras_bnact import activations
    >>> float(activations.shifted_tanh(1.0))
    0.0

    Reference: after Kim et al., "Tanh Works Better with Asymmetry" (2023). The shift is ours.
    """
    return ops.tanh(x - TANH_SHIFT)


@_known((-TANH_PENALTY, 1.0))
def penalized_tanh(x: Any) -> Any:
    """`tanh(x)` above zero and `0.25 * tanh(x)` below, in (-0.25, 1).

    Args:
        x: Tensor of any shape and float dtype.

    Returns:
        A tensor of the shape and dtype of `x`.

    Example:

    >>> from keras_bnact import activations
    >>> round(float(activations.penalized_tanh(-100.0)), 4)
    -0.25

    Reference: Xu et al., "Revise Saturated Activation Functions" (2016).
    """
    y = ops.tanh(x)
    return ops.maximum(y, TANH_PENALTY * y)


@_known(None)
def relu(x: Any) -> Any:
    """Rectified linear unit, `max(x, 0)`: the paper's unbounded point of comparison.

    Args:
        x: Tensor of any shape and float dtype.

    Returns:
        A tensor of the shape and dtype of `x`.

    Example:

    >>> from keras_bnact import activations
    >>> float(activations.relu(-2.0))
    0.0
    """
    return ops.relu(x)


# Of functions that Keras and its backends have under these names.
_BACKENDS = ("keras", "tensorflow", "jax", "torch")
_THEIR_BOUNDS: dict[str, Bounds | None] = {
    "arctan": (-math.pi / 2, math.pi / 2),
    "atan": (-math.pi / 2, math.pi / 2),
    "erf": (-1.0, 1.0),
    "hard_sigmoid": (0.0, 1.0),
    "hard_tanh": (-1.0, 1.0),
    "relu": None,
    "sigmoid": (0.0, 1.0),
    "soft_sign": (-1.0, 1.0),
    "softsign": (-1.0, 1.0),
    "sparse_sigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
}
_THEIR_ODD = (
    *("arctan", "atan", "erf", "hard_shrink", "hard_tanh", "linear", "soft_shrink", "soft_sign"),
    *("softsign", "tanh", "tanh_shrink"),
)


def names() -> tuple[str, ...]:
    """Names that `get` and `bounds` know: ours and the registered ones.

    Returns:
        The names, ours first.

    Example:

    >>> from keras_bnact import activations
    >>> activations.names()[:3]
    ('tanh', 'lecun_tanh', 'softsign')
    """
    return tuple(_KNOWN)


def get(activation: str | Callable) -> Callable:
    """The function behind a name; a function or a layer is returned as it is.

    Args:
        activation: One of `names()`, a name that `keras.activations.get` knows, or a
            callable.

    Returns:
        A callable that maps a tensor to a tensor.

    Raises:
        ValueError: For a name that neither this module nor Keras knows.

    Example:

    >>> from keras_bnact import activations
    >>> activations.get("lecun_tanh").__name__
    'lecun_tanh'
    """
    if not isinstance(activation, str):
        if callable(activation):
            return activation
        raise _unknown(activation)
    if activation in _KNOWN:
        return _KNOWN[activation].function
    try:
        return keras.activations.get(activation)
    except ValueError:
        raise _unknown(activation) from None


def bounds(activation: Any) -> Bounds | None:
    """An activation's asymptotes, or None where it has none.

    Args:
        activation: A name, a function, or a layer: its `activation` counts. Known are ours and
            the registered ones, and, of Keras and its backends (`keras.activations`,
            `keras.ops`, `tf.nn`, `jax.nn`, `torch`), those named `tanh`, `hard_tanh`,
            `softsign`, `soft_sign`, `arctan`, `atan`, `erf`, `sigmoid`, `hard_sigmoid`,
            `sparse_sigmoid` and `relu`.

    Returns:
        The lower and the upper one; None for an activation that is known to be unbounded.

    Raises:
        ValueError: For an activation whose bounds are not known; `register` it.

    Example:

    >>> import keras
    >>> from keras_bnact import activations
    >>> activations.bounds("lecun_tanh")
    (-1.7159, 1.7159)
    >>> activations.bounds(keras.layers.Dense(4, activation="sigmoid"))
    (0.0, 1.0)
    >>> activations.bounds("relu") is None
    True

    Reference: equation 1 of the paper and Algorithm 2.
    """
    known, their_name = _find(activation)
    if known is not None:
        return known.bounds
    if their_name in _THEIR_BOUNDS:
        return _THEIR_BOUNDS[their_name]
    raise _unknown(activation)


def is_odd(activation: Any) -> bool:
    """Whether an activation is known to be odd, `f(-x) = -f(x)`.

    Args:
        activation: A name, a function, or a layer: its `activation` counts.

    Returns:
        True for what is known to be: of ours and of the registered ones, and of Keras and its
        backends, those that `bounds` knows with bounds around zero, `linear`, `hard_shrink`,
        `soft_shrink` and `tanh_shrink`.

    Example:

    >>> from keras_bnact import activations
    >>> activations.is_odd("lecun_tanh"), activations.is_odd("shifted_tanh")
    (True, False)
    """
    known, their_name = _find(activation)
    return their_name in _THEIR_ODD if known is None else known.odd


def _find(activation: Any) -> tuple[_Known | None, str | None]:
    """What is known of ours or a registered one; else the name of one of theirs, if it is that."""
    while hasattr(activation, "activation"):
        activation = activation.activation
    for name, known in _KNOWN.items():
        if activation is known.function or activation == name:
            return known, None
    return None, activation if isinstance(activation, str) else _their_name(activation)


def _their_name(function: Any) -> str | None:
    """The name of a function or layer of Keras or a backend; None of what it does not tell all."""
    module = getattr(function, "__module__", None) or ""
    # PyTorch's functions have no module.
    if getattr(function, "__qualname__", "").startswith("_VariableFunctions"):
        module = "torch"
    capped = getattr(function, "max_value", None) is not None
    if module.split(".")[0] not in _BACKENDS or capped:
        return None
    return getattr(function, "__name__", type(function).__name__.lower())


def register(
    bounds: Bounds | None, name: str | None = None, package: str = "Custom", odd: bool = False
) -> Callable[[Callable], Callable]:
    """Makes a function of one's own known by name, with its bounds; a decorator.

    The function is registered with Keras too, so that a model that holds it is saved and
    loaded with no `custom_objects`.

    Args:
        bounds: Its asymptotes, the lower and the upper one; None for an unbounded function.
        name: The name to register, by default the function's.
        package: Keras' name space for saving, as in `register_keras_serializable`.
        odd: Whether `f(-x) = -f(x)`, which `fold_batch_normalization` makes use of.

    Returns:
        A decorator that returns the function itself.

    Raises:
        ValueError: If `bounds` are not two finite numbers, the first below the second, if another
            function has the name, or for a lambda or another callable that is no function.

    Example:

    >>> from keras import ops
    >>> from keras_bnact import activations
    >>> @activations.register(bounds=(-1.0, 1.0))
    ... def algebraic_sigmoid(x):
    ...     return x / ops.sqrt(1.0 + ops.square(x))
    >>> activations.bounds("algebraic_sigmoid")
    (-1.0, 1.0)
    """
    checked = check_bounds(bounds)

    def decorator(function: Callable) -> Callable:
        if not inspect.isfunction(function) or function.__name__ == "<lambda>":
            raise ValueError(
                f"Only a function made by `def` can be saved with a model by name; got {function}."
            )
        key = name or function.__name__
        known = _KNOWN[key].function if key in _KNOWN else function
        # A module that is run or reloaded twice defines its function anew.
        if (known.__module__, known.__qualname__) != (function.__module__, function.__qualname__):
            raise ValueError(
                f"An activation named '{key}' is registered already; give another `name`."
            )
        keras.saving.register_keras_serializable(package, key)(function)
        _KNOWN[key] = _Known(function, checked, odd)
        return function

    return decorator


def check_bounds(bounds: Any) -> Bounds | None:
    """The bounds as two floats; None stays None.

    Raises:
        ValueError: For anything but None or two finite numbers, the first below the second.

    Example:

    >>> from keras_bnact import activations
    >>> activations.check_bounds([0, 1])
    (0.0, 1.0)
    """
    if bounds is None:
        return None
    try:
        lower, upper = map(float, bounds)
    except (TypeError, ValueError):
        lower, upper = math.nan, math.nan
    if not -math.inf < lower < upper < math.inf:
        raise ValueError(
            "The bounds of an activation are its asymptotes, (lower, upper), two finite numbers "
            f"in this order, or None; got {bounds}."
        )
    return lower, upper


def _unknown(activation: Any) -> ValueError:
    return ValueError(
        f"Unknown activation {activation!r}: give one of {', '.join(names())}, "
        "or register your own with keras_bnact.activations.register(bounds=...)."
    )
