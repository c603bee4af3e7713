"""What the native code of Keras' backend says of itself, kept off the screen."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

from train.errors import UsageError

LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
# Whether the level is ours.
_ours = False


@contextlib.contextmanager
def suppressed() -> Iterator[None]:
    """Keeps what TensorFlow's native code says of itself at start-up off the screen.

    It writes to the file descriptor before any setting of ours counts. What it said is shown
    if the block fails, and nothing is held back where the user has set the log level.
    """
    global _ours
    if LOG_LEVEL in os.environ and not _ours:
        yield
        return
    os.environ[LOG_LEVEL], _ours = "2", True
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except (UsageError, ModuleNotFoundError):
            # Told in one sentence.
            raise
        except BaseException:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
