"""What a run writes, with every file operation failing once, and with a death at each of them.

The whole command, TensorFlow's own files included: `make faults`.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import faulty
import pytest
from conftest import ROOT
from conftest import SMALL_RUN as SMALL

from train import native_messages

# What TensorFlow says of a machine is not what a run says.
QUIET = {native_messages.LOG_LEVEL: "3"}

pytestmark = [
    pytest.mark.runs,
    pytest.mark.skipif(faulty.COMPILER is None, reason="needs a C compiler"),
]

# What driver.run writes, of two epochs whose second is saved in the middle, too. Its weight is what
# a checkpoint knows of a Keras variable, since a backend would start anew in every forked process.
RUN = """
import os
from pathlib import Path

import numpy as np

from train import run_directory
from train.run_directory import RunDirectory, State
from train.training.checkpoint import Checkpoint
from train.training.progress import PartOfEpoch


class Weight:
    name, shape, dtype = "weight", (1000,), "float32"

    def __init__(self):
        self.value = np.zeros(self.shape, self.dtype)

    def assign(self, value):
        self.value = np.array(value)


def run(place):
    directory = RunDirectory(place, "--seed=0\\n")
    state = directory.state(overwrite=False)
    if state is State.FINISHED:
        return 0
    try:
        return _run(directory, state)
    finally:
        directory.release()


def _run(directory, state):
    directory.create(overwrite=False)
    directory.write_json(run_directory.ENVIRONMENT, {"backend": "none"})
    weight = Weight()
    checkpoint = Checkpoint([weight], directory)
    checkpoint.save()
    steps = checkpoint.part.steps
    for epoch in range(checkpoint.progress.epochs, 2):
        for step in range(steps, 4):
            weight.assign(2 * weight.value + epoch + step)
            checkpoint.reach(PartOfEpoch(step + 1, 1.0, {"loss": 0.5}))
            if epoch and step == 1:
                checkpoint.save()
        steps = 0
        checkpoint.progress.add_epoch({"epoch": epoch + 1, "loss": 0.5}, 1.0, 1.0)
        checkpoint.progress.add_layers({"statistics.csv": [{"epoch": epoch + 1, "layer": "conv"}]})
        checkpoint.reach()
        checkpoint.save()
        checkpoint.progress.write(directory)
    checkpoint.progress.write(directory)
    with directory.writing("saved_model") as path:
        (path / "variables").mkdir(parents=True)
        (path / "saved_model.pb").write_bytes(bytes(100))
        (path / "variables" / "variables.index").write_bytes(bytes(100))
    with directory.writing("channels.npz") as path, path.open("wb") as file:
        np.savez(file, weight=weight.value)
    checkpoint.delete_previous()
    directory.write_json(run_directory.SUMMARY, {"epochs": 2})
    return 0
"""
TRY = (
    RUN
    + """
import json, shutil, sys
sys.path.insert(0, "tests")
import faulty, faults
from train.errors import UsageError


def work(place):
    def one():
        try:
            return run(place)
        except UsageError as error:
            print(error)
            return 2
    return one


folder = Path(sys.argv[1])
place, output = folder / "run", folder / "output.txt"


def tried(at, fault):
    forked = faulty.Forked(place, at, fault, work(place), output)
    return forked.wait(), forked.operations, output.read_text()


def results():
    return {
        str(path.relative_to(place)): path.read_bytes()
        for path in sorted(place.rglob("[!.]*")) if path.is_file()
    }


status, operations, said = tried(0, 0)
assert (status, said) == (0, ""), said
expected = results()
wrong = []
for at in range(1, operations + 1):
    for kind in (("ENOSPC", "EIO")[at % 2], "kill"):
        fault = faulty.FAULTS[kind]
        shutil.rmtree(place)
        status, _, said = tried(at, fault)
        torn, told = faults.torn(place), faults.rows(place)
        if fault != faulty.KILL and (status != 2 or said.count("\\n") != 1):
            wrong.append((kind, at, status, said))
        if fault == faulty.KILL and status != -9:
            wrong.append((kind, at, status))
        again, _, said = tried(0, 0)
        if torn or again or results() != expected:
            differing = [name for name, content in results().items() if content != expected[name]]
            wrong.append((kind, at, torn, again, differing, said))
print(json.dumps([operations, wrong]))
"""
)


def test_every_operation_may_fail_and_every_moment_be_the_last(tmp_path, run_python):
    library = faulty.compiled(tmp_path)
    process = run_python("-c", TRY, tmp_path, LD_PRELOAD=str(library), **QUIET)
    assert process.returncode == 0, process.stderr
    operations, wrong = json.loads(process.stdout.splitlines()[-1])
    assert operations > 50
    assert wrong == []


# In blocks of a kilobyte: of the first checkpoint, and of TensorFlow's own file.
@pytest.mark.parametrize("blocks", [40, 200])
def test_a_full_disk_is_one_sentence_and_costs_nothing(blocks, train, tmp_path):
    run_dir = tmp_path / "run"
    command = [sys.executable, "-m", "train.run", *SMALL, f"--run_dir={run_dir}"]
    limited = ["bash", "-c", f'ulimit -f {blocks}; exec "$@"', "_", *command]
    environment = {k: v for k, v in os.environ.items() if k != native_messages.LOG_LEVEL}
    process = subprocess.run(limited, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert process.returncode == 2, process.stderr
    assert process.stderr.count("\n") == 1
    assert process.stderr.startswith(f"train.run: --run_dir={run_dir}: ")
    assert train(*SMALL, f"--run_dir={run_dir}").returncode == 0
    assert {"summary.json", "saved_model"} <= {path.name for path in Path(run_dir).iterdir()}
