"""What a command answers to a mistake: one sentence, and an exit status of its own.

A mistake is a `UsageError`, made where it is known for one. Whatever else is raised is ours, and
ends in a traceback.
"""

import contextlib
import difflib
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator

MISTAKE = 2
DIVERGED = 3
IN_USE = 75
INTERRUPTED = 130
UNREAD = 141
TERMINATED = 143
# What pip installs where a module is missing: one of the package's extras, or it alone.
PACKAGES = {
    "importlib_resources": "-e '.[train]'",
    "jax": "-e '.[jax]'",
    "jinja2": "-e '.[analysis]'",
    "matplotlib": "-e '.[analysis]'",
    "pandas": "-e '.[analysis]'",
    "PIL": "pillow",
    "optuna": "-e '.[optuna]'",
    "ray": "-e '.[ray]'",
    "rich": "rich",
    "scipy": "-e '.[analysis]'",
    "sklearn": "scikit-learn",
    "tensorboard": "-e '.[train]'",
    "tensorflow": "-e '.[train]'",
    "tensorflow_datasets": "-e '.[train]'",
    "torch": "-e '.[torch]'",
}


class UsageError(Exception):
    """A mistake of the user's, told in one sentence: what was given, and what to do."""

    status = MISTAKE

    def __init__(self, sentence: str):
        # What was given, which it names, may have line breaks.
        super().__init__(" ".join(sentence.splitlines()))


class InUseError(UsageError):
    """Another process works on the run, or has just finished it: no mistake, try again later."""

    status = IN_USE


class DivergedError(UsageError):
    """The loss of a run is no longer finite: no epoch more is to be had with its flags."""

    status = DIVERGED


class Terminated(KeyboardInterrupt):
    """A SIGTERM: whoever runs the command wants its place, for now."""


def nearest(given: str, accepted: Iterable[str]) -> str:
    """`"; did you mean X?"` for the accepted name nearest to the given one, or a full stop."""
    matches = difflib.get_close_matches(given, list(accepted), n=1, cutoff=0.5)
    return f"; did you mean {matches[0]}?" if matches else "."


@contextlib.contextmanager
def file_errors(subject: str) -> Iterator[None]:
    """Makes a mistake of a file that cannot be read or written in the block.

    Args:
        subject: Begins the sentence: the flag that named the place, say.

    Raises:
        UsageError: For an `OSError`, or bytes that are no text.
    """
    try:
        yield
    except BrokenPipeError:
        # Of what is printed, which is no file's.
        raise
    except (OSError, UnicodeError) as error:
        raise UsageError(f"{subject}: {' '.join(str(error).split())}.") from error


def tensorflow_lines(error: Exception) -> list[str]:
    """What TensorFlow says of its error, the reason first; nothing of another."""
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None or not isinstance(error, tensorflow.errors.OpError):
        return []
    # Without the names of its operations.
    said = re.sub(r"\{\{.*?\}\}|\[Op:[^]]*\]( name:)?", "", error.message)
    lines = [" ".join(line.split()).rstrip(".") for line in said.split("\n")]
    return [line for line in lines if line]


def run_command(program: str, command: Callable[[], int], goes_on: str) -> int:
    """Runs a command; tells what stops it in one sentence on the standard error.

    Args:
        program: The command's name, which begins the sentence.
        command: Returns its exit status.
        goes_on: How an interrupted command goes on.

    Returns:
        The exit status.
    """
    try:
        return command()
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in PACKAGES:
            raise
        sentence, status = f"{module} is missing: pip install {PACKAGES[module]}", MISTAKE
    except BrokenPipeError:
        # Whoever read the output, `head` for one, has gone: no matter, but Python would say so.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD
    except UsageError as error:
        sentence, status = str(error), error.status
    except KeyboardInterrupt as interrupt:
        terminated = isinstance(interrupt, Terminated)
        sentence = f"{'terminated' if terminated else 'interrupted'}; {goes_on}"
        status = TERMINATED if terminated else INTERRUPTED
        print(file=sys.stderr)
    # So that the sentence is the last line of a log.
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    print(f"{program}: {sentence}", file=sys.stderr)
    return status
