"""How long a call takes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import jax

TIMES = 9
LONG = 3.0
"""Seconds after which no further call is made."""


def seconds(function: Callable[[], Any]) -> float:
    """The median time of a call in seconds, after one that compiles."""
    jax.block_until_ready(function())
    found: list[float] = []
    while len(found) < TIMES and sum(found) < LONG:
        begun = time.perf_counter()
        jax.block_until_ready(function())
        found.append(time.perf_counter() - begun)
    return statistics.median(found)
