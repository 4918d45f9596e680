"""How many threads prepare or decode data."""

from __future__ import annotations

import os

MOST = 256
"""More of them would only wait for one another."""


def threads(most: int = MOST) -> int:
    """As many as this process has cores, up to ``most``."""
    affinity = getattr(os, "sched_getaffinity", None)
    return min(most, len(affinity(0)) if affinity else os.cpu_count() or 1)
