"""Measuring gradients as training would see them (figure 15 of the paper)."""

import dataclasses
import functools
import weakref
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_bnact import _backends, _keras_internals, records
from keras_bnact.measuring.batches import batches, examples
from keras_bnact.measuring.layer_names import patterns
from keras_bnact.measuring.model_inputs import model_inputs
from keras_bnact.measuring.programs import (
    Signature,
    check_built,
    forward,
    programs,
    watched,
)
from keras_bnact.measuring.sites import find, kernels, select
from keras_bnact.measuring.watching import Watch

GRADIENT_STATISTICS = ("input", "weight_gradient", "activation_gradient")


@dataclasses.dataclass(frozen=True)
class LayerGradients:
    """What `measure_gradients` finds out about one weight layer and the activation after it.

    Args:
        name: Of the block or layer, as in `measure`.
        input: Mean absolute input of the weight layer.
        weight_gradient: Mean absolute gradient of its kernel (all its weights but biases).
        activation_gradient: Mean absolute gradient of the activation's input.

    Example:

    >>> from keras_bnact.measuring.gradients import LayerGradients
    >>> LayerGradients("conv1", 0.5, 1e-3, 1e-6).input
    0.5
    """

    name: str
    input: float
    weight_gradient: float
    activation_gradient: float


class ModelGradients(records.Results[LayerGradients]):
    """The `LayerGradients` of a model, in the order of its forward pass; prints as a table.

    Also found by name: `gradients["conv1"]`. A notebook shows a table; `plot()` draws the layers,
    and `to_frame()` gives a `pandas.DataFrame`.

    Args:
        layers: The layers.
        batch_size: Examples in the first batch. Gradients of a mean over a batch shrink as it
            grows: compare like with like.
        batches: Number of batches averaged over.

    Example:

    >>> from keras_bnact.measuring.gradients import LayerGradients, ModelGradients
    >>> gradients = ModelGradients([LayerGradients("conv1", 0.5, 1e-3, 1e-6)], 128, 10)
    >>> gradients["conv1"].input
    0.5
    >>> print(gradients)
    layer       input   weight_gradient   activation_gradient
    conv1   5.000e-01         1.000e-03             1.000e-06
    means of 10 batches of 128
    """

    PLOTTED = GRADIENT_STATISTICS
    SCALE = "log"

    def __init__(self, layers: Sequence[LayerGradients], batch_size: int, batches: int):
        super().__init__(layers)
        self.batch_size, self.batches = batch_size, batches

    def entries(self) -> dict[str, float]:
        """All of every layer, by `STATISTIC/LAYER`: what goes into a training's logs."""
        return records.entries(self, GRADIENT_STATISTICS)

    def records(self) -> list[dict[str, Any]]:
        """A dict of plain numbers and text for each layer."""
        return [
            {
                "index": index,
                "layer": layer.name,
                **{name: getattr(layer, name) for name in GRADIENT_STATISTICS},
                "batch_size": self.batch_size,
            }
            for index, layer in enumerate(self)
        ]

    def __str__(self) -> str:
        rows = [
            [layer.name, *(f"{getattr(layer, name):.3e}" for name in GRADIENT_STATISTICS)]
            for layer in self
        ]
        lines = records.aligned([["layer", *GRADIENT_STATISTICS], *rows], text_columns=1)
        return "\n".join([lines, *self.notes()])

    def notes(self) -> list[str]:
        """What the figures are means of."""
        return [f"means of {self.batches} batches of {self.batch_size}"]

    __repr__ = __str__


def measure_gradients(
    model: keras.Model,
    data: Any,
    layers: str | Sequence[str] | None = None,
    batch_size: int = 128,
    steps: int | None = None,
) -> ModelGradients:
    """Inputs and gradients of a model's layers, as training would see them, changing nothing.

    For each batch: the forward pass in training mode, and the gradients of the compiled loss,
    averaged over the batch, and of what layers add by `add_loss`, without weight penalties and
    activity regularizers. Absolute values are averaged over all elements of a batch, and then over
    the batches. What training carries from batch to batch, moving statistics, random seeds and
    metrics, is put back afterwards, also on an error. Layers that are not
    trainable have gradients as well. Where the loss does not depend on a layer they are NaN, and 0
    on JAX, which does not tell the two.

    Args:
        model: A built and compiled Keras model, on TensorFlow, JAX or PyTorch. Under
            `tf.distribute.MirroredStrategy` every replica takes its share of each batch, and
            gradients are those of the whole batch, for a loss that is a mean over it, as Keras'
            are; a batch with fewer examples than replicas is left out.
        data: As in `measure`, with the labels that the loss needs.
        layers: As in `measure`; of those, the activations that a weight layer precedes,
            directly or with batch normalization in between.
        batch_size: Examples a batch, for arrays only. Default 128.
        steps: At most so many batches. Default: all.

    Returns:
        A `ModelGradients`: a list of `LayerGradients` that prints as a table.

    Raises:
        ValueError: As `measure`, and for a model without a loss or data without labels.

    Example:

    >>> import keras, keras_bnact
    >>> import numpy as np
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, "tanh", name="hidden")])
    >>> model.compile(loss="mse")
    >>> (layer,) = keras_bnact.measure_gradients(model, (np.ones((32, 8)), np.ones((32, 4))))
    >>> layer.name, layer.input
    ('hidden', 1.0)

    Reference: appendix A.7 and figure 15 of the paper.
    """
    check_built(model)
    if not model.compiled:
        raise ValueError(
            f"Model '{model.name}' is not compiled with a loss: call model.compile(loss=...)."
        )
    backend = _backends.current()
    chosen, sizes, results = patterns(layers), [], []
    replicas = backend.replicas(model)
    stream = (
        _with_labels(model, batch, replicas)
        for batch in batches(data, batch_size, steps)
        if examples(batch) >= replicas
    )
    with backend.state_restored(model):
        for program, batch in programs(
            model,
            stream,
            ("gradients", chosen),
            lambda signature: _Program(model, signature, chosen),
        ):
            sizes.append(examples(batch))
            results.append(program.run(batch, sizes[-1], _loss_scale(model)))
    if not results:
        enough = f", of {replicas} examples or more for {replicas} replicas" * (replicas > 1)
        raise ValueError(f"The data holds no batch to measure{enough}.")
    return ModelGradients(
        [
            LayerGradients(name, *map(float, row))
            for name, row in zip(program.names, np.mean(results, axis=0), strict=True)
        ],
        sizes[0],
        len(sizes),
    )


