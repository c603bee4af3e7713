"""Every check on every model of the catalogue: `make conformance` prints the table."""

import functools
import re

import keras
import numpy as np
import pytest
from catalogue import cases
from catalogue.subject import Outputs, Subject, only
from oracle import DEEP, HALF, affine, assert_measured

from keras_bnact import callbacks, fold_batch_normalization, measure_gradients, reorder
from keras_bnact.rewriting.graph import is_graph, rebuilt

# All checks of these are quick enough for every day, and the first check of all.
QUICK = (
    *("conv2d", "spectral_normalization", "mixed_float16", "shared", "named_inputs_and_outputs"),
    *("subclassed", "functions", "block_swap", "stateful", "masked"),
)
# What is no fault of a model.
NOTHING_TO_REWRITE = "has no batch normalization to|is subclassed"


@pytest.fixture
def subject(request, record_property):
    if request.param.policy == "float64" and keras.backend.backend() == "jax":
        pytest.skip("JAX has none unless told to take it for everything")
    subject = Subject(request.param)
    subject.record = record_property
    return subject


def conforms(check):
    """A test that every case passes the check, or is refused as it says."""
    name = check.__name__.removeprefix("test_")

    @functools.wraps(check)
    def test(subject, **fixtures):
        refused = subject.case.refused
        words = refused.get((name, keras.backend.backend()), refused.get(name))
        if name == "measure_gradients" and subject.rows and not subject.kernels():
            words = "has a weight layer before it"
        if words is None:
            check(subject, **fixtures)
            return
        with pytest.raises((ValueError, RuntimeError), match=words) as refusal:
            check(subject, **fixtures)
        subject.record("refused", str(refusal.value))

    def slow(case):
        return case.slow or (name != "measure" and case.name not in QUICK)

    params = [
        pytest.param(case, id=case.name, marks=[pytest.mark.slow] * slow(case)) for case in cases()
    ]
    return pytest.mark.parametrize("subject", params, indirect=True)(test)


@conforms
def test_measure(subject):
    case = subject.case
    with subject.put_back():
        outputs = Outputs(subject)
    before = subject.values()
    measured = subject.measure()
    assert_unchanged(before, subject.values())
    assert [layer.name for layer in measured] == list(subject.rows)
    assert set(measured.left_out) == set(case.left_out)
    for layer, row in zip(measured, subject.rows.values(), strict=True):
        a = taken(outputs, row.a or layer.name.rsplit("/", 1)[-1])
        g = a if row.g is None else taken(outputs, row.g)
        if half(case) and row.g is not None:
            # `measure` does not round what it computes itself.
            g = affine(only(subject.layers(), row.g), a)
        a, g = (np.moveaxis(array, row.axis, -1) for array in (a, g))
        if row.keep is not None:
            keep = row.keep(subject.x)
            a, g = a[keep], g[keep]
        assert_measured(layer, a, g, row.bounds, **tolerances(case, a))


@conforms
def test_measure_gradients(subject):
    case, kernels = subject.case, subject.kernels()
    before = subject.values()
    data = subject.x, subject.y
    measured = measure_gradients(subject.model, data, case.layers, batch_size=case.batch)
    assert_unchanged(before, subject.values())
    assert [layer.name for layer in measured] == list(kernels)
    with subject.put_back():
        by_hand = [subject.gradients(kernels, *batch) for batch in subject.labelled()]
    found = [layer.weight_gradient for layer in measured]
    np.testing.assert_allclose(found, np.mean(by_hand, axis=0), rtol=0.05 if half(case) else 1e-3)


@conforms
def test_save_and_load(subject, tmp_path):
    measured = subject.measure()
    subject.model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    assert_same(measured, subject.measure(loaded))


