"""Searches of real runs, killed, and what became of their trials."""

import os
import signal
import subprocess
import sys
import time

from conftest import ROOT, SMALL_SWEEP

# Of which the median cuts some short.
TWELVE = [
    *("-m", "train.sweep", *SMALL_SWEEP, "--epochs=4", "--validation_fraction=0.2"),
    *("--search=optuna", "--range=learning_rate=log:1e-6:1", "--range=order=any:swap:convention"),
    "--trials=12",
]


def trials_of(folder):
    """What a search's journal holds, as plain values."""
    import optuna
    from optuna.storages.journal import JournalFileBackend

    storage = optuna.storages.JournalStorage(JournalFileBackend(str(folder / "search.journal")))
    study = optuna.load_study(study_name="search", storage=storage)
    return [(t.params, t.state.name, t.value, t.intermediate_values) for t in study.get_trials()]


def killed_at(command, folder, over, **environment):
    """Starts a search, and kills it with its runs once so many of them have begun."""
    process = subprocess.Popen(
        [sys.executable, *command, f"--sweep_dir={folder}"],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while len([*folder.glob("*/history.csv")]) < over:
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
