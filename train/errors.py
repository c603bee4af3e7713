"""What a command answers to a mistake: one sentence, and an exit status of its own."""

import difflib
import os
import sys
from collections.abc import Callable, Iterable

MISTAKE = 2
IN_USE = 75
INTERRUPTED = 130
UNREAD = 141
# Which of the package's extras brings a module.
EXTRAS = {"ray": "ray"}


class UsageError(Exception):
    """A mistake of the user's, told in one sentence: what was given, and what to do."""

    status = MISTAKE


class InUseError(UsageError):
    """Another process works on the run, or has just finished it: no mistake, try again later."""

    status = IN_USE


def nearest(given: str, accepted: Iterable[str]) -> str:
    """`"; did you mean X?"` for the accepted name nearest to the given one, or a full stop."""
    matches = difflib.get_close_matches(given, list(accepted), n=1, cutoff=0.5)
    return f"; did you mean {matches[0]}?" if matches else "."


def answered(
    program: str, command: Callable[[], int], goes_on: str, packages: str | None = None
) -> int:
    """Runs a command; tells what stops it in one sentence on the standard error.

    Args:
        program: The command's name, which begins the sentence.
        command: Returns its exit status.
        goes_on: How an interrupted command goes on.
        packages: What pip is to install where a module is missing; by default the extra that
            brings it.

    Returns:
        The exit status.
    """
    try:
        return command()
    except ModuleNotFoundError as error:
        needed = packages or f"-e '.[{EXTRAS.get(error.name, 'train')}]'"
        sentence, status = f"{error.name} is missing: pip install {needed}", MISTAKE
    except BrokenPipeError:
        # Whoever read the output, `head` for one, has gone: no matter, but Python would say so.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD
    except (OSError, UnicodeError) as error:
        sentence, status = " ".join(str(error).split()), MISTAKE
    except UsageError as error:
        sentence, status = str(error), error.status
    except KeyboardInterrupt:
        sentence, status = f"interrupted; {goes_on}", INTERRUPTED
        print(file=sys.stderr)
    print(f"{program}: {sentence}", file=sys.stderr)
    return status
