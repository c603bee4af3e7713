"""Signals that end a run: held back while a step of training changes the weights."""

import signal
from types import FrameType
from typing import Any, Self

from train.errors import Terminated

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def raise_when_terminated() -> None:
    """Has SIGTERM raise `Terminated`, as SIGINT raises `KeyboardInterrupt`."""

    def terminate(number: int, frame: FrameType | None) -> None:
        raise Terminated

    signal.signal(signal.SIGTERM, terminate)


class HeldBack:
    """A context manager within which the signals wait while `held` is set.

    The same signal again does not wait: what is to end may hang. It leaves `held` set.
    """

    def __init__(self) -> None:
        self.held = False
        self._waiting: tuple[int, FrameType | None] | None = None
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in SIGNALS:
            handler = signal.getsignal(number)
            # Else it is ignored, or ends the process outright.
            if callable(handler):
                self._handlers[number] = handler
                signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def release(self) -> None:
        """Ends the holding back; raises what waits."""
        self.held = False
        if self._waiting is not None:
            number, frame = self._waiting
            self._waiting = None
            self._handlers[number](number, frame)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.held and (self._waiting is None or self._waiting[0] != number):
            self._waiting = number, frame
        else:
            self._handlers[number](number, frame)
