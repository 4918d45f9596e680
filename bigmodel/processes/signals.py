"""Ctrl-C, SIGTERM and SIGHUP as a request to save and stop."""

from __future__ import annotations

import abc
import signal
from types import FrameType
from typing import Self

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The last one comes when the terminal is closed."""


class Interrupted(BaseException):
    """A signal arrived while there was nothing to save yet."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Handlers(abc.ABC):
    """While entered, passes the signals of ``STOPS`` to :meth:`receive`.

    SIGHUP stays ignored where it was, as ``nohup`` has it.
    """

    def __init__(self) -> None:
        self._previous: dict[int, object] = {}

    def __enter__(self) -> Self:
        for number in STOPS:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self.receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    @abc.abstractmethod
    def receive(self, number: int, _: FrameType | None) -> None:
        """Takes a signal."""


class StopRequest(Handlers):
    """While entered, the first signal is noted; a second SIGINT stops at once.

    Until :meth:`defer` is called there is nothing to save, and the first signal already
    raises :class:`Interrupted`. ``at_once`` is then true: nothing is to be waited for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.number: int | None = None
        self.at_once = False
        self._deferred = False

    def defer(self) -> None:
        """From here on the first signal is only noted."""
        self._deferred = True

    @property
    def requested(self) -> bool:
        """Whether a signal asked the run to stop."""
        return self.number is not None

    def receive(self, number: int, _: FrameType | None) -> None:
        """Notes the signal, or raises Interrupted."""
        again = self.number == signal.SIGINT and number == signal.SIGINT
        self.number = number
        if again or not self._deferred:
            self.at_once = True
            raise Interrupted(number)
