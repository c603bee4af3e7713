"""The callbacks in `model.fit`."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_bnact import BoundedBlock, measure, measure_gradients
from keras_bnact.callbacks import ActivationStatistics, GradientStatistics


def make_model():
    model = keras.Sequential(
        [
            keras.Input((3,)),
            BoundedBlock(layers.Dense(6), "tanh", name="first"),
            BoundedBlock(layers.Dense(6), "tanh", name="second"),
            layers.Dense(1),
        ]
    )
    model.compile("sgd", "mse")
    return model


@pytest.fixture
def data(rng):
    return rng.normal(size=(40, 3)).astype("float32"), rng.normal(size=(40, 1)).astype("float32")


FIGURES = {
    f"{figure}{layer}"
    for figure in ("saturation", "skewness", "sparsity")
    for layer in ("", "/first", "/second")
}


def test_logs_reach_history_csv_and_early_stopping(data, tmp_path):
    model = make_model()
    callback = ActivationStatistics(data[0])
    history = model.fit(
        *data,
        epochs=5,
        verbose=0,
        callbacks=[
            callback,
            keras.callbacks.CSVLogger(tmp_path / "log.csv"),
            # Nothing is better by a million: stops after the first two epochs.
            keras.callbacks.EarlyStopping("sparsity", mode="max", min_delta=1e6, patience=1),
            keras.callbacks.TensorBoard(tmp_path, write_graph=False, profile_batch=0),
        ],
    ).history
    assert set(history) == {"loss", *FIGURES}
    assert len(history["sparsity"]) == 2
    header = (tmp_path / "log.csv").read_text().splitlines()[0]
    assert set(header.split(",")) > {"epoch", "loss", *FIGURES}
    last = measure(model, data[0])
    assert history["skewness/second"][-1] == pytest.approx(last["second"].skewness)
    assert history["saturation"][-1] == pytest.approx(last.saturation)
    assert callback.epochs[1].sparsity == pytest.approx(last.sparsity)
    (events,) = (tmp_path / "train").glob("events*")
    tags = {
        value.tag
        for record in tf.data.TFRecordDataset(str(events))
        for value in tf.compat.v1.Event.FromString(record.numpy()).summary.value
    }
    assert {f"epoch_{figure}" for figure in FIGURES} < tags


def test_epochs_in_between_repeat_the_last_values(data):
    callback = ActivationStatistics(data[0], every=3)
    history = make_model().fit(*data, epochs=7, verbose=0, callbacks=[callback]).history
    assert list(callback.epochs) == [0, 2, 5]
    skewness = history["skewness"]
    assert skewness[0] == skewness[1] != skewness[2] == skewness[4] != skewness[5] == skewness[6]


def test_a_training_that_goes_on_measures_its_first_epoch(data):
    callback = ActivationStatistics(data[0], every=10)
    model = make_model()
    model.fit(*data, epochs=2, verbose=0, callbacks=[callback])
    model.fit(*data, initial_epoch=2, epochs=4, verbose=0, callbacks=[callback])
    assert list(callback.epochs) == [0, 2]


def test_one_trace_for_the_whole_training(data, counting):
    model = keras.Sequential([keras.Input((3,)), counting, layers.Dense(1, activation="tanh")])
    model.compile("sgd", "mse")
    callbacks = [ActivationStatistics(data[0]), GradientStatistics(data)]
    model.fit(*data, verbose=0, callbacks=callbacks)
    traces = counting.traces
    model.fit(*data, epochs=3, verbose=0, callbacks=callbacks)
    assert counting.traces == traces


@pytest.mark.tensorflow
def test_examples_of_any_length_take_one_trace_more(rng, counting):
    model = keras.Sequential([keras.Input((None, 3)), counting, layers.Dense(2, activation="tanh")])
    model.compile("sgd", "mse")

    def batches():
        length = rng.integers(2, 100)
        yield rng.normal(size=(4, length, 3))

    spec = tf.TensorSpec((None, None, 3))
    varied = ActivationStatistics(tf.data.Dataset.from_generator(batches, output_signature=spec))
    x = np.zeros((4, 5, 3))
    model.fit(x, x[..., :2], epochs=2, verbose=0, callbacks=[varied])
    traces = counting.traces
    model.fit(x, x[..., :2], epochs=4, verbose=0, callbacks=[varied])
    assert counting.traces == traces


def test_a_model_that_training_builds(data):
    model = keras.Sequential([BoundedBlock(layers.Dense(6), "tanh"), layers.Dense(1)])
    model.compile("sgd", "mse")
    callbacks = [ActivationStatistics(data[0]), GradientStatistics(data)]
    history = model.fit(*data, epochs=2, verbose=0, callbacks=callbacks).history
    assert history["saturation"][1] == pytest.approx(measure(model, data[0]).saturation)


def test_measuring_does_not_change_training(data):
    with_callbacks, without = [], []
    for weights, callbacks in (
        (with_callbacks, [ActivationStatistics(data[0]), GradientStatistics(data)]),
        (without, []),
    ):
        keras.utils.set_random_seed(1)
        model = make_model()
        model.fit(*data, epochs=3, verbose=0, callbacks=callbacks)
        weights += model.get_weights()
    for one, other in zip(with_callbacks, without, strict=True):
        np.testing.assert_array_equal(one, other)


def test_gradients_in_the_logs(data):
    model = make_model()
    callback = GradientStatistics(data, batch_size=20)
    history = model.fit(*data, epochs=2, verbose=0, callbacks=[callback]).history
    names = {"input", "weight_gradient", "activation_gradient"}
    assert set(history) == {"loss"} | {
        f"{n}/{layer}" for n in names for layer in ("first", "second")
    }
    last = measure_gradients(model, data, batch_size=20)
    assert history["weight_gradient/first"][-1] == pytest.approx(last[0].weight_gradient)
    assert callback.epochs[1].batch_size == 20


def test_two_data_sets_need_two_names(data):
    x = data[0]
    callbacks = [ActivationStatistics(x), ActivationStatistics(x[:20], prefix="half_")]
    history = make_model().fit(*data, verbose=0, callbacks=callbacks).history
    assert {"saturation", "half_saturation", "half_skewness/first"} < history.keys()
    callbacks = [ActivationStatistics(x), ActivationStatistics(x[:20])]
    with pytest.raises(ValueError, match=r"'saturation' already.*another prefix"):
        make_model().fit(*data, verbose=0, callbacks=callbacks)


def test_mistakes(data):
    losses = []
    with pytest.raises(ValueError, match=r"'frist': there are first, second"):
        make_model().fit(
            *data,
            verbose=0,
            callbacks=[
                keras.callbacks.LambdaCallback(on_train_batch_end=lambda *_: losses.append(1)),
                ActivationStatistics(data[0], layers="frist"),
            ],
        )
    assert not losses
    with pytest.raises(ValueError, match="got 0"):
        ActivationStatistics(data[0], every=0)
    with pytest.raises(ValueError, match="no end"):
        ActivationStatistics(tf.data.Dataset.from_tensors(data).repeat())
    with pytest.raises(ValueError, match="steps must be 1 or more"):
        GradientStatistics(data, steps=0)
    with pytest.raises(ValueError, match="used up after one epoch"):
        GradientStatistics(iter([data]))


def test_two_replicas(data, two_replicas):
    with two_replicas.scope():
        model = make_model()
    callbacks = [ActivationStatistics(data[0]), GradientStatistics(data)]
    history = model.fit(*data, verbose=0, batch_size=20, callbacks=callbacks).history
    assert history["saturation"][0] == pytest.approx(measure(model, data[0]).saturation)
    assert history["input/first"][0] == pytest.approx(np.abs(data[0]).mean())


class Adversarial(keras.Model):
    """Two models that are trained by turns, as in Keras' example, without a `call`."""

    def __init__(self):
        super().__init__(name="gan")
        self.generator, self.discriminator = (
            keras.Sequential(
                [keras.Input((n,)), BoundedBlock(layers.Dense(6), "tanh"), layers.Dense(m)],
                name=name,
            )
            for n, m, name in ((2, 3, "generator"), (3, 1, "discriminator"))
        )
        for model in (self.generator, self.discriminator):
            model.compile("sgd", "mse")

    def train_step(self, data):
        x, y = data
        weights = self.discriminator.trainable_variables
        with tf.GradientTape() as tape:
            loss = keras.ops.mean((self.discriminator(x, training=True) - y) ** 2)
        self.discriminator.optimizer.apply(tape.gradient(loss, weights), weights)
        return {"loss": loss}


