"""The README's own code runs."""

import re

import pytest
from conftest import ROOT

README = (ROOT / "README.md").read_text()
SCRIPTS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_block_in_a_model_of_ones_own(run_python):
    (script,) = [script for script in SCRIPTS if "BoundedBlock" in script]
    process = run_python("-c", script)
    assert process.returncode == 0, process.stderr
    assert "Epoch 2/2" in process.stdout


def test_measuring(run_python):
    (script,) = [script for script in SCRIPTS if "ActivationStatistics" in script]
    process = run_python("-c", script)
    assert process.returncode == 0, process.stderr
    assert "\nconv3   tanh " in process.stdout


def test_serving(tmp_path, train, run_python):
    (script,) = [script for script in SCRIPTS if "saved_model.load" in script]
    run_dir = tmp_path / "run"
    arguments = ["--model=vgg16_8", "--width=0.05", "--train_examples=64", "--batch_size=32"]
    assert train(*arguments, "--epochs=1", f"--run_dir={run_dir}").returncode == 0
    code = script.replace("runs/quickstart", str(run_dir))
    process = run_python("-c", f"{code}\nprint(logits.shape)")
    assert process.stdout == "(8, 10)\n", process.stderr


@pytest.mark.parametrize("link", re.findall(r"\]\(([A-Z]+\.md)\)", README))
def test_links_lead_somewhere(link):
    assert (ROOT / link).is_file()
