"""Ctrl-C and SIGTERM as a request to save and stop."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType


class Interrupted(BaseException):
    """A signal arrived while there was nothing to save yet."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class StopRequest:
    """While entered, the first SIGINT or SIGTERM is noted; a second SIGINT stops at once.

    Until :meth:`defer` is called there is nothing to save, and the first signal already
    raises :class:`Interrupted`. ``at_once`` is then true: nothing is to be waited for.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.at_once = False
        self._deferred = False
        self._previous: dict[int, object] = {}

    def __enter__(self) -> StopRequest:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def defer(self) -> None:
        """From here on the first signal is only noted."""
        self._deferred = True

    @property
    def requested(self) -> bool:
        """Whether a signal asked the run to stop."""
        return self.number is not None

    def _receive(self, number: int, frame: FrameType | None) -> None:
        del frame
        again = self.number == signal.SIGINT and number == signal.SIGINT
        self.number = number
        if again or not self._deferred:
            self.at_once = True
            raise Interrupted(number)
