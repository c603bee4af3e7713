"""A progress bar for a measurement that takes long."""

import sys
import time
import warnings

import keras

# Seconds of measuring after which a progress bar appears on a terminal.
PATIENCE = 3.0
# And after which it is said that data may have no end.
ENDLESS = 60.0


class Progress:
    """Shows how many batches are measured.

    Args:
        verbose: As in `measure`.
        batches: How many there are, None where that is not known.
    """

    def __init__(self, verbose: str | int, batches: int | None):
        self.shown = verbose == 1
        self.waiting = verbose == "auto" and sys.stdout.isatty()
        self.length_known = batches is not None
        self.began, self.done = time.monotonic(), 0
        self.bar = keras.utils.Progbar(batches, unit_name="batch")

    def add(self) -> None:
        self.done += 1
        seconds = time.monotonic() - self.began
        if self.waiting and seconds > PATIENCE:
            self.shown = True
        if not self.length_known and seconds > ENDLESS:
            self.length_known = True
            warnings.warn(
                f"{self.done} batches are measured, and the data does not say how many there are: "
                "if it has no end, give `steps`.",
                stacklevel=3,
            )
        if self.shown:
            self.bar.update(self.done, finalize=False)

    def finish(self) -> None:
        if self.shown:
            self.bar.update(self.done, finalize=True)
