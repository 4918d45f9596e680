"""The content of a table, independent of the format in which it is written."""

from __future__ import annotations

import math
from typing import NamedTuple

NOTHING = "\N{EN DASH}"


class Entry(NamedTuple):
    """A cell of a table: its text, and the number by which it is sorted."""

    text: str
    number: float | None = None


class Table(NamedTuple):
    """Column names and rows of entries. ``words`` are the indices of the text columns."""

    header: tuple[str, ...]
    words: frozenset[int]
    rows: tuple[tuple[Entry, ...], ...]


def number(value: float, digits: int) -> Entry:
    """A number with this many decimals, or with four significant digits if it is large."""
    if math.isnan(value):
        return Entry(NOTHING)
    text = f"{value:.4g}" if abs(value) >= 1e6 else f"{value:.{digits}f}"
    return Entry(text, value)


def interval(low: float, high: float, digits: int) -> Entry:
    """The two ends of an interval, sorted by its width."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return Entry(NOTHING)
    return Entry(f"{number(low, digits).text} to {number(high, digits).text}", high - low)
