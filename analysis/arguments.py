"""What the commands' lines have in common; imports neither Keras nor Matplotlib."""

import argparse
import importlib.util
from pathlib import Path
from typing import NoReturn

from train.errors import UsageError, file_errors


class Parser(argparse.ArgumentParser):
    """Parses a command's line; a mistake is one sentence.

    Args:
        command: Such as `analysis.run`.
        description: Of what it does.
    """

    def __init__(self, command: str, description: str):
        super().__init__(f"python -m {command}", description=description, allow_abbrev=False)
        self.command = command

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.command}: {message}; --help tells what is accepted.\n")


def check_out(folder: Path) -> None:
    """Refuses an `--out` that cannot be a folder.

    Raises:
        UsageError: Naming it.
    """
    with file_errors(f"--out={folder}"):
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"--out={folder} is no folder: name one to write to.")


def check_packages() -> None:
    """Looks for what the extra `analysis` brings.

    Raises:
        ModuleNotFoundError: Of the first package that is missing.
    """
    for module in ("jinja2", "matplotlib", "pandas", "scipy"):
        if importlib.util.find_spec(module) is None:
            raise ModuleNotFoundError(name=module)
