"""What a loader decided by itself, said once."""

from __future__ import annotations

import sys
from functools import cache


@cache
def note(message: str) -> None:
    """Prints a line to stderr, once for each message in a process."""
    print(f"note: {message}", file=sys.stderr, flush=True)
