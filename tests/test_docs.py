"""The pages' own code runs, and the reference leaves nothing out."""

import importlib
import inspect
import os
import re
import subprocess
import sys

import pytest
from conftest import ROOT
from test_package import MODULES, PUBLIC

import keras_bnact

PAGES = ["README.md", *(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
CODE = {page: BLOCK.findall((ROOT / page).read_text()) for page in PAGES}
DIRECTIVE = re.compile(r"^\.\. (?:auto|py:)(\w+):: (\S+)((?:\n   :.*)*)", re.MULTILINE)
# What the pages print, of figures that do not depend on the machine.
PRINTED = {
    "README.md": ["conv1, bn1, tanh1 -> conv1, tanh1, bn1; drawn anew", "\ntanh1   tanh "],
    "docs/tutorial.md": [
        "of its channels are saturated on both sides",
        "{'bn1': \"folded into 'conv2'\", 'bn2': \"folded into 'conv3'\"",
    ],
    "docs/statistics.md": [
        "both sides             0.99 -0.09 0.01\n",
        "one side, normalized   0.94 -6.09 0.96\n",
        "conv5: 100 % of its channels are saturated on both sides\n",
    ],
}


@pytest.mark.runs
@pytest.mark.parametrize("page", [page for page in PAGES if CODE[page]])
def test_code_runs_in_order_in_one_process(page, tmp_path, train):
    code = "\n".join(CODE[page])
    if "runs/quickstart" in code:
        arguments = ["--model=vgg16_8", "--width=0.05", "--train_examples=64", "--batch_size=32"]
        run_dir = tmp_path / "runs" / "quickstart"
        assert train(*arguments, "--epochs=1", f"--run_dir={run_dir}").returncode == 0
    process = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr
    for text in PRINTED.get(page, []):
        assert text in process.stdout


def documented():
    """The objects that the reference's directives name, and the modules that it has whole."""
    objects, modules = [], {}
    for path in ROOT.glob("docs/reference/*.md"):
        for kind, name, options in DIRECTIVE.findall(path.read_text()):
            if kind == "module":
                (excluded,) = re.findall(r":exclude-members: (.*)", options) or [""]
                modules[name] = excluded.split(", ")
            else:
                module, attribute = name.rsplit(".", 1)
                objects.append(getattr(importlib.import_module(module), attribute))
    return objects, modules


def public():
    """By its full name, whatever a user may import: of packages what they export."""
    for name in MODULES:
        module = importlib.import_module(name)
        for attribute in getattr(module, "__all__", ()):
            yield f"{name}.{attribute}", getattr(module, attribute)
    # Modules of the package itself are for users as they are.
    yield from ((name, value) for name, value in PUBLIC.items() if name.count(".") == 2)
    for attribute in keras_bnact.__all__:
        yield f"keras_bnact.{attribute}", getattr(keras_bnact, attribute)


@pytest.mark.parametrize(("name", "value"), [pytest.param(*p, id=p[0]) for p in public()])
def test_the_reference_has_everything_public(name, value):
    objects, modules = documented()
    if inspect.ismodule(value):
        inside = {getattr(one, "__module__", "") for one in objects}
        assert value.__name__ in modules or any(x.startswith(value.__name__) for x in inside)
    elif not any(value is one for one in objects):
        module, attribute = value.__module__, value.__name__
        assert module in modules, name
        assert attribute not in modules[module], name
