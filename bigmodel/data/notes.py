"""Notes to the user about what a loader decided by itself."""

from __future__ import annotations

import sys
from functools import cache


@cache
def note(message: str) -> None:
    """Prints a line to stderr, each message once per process."""
    print(f"note: {message}", file=sys.stderr, flush=True)
