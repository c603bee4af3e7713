"""What holds for every module and every public object."""

import ast
import doctest
import graphlib
import importlib
import inspect
import pkgutil
import shutil
import subprocess
import sys
import zipfile

import pytest
from conftest import ROOT

import keras_bnact
from keras_bnact import measuring, models

ALL_MODULES = sorted(
    name for _, name, _ in pkgutil.walk_packages(keras_bnact.__path__, "keras_bnact.")
)
MODULES = [name for name in ALL_MODULES if "._" not in name]


def public_objects():
    for name in MODULES:
        module = importlib.import_module(name)
        for attribute, value in vars(module).items():
            own = getattr(value, "__module__", None) == name
            if own and not attribute.startswith("_") and callable(value):
                yield f"{name}.{attribute}", value


PUBLIC = dict(public_objects())


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


OURS = ("keras_bnact", "train", "analysis", "benchmarks", "examples", "tests")
# Which of our modules a part may import; a name stands for all below it.
MAY_IMPORT = {
    "keras_bnact/activations.py": [],
    "keras_bnact/_keras_internals.py": [],
    "keras_bnact/_layer_kinds.py": [],
    "keras_bnact/_backends/*.py": ["keras_bnact._backends", "keras_bnact._keras_internals"],
    "keras_bnact/_fused.py": ["keras_bnact._backends"],
    "keras_bnact/regularizers.py": [],
    "keras_bnact/exporting.py": [
        "keras_bnact._extras",
        "keras_bnact._keras_internals",
        "keras_bnact.measuring",
    ],
    "keras_bnact/normalization.py": ["keras_bnact._fused"],
    "keras_bnact/layers.py": [
        "keras_bnact._layer_kinds",
        "keras_bnact.activations",
        "keras_bnact.normalization",
    ],
    "keras_bnact/records.py": ["keras_bnact._extras"],
    "keras_bnact/statistics.py": ["keras_bnact.activations", "keras_bnact.records"],
    "keras_bnact/measuring/batches.py": [],
    "keras_bnact/measuring/layer_names.py": [],
    "keras_bnact/measuring/progress.py": [],
    "keras_bnact/measuring/watching.py": [
        "keras_bnact._keras_internals",
        "keras_bnact._layer_kinds",
        "keras_bnact.layers",
    ],
    "keras_bnact/measuring/model_inputs.py": ["keras_bnact._keras_internals"],
    "keras_bnact/measuring/channel_axes.py": [
        "keras_bnact._layer_kinds",
        "keras_bnact.layers",
        "keras_bnact.measuring.watching",
    ],
    "keras_bnact/measuring/sites.py": [
        "keras_bnact._keras_internals",
        "keras_bnact._layer_kinds",
        "keras_bnact.activations",
        "keras_bnact.measuring.channel_axes",
        "keras_bnact.measuring.layer_names",
        "keras_bnact.measuring.watching",
    ],
    "keras_bnact/measuring/*.py": [
        "keras_bnact._backends",
        "keras_bnact._keras_internals",
        "keras_bnact._layer_kinds",
        "keras_bnact.activations",
        "keras_bnact.layers",
        "keras_bnact.measuring",
        "keras_bnact.records",
        "keras_bnact.statistics",
    ],
    "keras_bnact/rewriting/*.py": [
        "keras_bnact._keras_internals",
        "keras_bnact._layer_kinds",
        "keras_bnact.activations",
        "keras_bnact.layers",
        "keras_bnact.records",
        "keras_bnact.rewriting",
    ],
    "keras_bnact/_extras.py": [],
    "keras_bnact/reports/*.py": [
        "keras_bnact._extras",
        "keras_bnact.reports",
        "keras_bnact.statistics",
    ],
    "keras_bnact/callbacks.py": [
        "keras_bnact.measuring",
        "keras_bnact.reports",
        "keras_bnact.statistics",
    ],
    "keras_bnact/models/*.py": [
        "keras_bnact.activations",
        "keras_bnact.layers",
        "keras_bnact.models",
        "keras_bnact.normalization",
        "keras_bnact.regularizers",
    ],
    "analysis/**/*.py": [
        "analysis",
        "keras_bnact.activations",
        "keras_bnact.statistics",
        "train.csv_text",
        "train.errors",
        "train.flag_text",
        "train.names",
        "train.native_messages",
        "train.run_directory",
    ],
    "train/**/*.py": [
        "keras_bnact.BoundedBlock",
        "keras_bnact.Histogram",
        "keras_bnact.activations",
        "keras_bnact.export",
        "keras_bnact.measure",
        "keras_bnact.measure_gradients",
        "keras_bnact.models",
        "keras_bnact.records",
        "keras_bnact.reports",
        "keras_bnact.statistics",
        "train",
    ],
}


@pytest.mark.parametrize("pattern", MAY_IMPORT)
def test_imports_point_one_way(pattern):
    allowed = MAY_IMPORT[pattern]
    files = list(ROOT.glob(pattern))
    assert files
    for path in files:
        for name in imports_of(path):
            ours = name.split(".")[0] in OURS
            fits = name == "keras_bnact" or any(f"{name}.".startswith(f"{a}.") for a in allowed)
            assert fits or not ours, f"{path.relative_to(ROOT)} imports {name}"


