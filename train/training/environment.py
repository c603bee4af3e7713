"""What a run ran on: versions, devices, seed and commit."""

import importlib.metadata
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

import keras_bnact

PACKAGES = ("tensorflow", "jax", "jaxlib", "keras", "numpy", "tensorflow-datasets", "scikit-learn")


def describe(seed: int, replicas: int, devices: Sequence[str]) -> dict[str, Any]:
    """Plain values, for `environment.json`; a package or commit that is not there is null."""
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "keras_bnact": keras_bnact.__version__,
        **{name: _version(name) for name in PACKAGES},
        "backend": keras.backend.backend(),
        "devices": list(devices),
        "replicas": replicas,
        "seed": seed,
        "git_commit": _git("rev-parse", "HEAD"),
        "git_changed": None if changes is None else bool(changes),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    command = ["git", *arguments]
    try:
        output = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return output.stdout.strip()