def _with_labels(model: keras.Model, batch: Any, replicas: int) -> tuple[Any, ...]:
    """`(x, y)` or `(x, y, sample_weight)`; `(x,)` for a model whose loss needs no labels."""
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
    x = model_inputs(model, x, replicas)
    if y is None and _keras_internals.compiled_loss(model) is not None:
        raise ValueError("The data holds no labels for the loss: give (x, y).")
    return tuple(part for part in (x, y, sample_weight) if part is not None)


class _Program:
    """A model's forward and backward pass, compiled."""

    def __init__(self, model: keras.Model, signature: Signature, layers: Sequence[str] | None):
        backend = _backends.current()
        self.names: list[str] = []
        replicas = backend.replicas(model)
        watch = Watch(backend.scope)
        # Weak, so that a program does not keep the model alive that it is kept for.
        reference = weakref.ref(model)

        def loss_and_sites(batch, perturb):
            x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(signature.nested(batch))
            with backend.model_dtypes():
                with watch.recording(perturb) as recording:
                    outputs = forward(reference(), x, training=True)
                loss = reference().compute_loss(x, y, outputs, sample_weight)
            sites = select(find(recording, training=True), layers)
            sites = [site for site in sites if site.layer]
            if not sites:
                raise ValueError(
                    "None of the measured activations has a weight layer before it, directly or "
                    "with batch normalization in between."
                )
            self.names = [site.name for site in sites]
            return loss, sites

        def scaled_loss(batch, number, scale, perturb):
            loss, sites = loss_and_sites(batch, perturb)
            # Keras' loss is the mean over a replica's share, divided by the number of replicas.
            share = ops.shape(batch[0])[0]
            loss *= replicas * ops.cast(share, loss.dtype) / ops.cast(number, loss.dtype)
            targets = [[site.inputs, *kernels(site.layer)] for site in sites]
            scaled = loss * ops.cast(scale, loss.dtype)
            return scaled, [site.layer_inputs for site in sites], targets

        def step(batch, number, scale):
            inputs, gradients = backend.gradients(
                functools.partial(scaled_loss, batch, number, scale), reference()
            )
            outputs = {"input": [], "activation": [], "weight": []}
            for layer_inputs, (of_activation, *of_kernels) in zip(inputs, gradients, strict=True):
                outputs["input"].append(_sum_and_count(keras.tree.flatten(layer_inputs), 1.0))
                outputs["activation"].append(_sum_and_count([of_activation], scale))
                of_kernels = [backend.sum_over_replicas(g) for g in of_kernels]
                outputs["weight"].append(_sum_and_count(of_kernels, scale))
            return {name: ops.stack(rows) for name, rows in outputs.items()}

        within = functools.partial(watched, watch)
        arguments = (np.int32(1), _loss_scale(model))
        self._run = backend.compile(step, within, model, signature.specs, *arguments)

    def run(self, batch: Sequence[Any], number: int, scale: np.float32) -> np.ndarray:
        """The means of one batch, a row for each layer in the order of `GRADIENT_STATISTICS`."""
        results = self._run(batch, np.int32(number), scale)
        total = {name: sum(result[name] for result in results) for name in results[0]}
        # Every replica has the sum of all replicas' weight gradients.
        total["weight"] = results[0]["weight"]
        columns = (total["input"], total["weight"], total["activation"])
        return np.stack([column[:, 0] / column[:, 1] for column in columns], axis=1)


def _sum_and_count(tensors: Sequence[Any], scale: Any) -> Any:
    """Sum of the absolute values over `scale`, and number of the elements, in float64."""
    flat = ops.concatenate([ops.reshape(ops.cast(t, "float64"), (-1,)) for t in tensors])
    values = ops.abs(flat) / ops.cast(scale, "float64")
    return ops.stack([ops.sum(values), ops.cast(ops.size(flat), "float64")])


def _loss_scale(model: keras.Model) -> np.float32:
    """What the optimizer multiplies the loss by now, so that half precision holds the gradients."""
    one = ops.ones(())
    scale = one if model.optimizer is None else model.optimizer.scale_loss(one)
    return np.float32(ops.convert_to_numpy(scale))
