"""The content of a table, independent of the format in which it is written."""

from __future__ import annotations

import math
from typing import NamedTuple

NOTHING = "\N{EN DASH}"
LARGE = 1e6
"""Numbers from here on have significant digits, whatever the decimals of the others."""


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
    """A number with this many decimals.

    It has four significant digits if it is large, or so small that it would look like zero.
    """
    if math.isnan(value):
        return Entry(NOTHING)
    text = f"{value:.{digits}f}"
    if abs(value) >= LARGE or (value and not float(text)):
        text = f"{value:.4g}"
    return Entry(text, value)


def interval(low: float, high: float, digits: int) -> Entry:
    """The two ends of an interval, sorted by its width.

    They have more digits where they would look the same, and are not.
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return Entry(NOTHING)
    least, most = number(low, digits).text, number(high, digits).text
    if low < high and least == most:
        # Any two numbers differ in 17 digits.
        first = next(n for n in range(1, 18) if f"{low:.{n}g}" != f"{high:.{n}g}")
        least, most = f"{low:.{first + 1}g}", f"{high:.{first + 1}g}"
    return Entry(f"{least} to {most}", high - low)
