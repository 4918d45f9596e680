"""How many threads prepare data."""

from __future__ import annotations

import os


def threads(most: int) -> int:
    """As many as this process has cores, up to ``most``."""
    affinity = getattr(os, "sched_getaffinity", None)
    return min(most, len(affinity(0)) if affinity else os.cpu_count() or 1)
