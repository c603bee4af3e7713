"""A model as a file that a program without Keras or this package can run."""

import contextlib
import importlib.util
import itertools
import os
import re
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from keras_bnact import _extras, _keras_internals
from keras_bnact.measuring import batches, model_inputs

# By format, how the name of what is written ends.
SUFFIXES = {
    "saved_model": "",
    "tflite": ".tflite",
    "tflite_dynamic": ".tflite",
    "tflite_integer": ".tflite",
    "onnx": ".onnx",
}
# TensorFlow asks for a hundred or a few.
REPRESENTATIVE_EXAMPLES = 256


def export(
    model: keras.Model,
    path: str | os.PathLike,
    format: str = "saved_model",
    representative_data: Any = None,
) -> None:
    """Writes a model for inference in a format of another runtime (TensorFlow backend only).

    | format | what is written | run by | needs the extra |
    | --- | --- | --- | --- |
    | `"saved_model"` | a folder | TensorFlow | |
    | `"tflite"` | `.tflite`, float32 | LiteRT (`tflite` has it for Python) | |
    | `"tflite_dynamic"` | `.tflite`, weights of 8 bits | LiteRT | |
    | `"tflite_integer"` | `.tflite`, weights and activations of 8 bits | LiteRT | |
    | `"onnx"` | `.onnx`, float32 | ONNX Runtime | `onnx` |

    The inputs go by the names of the model's `keras.Input`s and are of their dtypes and shapes,
    with any batch size. The outputs are a dictionary: the model's own if it returns one, else its
    outputs by the names of the layers that make them. With the networks of `keras_bnact.models`
    these are `images` and `logits`. Floats that come out are float32. In a SavedModel, in TFLite
    and LiteRT that is the signature `serving_default`; `tf.saved_model.load(path)` answers the same
    through `serve(inputs)`, called as the model is.

    `"tflite_integer"` takes and returns float32, too, so that it stands in for the others with no
    scales to know: the first operation rounds inputs to 8 bits, the last one makes floats of 8
    bits, and all between them is of integers. An activation's range comes from what the model does
    with `representative_data`, from the smallest value to the largest; a weight's is its channel's.
    `"tflite_dynamic"` rounds weights of 1,024 numbers or more, and computes with the others in
    float32.

    Args:
        model: A functional or a built Sequential model.
        path: File or folder to write, in a folder that exists, with the suffix of its format. A
            file, an empty folder or a SavedModel there is replaced once the new one is whole.
        format: See above.
        representative_data: What the model will see, as in `keras_bnact.measure`; for
            `"tflite_integer"` alone, which reads the first 256 examples: shuffle before.

    Raises:
        ValueError: On another backend than TensorFlow, for a subclassed model or one that is not
            built, outputs of the same name, another format, a suffix of another one, layers that
            compute in something else than float32 (but in a SavedModel), operations that the
            format lacks (TFLite those of `arctan` and `erf`), and `representative_data` that is
            missing or not asked for.
        ModuleNotFoundError: Where the extra is missing.
        OSError: If there is no such folder, or something else in the place of `path`.

    Example:

    >>> import os, tempfile
    >>> import tensorflow as tf
    >>> import keras_bnact
    >>> model = keras_bnact.models.VGG16(8, width=0.05)
    >>> path = os.path.join(tempfile.mkdtemp(), "vgg")
    >>> keras_bnact.export(model, path)
    >>> served = tf.saved_model.load(path).signatures["serving_default"]
    >>> served(images=tf.zeros((2, 32, 32, 3)))["logits"].shape
    TensorShape([2, 10])
    """
    path = Path(path)
    _check_request(path, format, representative_data)
    _check_model(model, format)
    beside = tempfile.TemporaryDirectory(prefix=f"{path.name}.", dir=path.parent)
    with beside as folder, _quiet():
        made = Path(folder, path.name)
        if format == "saved_model":
            _write_saved_model(model, made)
        else:
            with tempfile.TemporaryDirectory() as saved_model:
                _write_saved_model(model, Path(saved_model))
                if format == "onnx":
                    content = _onnx(model, saved_model)
                else:
                    content = _tflite(model, saved_model, format, representative_data)
                made.write_bytes(content)
        if path.is_dir():
            # A folder cannot be renamed over another.
            path.rename(Path(folder, "old"))
        made.rename(path)


def _check_request(path: Path, format: str, representative_data: Any) -> None:
    if format not in SUFFIXES:
        raise ValueError(f"format={format!r} is none of {', '.join(map(repr, SUFFIXES))}.")
    suffix, others = SUFFIXES[format], {*filter(None, SUFFIXES.values())}
    if path.suffix != suffix if suffix else path.suffix in others:
        wanted = f"in {suffix}" if suffix else f"in none of {', '.join(sorted(others))}"
        raise ValueError(f"The path of format={format!r} ends {wanted}; got '{path}'.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder '{path.parent}' to write '{path.name}' to.")
    if path.exists() and not _is_replaceable(path, format):
        raise FileExistsError(
            f"'{path}' is something else than format={format!r} writes: delete it, or name another."
        )
    if format == "tflite_integer" and representative_data is None:
        raise ValueError(
            "format='tflite_integer' needs representative_data, which tells the ranges of the "
            "activations: give some of the training data."
        )
    if format != "tflite_integer" and representative_data is not None:
        raise ValueError(
            "representative_data is for format='tflite_integer' alone; got it with "
            f"format={format!r}: leave it out."
        )
    if format == "onnx" and importlib.util.find_spec("tf2onnx") is None:
        raise _extras.missing("tf2onnx", "onnx", "format='onnx'")


