"""What a command answers to a mistake: one sentence, and an exit status of its own."""

import difflib
from collections.abc import Iterable

MISTAKE = 2
IN_USE = 75


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
