"""A model of the catalogue with its data, and what it should give by other means than `measure`."""

import contextlib
import inspect

import keras
import numpy as np
from differentiation import gradients
from keras import ops
from oracle import as_float64, randomize

from keras_bnact import measure

BACKEND = keras.backend.backend()


@contextlib.contextmanager
def put_back(variables):
    before = [(variable, ops.copy(variable.value)) for variable in variables]
    yield
    for variable, value in before:
        variable.assign(value)


def training_argument(model, training):
    """For a `call` that takes it."""
    takes = "training" in inspect.signature(model.call).parameters
    return {"training": training} if takes else {}


def forward(model, x, training):
    return model(x, **training_argument(model, training))


class Outputs:
    """What every layer gives at inference, called eagerly, by the layer or its name.

    Args:
        subject: The model with its data.
    """

    def __init__(self, subject):
        self._calls = {}
        for batch in subject.batches():
            with subject.batch(), self._recorded() as calls:
                forward(subject.model, batch, False)
            for layer, tensors in calls.items():
                self._calls.setdefault(layer, []).append(tensors)

    def __getitem__(self, layer):
        """All examples' outputs of a layer's first call, or of the n-th for `NAME#n`."""
        call = 0
        if isinstance(layer, str):
            name, _, number = layer.partition("#")
            layer, call = only(self._calls, name), int(number or 1) - 1
        return np.concatenate([as_float64(tensors[call]) for tensors in self._calls[layer]])

    def layer(self, name):
        """The layer of a name, for its variables."""
        return only(self._calls, name)

    @staticmethod
    @contextlib.contextmanager
    def _recorded():
        calls, original = {}, keras.layers.Layer.__call__

        def call(layer, *arguments, **keywords):
            outputs = original(layer, *arguments, **keywords)
            if hasattr(outputs, "shape"):
                calls.setdefault(layer, []).append(outputs)
            return outputs

        keras.layers.Layer.__call__ = call
        try:
            yield calls
        finally:
            keras.layers.Layer.__call__ = original


def only(layers, name):
    """The one layer of that name."""
    (layer,) = (layer for layer in layers if layer.name == name)
    return layer


class Subject:
    """A model of the catalogue with its data."""

    def __init__(self, case):
        self.case = case
        keras.utils.set_random_seed(0)
        rng = np.random.default_rng(0)
        keras.config.set_dtype_policy(case.policy)
        self.model = case.make()
        for layer in self.layers():
            if isinstance(layer, keras.layers.BatchNormalization):
                randomize(layer, rng)
        make = case.inputs or self._normal
        self.x = make(rng, case.examples)
        self.y = keras.tree.map_structure(
            lambda output: rng.normal(size=output.shape).astype("float32"), self.predict()
        )
        # Steps of the other length make 0.05 of a difference of 3e-17 within four of them.
        optimizer = keras.optimizers.SGD(1e-8 if case.policy == "float64" else 0.01)
        self.model.compile(optimizer, self._losses(), run_eagerly=case.run_eagerly)
        self.rows = case.rows(self.model) if callable(case.rows) else case.rows

    def _normal(self, rng, n):
        sequential = isinstance(self.model, keras.Sequential)
        return keras.tree.map_structure(
            lambda tensor: rng.normal(size=(n, *tensor.shape[1:])).astype("float32"),
            self.model.inputs[0] if sequential else self.model.input,
        )

    def _losses(self):
        return keras.tree.map_structure(lambda _: "mse", self.y)

    def predict(self, model=None):
        """What the model, or another one, gives at inference, as `self.x` is ordered."""
        model = model or self.model
        with self.put_back():
            parts = [forward(model, batch, False) for batch in self.batches()]
        return keras.tree.map_structure(lambda *t: np.concatenate(list(map(as_float64, t))), *parts)

    def batches(self):
        return list(map(self._part, range(0, self.case.examples, self.case.batch)))

    def labelled(self):
        """Batches with labels."""
        starts = range(0, self.case.examples, self.case.batch)
        return zip(self.batches(), [self._part(start, self.y) for start in starts], strict=True)

    def _part(self, start, of=None):
        part = slice(start, start + self.case.batch)
        return keras.tree.map_structure(lambda array: array[part], self.x if of is None else of)

    def layers(self):
        return list(self.model._flatten_layers())

    def variables(self):
        """Everything that a model, its optimizer and its metrics could change."""
        own = list(self.model.variables)
        if self.model.compiled:
            own += [*self.model.metrics_variables, *self.model.optimizer.variables]
        # Of which Keras says nothing in a model's variables.
        return own + self._states()

    def _states(self):
        """Of recurrent layers."""
        states = keras.tree.flatten([getattr(layer, "states", None) for layer in self.layers()])
        return [state for state in states if state is not None]

    def values(self):
        return [(variable, as_float64(variable).copy()) for variable in self.variables()]

    def put_back(self):
        return put_back(self.variables())

    def batch(self):
        """What a batch does to the states of recurrent layers is put back where Keras has it so."""
        return put_back(self._states()) if BACKEND == "jax" else contextlib.nullcontext()

    def kernels(self):
        """The weights before each activation that has any, by its row's name."""
        found = {}
        for name, row in self.rows.items():
            layer = name.rsplit("/", 1)[-1] if row.weights == "" else row.weights
            if layer is not None:
                layer = only(self.layers(), layer) if isinstance(layer, str) else layer
                found[name] = [weight for weight in layer.weights if len(weight.shape) >= 2]
                assert found[name], f"{layer.name} has no kernel"
        return found

    def gradients(self, kernels, x, y):
        """Mean absolute gradients of a batch's loss, by the backend's own means."""

        def loss():
            pairs = keras.tree.flatten(forward(self.model, x, True)), keras.tree.flatten(y)
            errors = [
                ops.cast(output, "float32") - ops.convert_to_tensor(label)
                for output, label in zip(*pairs, strict=True)
            ]
            # No case has weight penalties, which `measure_gradients` leaves out.
            return sum([*(ops.mean(ops.square(error)) for error in errors), *self.model.losses])

        variables = list({id(v): v for group in kernels.values() for v in group}.values())
        found = dict(zip(map(id, variables), gradients_of(loss, variables), strict=True))
        if BACKEND == "jax":
            self._advance(x)
        return [
            np.concatenate([np.abs(found[id(v)]).ravel() for v in group]).mean()
            for group in kernels.values()
        ]

    def _advance(self, x):
        """Assigns what Keras carries from a batch to the next on JAX."""
        model = self.model
        variables = model.trainable_variables, model.non_trainable_variables
        _, updated = model.stateless_call(*variables, x, **training_argument(model, True))
        for variable, value in zip(variables[1], updated, strict=True):
            variable.assign(value)

    def measure(self, model=None):
        return measure(
            model or self.model,
            self.x,
            layers=self.case.layers,
            batch_size=self.case.batch,
            channel_axis=self.case.channel_axis,
        )


def gradients_of(loss, variables):
    """As a training would take them; changes what a forward pass changes; NaN for integers."""
    taken = [variable for variable in variables if "float" in variable.dtype]
    if BACKEND == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            value = loss()
        found = tape.gradient(value, [variable.value for variable in taken])
    elif BACKEND == "torch":
        import torch

        values = [variable.value.requires_grad_() for variable in taken]
        found = torch.autograd.grad(loss(), values) if values else []
    else:
        found = gradients(loss, [], taken) if taken else []
    found = {id(v): as_float64(gradient) for v, gradient in zip(taken, found, strict=True)}
    return [found.get(id(variable), np.array(np.nan)) for variable in variables]