def _is_replaceable(path: Path, format: str) -> bool:
    if format != "saved_model":
        return path.is_file()
    return path.is_dir() and (not any(path.iterdir()) or (path / "saved_model.pb").is_file())


def _check_model(model: keras.Model, format: str) -> None:
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"A model is exported by TensorFlow; the backend is {keras.backend.backend()}: "
            "save the model as .keras and export it with KERAS_BACKEND=tensorflow."
        )
    functional = _keras_internals.functional(model)
    # Which a model that is not functional lacks, as a Sequential one does until it is built.
    names = getattr(functional, "output_names", None)
    if names is None:
        raise ValueError(
            f"An export needs a functional or a built Sequential model, and model "
            f"'{model.name}' is neither: give it a keras.Input, or call its own export(path)."
        )
    if not isinstance(functional.output, dict) and len({*names}) < len(names):
        raise ValueError(
            f"Outputs of model '{model.name}' have the same name ({', '.join(names)}): give the "
            "model a dictionary of outputs."
        )
    if format != "saved_model":
        for layer in _keras_internals.layers(model, include_self=False):
            dtype = layer.compute_dtype
            if keras.backend.is_float_dtype(dtype) and dtype != "float32":
                raise ValueError(
                    f"Layer '{layer.name}' computes in {dtype}, and "
                    f"format={format!r} has float32 alone: make the model under the dtype policy "
                    "float32 and give it the weights, or export a SavedModel."
                )


def _write_saved_model(model: keras.Model, path: Path) -> None:
    import tensorflow as tf

    functional = _keras_internals.functional(model)

    def serve(inputs: Any) -> dict[str, Any]:
        outputs = model(inputs, training=False)
        if not isinstance(outputs, dict):
            flat = tree.flatten(outputs)
            outputs = dict(zip(functional.output_names, flat, strict=True))
        return tree.map_structure(_float32, outputs)

    specs = tree.map_structure(
        lambda x: tf.TensorSpec((None, *x.shape[1:]), x.dtype, name=x.name), functional.input
    )
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", serve, input_signature=[specs])
    archive.write_out(os.fspath(path), verbose=False)
    # TensorFlow's, which it leaves behind without a word where the disk fails to delete them.
    for leftover in (path / "variables").glob("*_temp"):
        shutil.rmtree(leftover)


def _float32(output: Any) -> Any:
    return ops.cast(output, "float32") if keras.backend.is_float_dtype(output.dtype) else output


def _tflite(model: keras.Model, saved_model: str, format: str, representative_data: Any) -> bytes:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(saved_model)
    if format != "tflite":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if format == "tflite_integer":
        # Else what has no kernel of integers would be computed in float in silence.
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.representative_dataset = lambda: _examples(model, representative_data)
    try:
        return converter.convert()
    except Exception as error:
        # Of a class that TensorFlow does not name in public.
        lacking = re.search(r"ops: ([\w, ]+)\n", str(error))
        if lacking is None:
            raise
        raise _lacks("TFLite", lacking[1], model) from None


def _lacks(runtime: str, operations: str, model: keras.Model) -> ValueError:
    return ValueError(
        f"{runtime} has no {operations}, which model '{model.name}' computes: give another format, "
        "such as 'saved_model', or change its layers."
    )


def _examples(model: keras.Model, data: Any) -> Iterator[dict[str, np.ndarray]]:
    """The first examples of the data, one at a time, by the names of the model's inputs."""
    # A batch has at least one.
    read = batches.batches(data, batch_size=32, steps=REPRESENTATIVE_EXAMPLES)
    inputs = _keras_internals.functional(model).inputs

    def examples() -> Iterator[dict[str, np.ndarray]]:
        for batch in read:
            given = tree.flatten(model_inputs.model_inputs(model, batches.inputs(batch)))
            arrays = {
                tensor.name: ops.convert_to_numpy(array).astype(tensor.dtype)
                for tensor, array in zip(inputs, given, strict=True)
            }
            for row in range(batches.examples(batch)):
                yield {name: array[row : row + 1] for name, array in arrays.items()}

    return itertools.islice(examples(), REPRESENTATIVE_EXAMPLES)


def _onnx(model: keras.Model, saved_model: str) -> bytes:
    import onnx
    import tf2onnx.convert
    from tf2onnx import tf_loader

    # As tf2onnx's command does. Its from_function, and with it Keras' export, makes inputs of the
    # constants of a Normalization.
    graph, inputs, outputs, names = tf_loader.from_saved_model(
        saved_model, None, None, signatures=["serving_default"], return_tensors_to_rename=True
    )
    converted, _ = tf2onnx.convert.from_graph_def(
        graph, input_names=inputs, output_names=outputs, tensors_to_rename=names
    )
    # What ONNX lacks is left as it is by the converter.
    lacking = {node.op_type for node in converted.graph.node if not onnx.defs.has(node.op_type)}
    if lacking:
        raise _lacks("ONNX", ", ".join(sorted(lacking)), model)
    return converted.SerializeToString()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Shows what converters say, which they write past Python, only if one fails."""
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held, warnings.catch_warnings():
        # The converter's of itself: that it uses a deprecated interpreter, say.
        warnings.filterwarnings("ignore", module=r"tensorflow\.lite")
        os.dup2(held.fileno(), 2)
        try:
            yield
        except ValueError:
            # Told in one sentence.
            raise
        except BaseException:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