@conforms
def test_fit(subject):
    """With both callbacks: they say what `measure` says, and training goes as without them."""
    case, data = subject.case, (subject.x, subject.y)
    fit = {"epochs": 2, "batch_size": case.batch, "verbose": 0, "shuffle": False}
    keywords = {"layers": case.layers, "batch_size": case.batch}
    measuring = [
        callbacks.ActivationStatistics(subject.x, channel_axis=case.channel_axis, **keywords)
    ]
    if subject.kernels():
        measuring.append(callbacks.GradientStatistics(data, **keywords))
    logs = subject.model.fit(*data, callbacks=measuring, **fit).history
    measured = subject.measure()
    for layer in measured:
        for statistic in ("saturation", "skewness", "sparsity"):
            expected = getattr(layer, statistic)
            assert logs[f"{statistic}/{layer.name}"][-1] == pytest.approx(expected, rel=1e-5)
    for name in subject.kernels():
        assert len(logs[f"weight_gradient/{name}"]) == 2
    undisturbed = Subject(case)
    undisturbed.model.fit(*data, **fit)
    for (_, one), (_, other) in zip(undisturbed.values(), subject.values(), strict=True):
        exact = case.policy == "float64"
        tolerance = {"rtol": 1e-6, "atol": 1e-9} if exact else {"rtol": 1e-4, "atol": 1e-5}
        np.testing.assert_allclose(one, other, **tolerance)


@conforms
def test_fold_batch_normalization(subject):
    """Folded, and where there is nothing to fold made anew, it gives the same."""
    expected = subject.predict()
    made = rewritten(subject, fold_batch_normalization)
    if made is None and is_graph(subject.model):
        made = rebuilt(subject.model, {})
    if made is not None:
        assert_same_outputs(subject, made, expected)


@conforms
def test_reorder(subject):
    """With batch normalization that changes nothing, either order gives the same."""
    for layer in subject.layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            for variable in layer.variables:
                value = {"gamma": 1.0, "moving_variance": 1.0 - layer.epsilon}
                variable.assign(np.full(variable.shape, value.get(variable.name, 0.0)))
    expected = subject.predict()
    for order in ("swap", "convention"):
        made = rewritten(subject, reorder, order)
        if made is not None:
            assert_same_outputs(subject, made, expected)


@conforms
def test_two_replicas(subject, two_replicas):
    if subject.case.replicas_differ:
        pytest.skip(subject.case.replicas_differ)
    # So that Keras' names for functions are the same.
    keras.backend.clear_session(free_memory=False)
    with two_replicas.scope():
        replicated = Subject(subject.case)
    replicated.model.set_weights(subject.model.get_weights())
    tolerance, rounding = (1e-4, 1e-6) if subject.case.deep else (1e-5, 0.0)
    assert_same(subject.measure(), replicated.measure(), tolerance, rounding)


def rewritten(subject, function, *arguments):
    """The model of another order, or folded; None where it has nothing of the kind."""
    try:
        return function(subject.model, *arguments).model
    except ValueError as refusal:
        if not re.search(NOTHING_TO_REWRITE, str(refusal)):
            raise
        subject.record("refused", str(refusal))
        return None


def assert_same_outputs(subject, made, expected):
    tolerance = 1e-2 if half(subject.case) else 1e-3 if subject.case.deep else 2e-5
    outputs = subject.predict(made)
    pairs = zip(keras.tree.flatten(outputs), keras.tree.flatten(expected), strict=True)
    for output, before in pairs:
        scale = max(1.0, np.abs(before).max())
        np.testing.assert_allclose(output, before, rtol=0, atol=tolerance * scale)


def taken(outputs, what):
    return what(outputs) if callable(what) else outputs[what]


def half(case):
    return "16" in case.policy


def tolerances(case, a):
    if not (case.deep or half(case)):
        return {}
    # Relative to the size of activations without bounds.
    scale = max(1.0, np.abs(a).max())
    chosen = DEEP if case.deep else HALF
    return {**chosen, "atol": chosen.get("atol", 1e-6) * scale, "max_rtol": 1e-4}


def assert_unchanged(before, after):
    after = {id(variable): value for variable, value in after}
    for variable, value in before:
        np.testing.assert_array_equal(value, after.pop(id(variable)))
    # Of metrics, which Keras makes as they are needed.
    assert not any(value.any() for value in after.values())


def assert_same(one, other, tolerance=1e-6, rounding=0.0):
    assert [layer.name for layer in one] == [layer.name for layer in other]
    assert one.left_out == other.left_out
    for a, b in zip(one, other, strict=True):
        # Else it is rounding that varies.
        varied = a.channel_std >= rounding * np.abs(a.channel_mean)
        for name in ("saturation", "skewness", "sparsity", "mean", "std"):
            left, right = (getattr(layer, f"channel_{name}") for layer in (a, b))
            sure = varied if name == "skewness" else slice(None)
            np.testing.assert_allclose(
                left[sure], right[sure], tolerance, tolerance, err_msg=a.name
            )
