"""What a command answers to a mistake: one sentence, and exit status 2."""

import difflib
from collections.abc import Iterable


class UsageError(Exception):
    """A mistake of the user's, told in one sentence: what was given, and what to do."""


def nearest(given: str, accepted: Iterable[str]) -> str:
    """`"; did you mean X?"` for the accepted name nearest to the given one, or a full stop."""
    matches = difflib.get_close_matches(given, list(accepted), n=1, cutoff=0.5)
    return f"; did you mean {matches[0]}?" if matches else "."
