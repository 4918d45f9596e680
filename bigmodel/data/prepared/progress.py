"""How far something has come that takes a while, on standard error."""

from __future__ import annotations

import sys
import threading
import time

QUIET_SECONDS = 2.0
"""What ends sooner says nothing."""
LINE_SECONDS = 10.0
"""Between two lines; a terminal shows one line that changes more often."""
SAME_LINE_SECONDS = 0.5
GIGA, MEGA = 1e9, 1e6


class Progress:
    """``preparing book.txt: 34 %, 3.4 of 10.0 GB, 130 s left``; any thread may move it on."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total, self._done = what, max(total, 1), 0
        self._begun = time.monotonic()
        self._told = self._begun
        self._lock = threading.Lock()
        self._same = sys.stderr is not None and sys.stderr.isatty()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._same and self._told > self._begun:
            print(file=sys.stderr, flush=True)

    def add(self, count: int) -> None:
        """So many bytes more are done."""
        with self._lock:
            self._done += count
            now = time.monotonic()
            between = SAME_LINE_SECONDS if self._same else LINE_SECONDS
            if now - self._begun > QUIET_SECONDS and now - self._told > between:
                self._told = now
                start, end = ("\r", "\x1b[K") if self._same else ("", "\n")
                print(f"{start}{self._line(now)}", end=end, file=sys.stderr, flush=True)

    def _line(self, now: float) -> str:
        share = min(self._done / self._total, 1.0)
        unit, name = (GIGA, "GB") if self._total >= GIGA else (MEGA, "MB")
        left = (now - self._begun) * (1 / max(share, 1e-9) - 1)
        return (
            f"{self._what}: {share:.0%}, {self._done / unit:.1f} of {self._total / unit:.1f} "
            f"{name}, {left:.0f} s left"
        )