@pytest.mark.tensorflow
def test_a_part_of_the_model_that_is_trained(data):
    gan = Adversarial()
    gan.compile()
    # A model without a forward pass of its own shows that at once, and not after an epoch.
    for callback in (ActivationStatistics(data[0]), GradientStatistics(data)):
        with pytest.raises(ValueError, match=r"no `call`.*generator, discriminator: give.*`model`"):
            gan.fit(*data, epochs=1, verbose=0, callbacks=[callback])
    with pytest.raises(ValueError, match=r"no `call`.*generator, discriminator: measure one"):
        measure(gan, data[0])
    callbacks = [
        ActivationStatistics(data[0][:, :2], model=gan.generator, prefix="generator/"),
        GradientStatistics(data, model=gan.discriminator, prefix="discriminator/"),
    ]
    history = gan.fit(*data, epochs=2, verbose=0, callbacks=callbacks).history
    expected = measure(gan.generator, data[0][:, :2])
    assert history["generator/skewness"][-1] == pytest.approx(expected.skewness)
    name = gan.discriminator.layers[0].name
    assert history[f"discriminator/weight_gradient/{name}"][-1] > 0


def test_two_callbacks_that_write_the_same_show_that_at_the_start(data):
    model = make_model()
    before = model.get_weights()
    callbacks = [ActivationStatistics(data[0]), ActivationStatistics(data[0][:8])]
    with pytest.raises(ValueError, match=r"entry 'saturation' already.*another prefix"):
        model.fit(*data, verbose=0, callbacks=callbacks)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    # A training that failed leaves nothing behind that the next one would stumble over.
    for callback in callbacks:
        model.fit(*data, verbose=0, callbacks=[callback])
