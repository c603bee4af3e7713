"""Batches of whatever Keras takes as data."""

import itertools
import math
import os
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np


def batches(data: Any, batch_size: int, steps: int | None = None) -> Iterator[Any]:
    """The batches of `data`, in its own order, each as `data` gives it.

    Args:
        data: A `tf.data.Dataset`, a `keras.utils.PyDataset`, a data loader or a generator of
            batches, or a list of batches `(x, y)`; or arrays with as many examples each: one, a
            list or dict of several inputs, or a tuple `(x, y)` or `(x, y, sample_weight)` of those.
            Arrays are those of NumPy or the backend, also sparse ones, of numbers or text, and
            pandas' tables. An optional input may be None.
        batch_size: Examples a batch of arrays, 1 or more.
        steps: Stop after so many batches. Default: all there are.

    Returns:
        An iterator over batches: dense arrays or tensors, nested as in `data`, and None.

    Raises:
        ValueError: For anything else, data without end and no `steps`, a batch size or `steps`
            below 1, or arrays of different lengths.

    Example:

    >>> import numpy as np
    >>> from keras_bnact.measuring.batches import batches
    >>> [len(batch) for batch in batches(np.zeros((5, 3)), batch_size=2)]
    [2, 2, 1]
    """
    check(data, batch_size, steps)
    dense = (keras.tree.map_structure(_dense, batch) for batch in _all(data, batch_size))
    return itertools.islice((batch for batch in dense if examples(batch)), steps)


def examples(batch: Any) -> int:
    """How many examples a batch of `batches` holds."""
    return next((len(leaf) for leaf in keras.tree.flatten(batch) if leaf is not None), 0)


def check(data: Any, batch_size: int, steps: int | None = None) -> None:
    """Refuses what `batches` refuses, as far as that shows before a batch is read.

    Raises:
        ValueError: See `batches`.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be 1 or more; got {batch_size}.")
    if steps is not None and steps < 1:
        raise ValueError(f"steps must be 1 or more, or None for all batches; got {steps}.")
    if steps is None and _endless(data):
        raise ValueError("The data has no end: give `steps`, the number of batches to read.")


def inputs(batch: Any) -> Any:
    """What of a batch goes into the model: without labels and sample weights.

    Args:
        batch: `x`, or a tuple `(x,)`, `(x, y)` or `(x, y, sample_weight)`.

    Returns:
        `x`.

    Example:

    >>> from keras_bnact.measuring.batches import inputs
    >>> inputs(("images", "labels"))
    'images'
    """
    return keras.utils.unpack_x_y_sample_weight(batch)[0]


def _all(data: Any, batch_size: int) -> Iterator[Any]:
    if isinstance(data, keras.utils.PyDataset):
        numbers = itertools.count() if data.num_batches is None else range(data.num_batches)
        yield from (data[number] for number in numbers)
        return
    if _arrays(data):
        yield from _slices(data, batch_size)
        return
    if not hasattr(data, "__iter__") or isinstance(data, str | bytes | os.PathLike | dict):
        raise ValueError(
            f"Give data as a tf.data.Dataset, a PyDataset, batches to iterate over, or arrays; "
            f"got {_described(data)}."
        )
    yield from data


def _described(data: Any) -> str:
    if isinstance(data, dict):
        return f"a dict of {', '.join(sorted({type(value).__name__ for value in data.values()}))}"
    is_file = isinstance(data, str | os.PathLike)
    return f"{type(data).__name__} {os.fspath(data)!r}" if is_file else type(data).__name__


def _dense(leaf: Any) -> Any:
    """An array or tensor of what stands for one; None stays None."""
    if leaf is None:
        return None
    if hasattr(leaf, "to_numpy"):
        # pandas' tables; what has one axis is a column of them, as for Keras.
        leaf = leaf.to_numpy()
        leaf = leaf[:, None] if leaf.ndim == 1 else leaf
    elif hasattr(leaf, "toarray"):
        leaf = leaf.toarray()
    elif hasattr(leaf, "todense"):
        leaf = leaf.todense()
    elif hasattr(leaf, "dense_shape"):
        # TensorFlow's, which other backends get of tf.data as well.
        values = np.asarray(leaf.values)
        dense = np.zeros(tuple(leaf.dense_shape), values.dtype)
        dense[tuple(np.asarray(leaf.indices).T)] = values
        leaf = dense
    if not _has_examples(leaf):
        raise ValueError(
            f"A batch of the data holds {type(leaf).__name__}, where arrays are taken whose first "
            "axis is that of the examples: give numpy.asarray(...) of nested lists, and a list of "
            "several inputs as a tuple (inputs,)."
        )
    return leaf


def _endless(data: Any) -> bool:
    if isinstance(data, keras.utils.PyDataset):
        return data.num_batches is None
    # What tf.data says of a repeated data set.
    return hasattr(data, "cardinality") and int(data.cardinality()) == -1


def _arrays(data: Any) -> list[Any]:
    """The arrays of a nesting of arrays alone; none of anything else, such as a list of batches."""
    if isinstance(data, list) and any(isinstance(part, list | tuple | dict) for part in data):
        return []
    leaves = [leaf for leaf in keras.tree.flatten(data) if leaf is not None]
    return leaves if all(map(_has_examples, leaves)) else []


def _has_examples(leaf: Any) -> bool:
    return hasattr(leaf, "shape") and len(leaf.shape) > 0


def _slices(data: Any, batch_size: int) -> Iterator[Any]:
    # TensorFlow's sparse tensors have no slices.
    data = keras.tree.map_structure(
        lambda array: _dense(array) if hasattr(array, "dense_shape") else array, data
    )
    lengths = {array.shape[0] for array in _arrays(data)}
    if len(lengths) > 1:
        raise ValueError(
            f"The arrays hold different numbers of examples: {sorted(lengths)}; give as many "
            "of each."
        )
    if isinstance(data, list):
        # In a batch, Keras would take a list for (x, y).
        data = (data,)
    for begin in range(0, lengths.pop(), batch_size):
        yield keras.tree.map_structure(
            lambda array, begin=begin: None if array is None else _rows(array, begin, batch_size),
            data,
        )


def _rows(array: Any, begin: int, number: int) -> Any:
    # In a table of pandas a slice of numbers may mean labels.
    return getattr(array, "iloc", array)[begin : begin + number]


def number_of_batches(data: Any, batch_size: int, steps: int | None = None) -> int | None:
    """How many batches `batches` will give, or None where that shows only at the end.

    Args:
        data, batch_size, steps: As in `batches`.

    Returns:
        A number, or None.

    Example:

    >>> import numpy as np
    >>> from keras_bnact.measuring.batches import number_of_batches
    >>> number_of_batches(np.zeros((5, 3)), batch_size=2)
    3
    """
    if isinstance(data, keras.utils.PyDataset):
        number = data.num_batches
    elif _arrays(data):
        number = math.ceil(_arrays(data)[0].shape[0] / batch_size)
    else:
        try:
            number = len(data)
        except TypeError:
            number = None
    return min((n for n in (number, steps) if n is not None), default=None)
