"""A progress bar for a measurement that takes long."""

import sys
import time

import keras

# Seconds of measuring after which a progress bar appears on a terminal.
PATIENCE = 3.0


class Progress:
    """Shows how many batches are measured.

    Args:
        verbose: As in `measure`.
        batches: How many there are, None where that is not known.
    """

    def __init__(self, verbose: str | int, batches: int | None):
        self.shown = verbose == 1
        self.waiting = verbose == "auto" and sys.stdout.isatty()
        self.began, self.done = time.monotonic(), 0
        self.bar = keras.utils.Progbar(batches, unit_name="batch")

    def add(self) -> None:
        self.done += 1
        if self.waiting and time.monotonic() - self.began > PATIENCE:
            self.shown = True
        if self.shown:
            self.bar.update(self.done, finalize=False)

    def finish(self) -> None:
        if self.shown:
            self.bar.update(self.done, finalize=True)