def modules_of(package):
    for path in (ROOT / package).rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def test_no_imports_go_in_a_circle():
    modules = {name: path for package in OURS[:-1] for name, path in modules_of(package)}
    graph = {module: set() for module in modules}
    for module, path in modules.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                graph[module] |= {alias.name for alias in node.names} & {*modules}
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    # A module of the package, or what the package itself has.
                    name = f"{node.module}.{alias.name}"
                    graph[module] |= {name if name in modules else node.module} & {*modules}
    assert graph["train.training.driver"] >= {"train.data", "train.training.checkpoint"}
    [*graphlib.TopologicalSorter(graph).static_order()]


KNOWS_A_BACKEND = {
    "tensorflow": {
        "_backends/tensorflow.py",
        "_backends/tensorflow_sums.py",
        "_fused.py",
        "exporting.py",
    },
    "jax": {"_backends/jax.py"},
    "torch": {"_backends/torch.py"},
}


@pytest.mark.parametrize("backend", KNOWS_A_BACKEND)
def test_only_named_modules_know_a_backend(backend):
    knowing = {
        path.relative_to(ROOT / "keras_bnact").as_posix()
        for path in (ROOT / "keras_bnact").rglob("*.py")
        if any(name.split(".")[0] == backend for name in imports_of(path))
    }
    assert knowing == KNOWS_A_BACKEND[backend]


@pytest.mark.runs
@pytest.mark.parametrize("module", ["keras_bnact", "keras_bnact.statistics"])
def test_importing_the_package_registers_its_layers(module, run_python):
    code = (
        f"import {module}, keras; "
        "print(keras.saving.get_registered_object('keras_bnact>BoundedBlock').__name__)"
    )
    assert run_python("-c", code).stdout == "BoundedBlock\n"


@pytest.mark.parametrize(
    "program", ["train.run", "train.sweep", "analysis.run", "analysis.compare"]
)
def test_a_command_answers_before_keras_is_there(program, run_python):
    """To `--help`, and to a mistake."""
    code = (
        f"import sys; from {program} import main\n"
        "for arguments in ['--nonsense'], ['--help']:\n"
        "    try:\n        main(arguments)\n    except SystemExit:\n        pass\n"
        "assert not {'keras', 'tensorflow', 'matplotlib', 'pandas'} & {*sys.modules}"
    )
    process = run_python("-c", code)
    assert process.returncode == 0, process.stderr
    assert "--" in process.stdout


def test_public_names_are_there():
    for name in keras_bnact.__all__:
        assert getattr(keras_bnact, name) is not None


@pytest.mark.parametrize("name", PUBLIC)
def test_docstring_says_it_all(name):
    documentation = inspect.getdoc(PUBLIC[name])
    assert documentation, name
    exported = (getattr(part, name) for part in (measuring, models) for name in part.__all__)
    if name.count(".") == 2 or PUBLIC[name] in exported:
        assert "Example:" in documentation
        assert ">>> " in documentation


@pytest.mark.parametrize("name", ALL_MODULES)
def test_examples_run(name):
    if name.startswith("keras_bnact._backends."):
        # Of another backend than this one, which need not be installed.
        *_, backend = name.removesuffix("_sums").split(".")
        if backend in KNOWS_A_BACKEND:
            pytest.importorskip(backend)
    module = importlib.import_module(name)
    results = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert results.failed == 0


@pytest.mark.parametrize("name", PUBLIC)
def test_arguments_are_typed(name):
    function = PUBLIC[name]
    if inspect.isclass(function):
        function = vars(function).get("__init__", lambda: None)
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name != "self":
            assert parameter.annotation is not parameter.empty, f"{name}({parameter.name})"


def test_the_wheel_holds_the_library_alone(tmp_path):
    # A copy, since setuptools packs what an earlier build has left in its folder.
    source = tmp_path / "source"
    shutil.copytree(ROOT / "keras_bnact", source / "keras_bnact")
    shutil.copytree(ROOT / "train", source / "train")
    for name in ("pyproject.toml", "setup.cfg", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", source]
    subprocess.run([*command, "--wheel-dir", tmp_path], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("keras_bnact-*.whl")
    archive = zipfile.ZipFile(wheel)
    names = archive.namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"keras_bnact"}
    assert "keras_bnact/py.typed" in names
    assert "keras_bnact/models/vgg.py" in names
    assert any(name.endswith("LICENSE") for name in names)
    (metadata,) = (name for name in names if name.endswith("METADATA"))
    needed = [
        line.removeprefix("Requires-Dist: ")
        for line in archive.read(metadata).decode().splitlines()
        if line.startswith("Requires-Dist: ")
    ]
    # The backend is an extra.
    assert [name for name in needed if "extra ==" not in name] == ["keras>=3.10", "numpy"]
    assert not [name for name in needed if "tensorflow" in name and 'extra == "jax"' in name]
