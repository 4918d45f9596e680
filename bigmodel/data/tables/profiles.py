"""What the cells of a column show of how they are written, gathered portion by portion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from bigmodel.data.tables.dates import Dates
from bigmodel.data.tables.numbers import (
    UNIT_SIGNS,
    UNITS,
    Numbers,
    is_large,
    is_whole,
    plain_numbers,
)

Written: TypeAlias = "Numbers | Dates"
SLACK = 20_000
"""Cells by which a way of writing may fall behind another one before it is tried no more."""


class Profile:
    """The cells of one column so far.

    ``ways`` are groups of ways to write numbers, and dates; of each group one or two. A group is
    asked only where those before read too little. A ``hasty`` profile leaves out what seems
    settled, and may not know in the end; then all cells are wanted once more without haste.
    ``missing`` are the words for a missing value; those that were found are ``words``.
    """

    def __init__(
        self, ways: Sequence[Sequence[Written]], missing: Collection[str] = (), *, hasty: bool
    ) -> None:
        self._ways = ways
        self._missing = frozenset(missing) | {""}
        self._hasty = hasty
        self._missed: dict[Written, int] = {way: 0 for group in ways for way in group}
        self._left_out: set[Written] = set()
        self._differing: dict[Written, str] = {}
        self._units: set[str] = set()
        self._whole, self._large, self._comma, self._colon = True, False, False, False
        self._mostly_once = False
        # The usual way to write numbers is the first, and Python reads it quickly.
        self._plain = hasty and ways[0][0].reads_plainly
        self._plain &= all(plain_numbers([word]) is None for word in self._missing)
        self.words: set[str] = set()
        self.total = 0

    def add(self, cells: Sequence[str]) -> np.ndarray | None:
        """Takes account of more cells, in order.

        The result are their values, float64, where all of them are plain numbers.
        """
        if self._plain and 2 * self._missed[self._ways[0][0]] <= self.total:
            values = plain_numbers(cells)
            if values is not None:
                self._add_plain(cells, values)
                return np.array(values, np.float64)
        if found := self._missing.intersection(cells):
            self.words |= found - {""}
            cells = [cell for cell in cells if cell not in found]
        if cells:
            self._add(cells)
        return None

    def _add_plain(self, cells: Sequence[str], values: list[float]) -> None:
        self.total += len(cells)
        self._units.add("")
        if self._whole:
            self._look_at_size(cells)
        numbers, *others = self._ways
        for way in numbers[1:]:
            if way not in self._left_out:
                self._compare(way, cells, way.read_all(cells), values, None)
        self._left_out.update(way for group in others for way in group)
        self._leave_out()

    def _add(self, cells: Sequence[str]) -> None:
        self.total += len(cells)
        counts = None
        if not self._mostly_once:
            counts = Counter(cells)
            self._mostly_once = 2 * len(counts) > len(cells)
        tried = [*counts] if counts else cells
        joined = "\n".join(tried)
        self._comma |= "," in joined
        self._colon |= ":" in joined
        if self._whole:
            self._look_at_size(tried)
        if any(sign in joined for sign in UNIT_SIGNS):
            self._units |= {found[0] if (found := UNITS.search(c)) else "" for c in tried}
        else:
            self._units.add("")
        for group in self._ways:
            before: list[Any] | None = None
            for way in group:
                if way in self._left_out:
                    continue
                read = way.read_all(tried)
                self._compare(way, tried, read, before, counts)
                before = read if before is None else before
            least = min(self._missed[way] for way in group)
            if self._hasty and 2 * least + SLACK < self.total:
                rest = self._ways[self._ways.index(group) + 1 :]
                self._left_out.update(way for other in rest for way in other)
                break
        self._leave_out()

    def _compare(
        self,
        way: Written,
        cells: Sequence[str],
        read: Sequence[Any],
        before: Sequence[Any] | None,
        counts: Mapping[str, int] | None,
    ) -> None:
        """Counts the cells that a way cannot read, and finds one that another way reads alike."""
        pairs = zip(cells, read, strict=True)
        if None in read:
            self._missed[way] += sum(
                counts[cell] if counts else 1 for cell, value in pairs if value is None
            )
        if before is not None and way not in self._differing and read != before:
            both = zip(cells, before, read, strict=True)
            self._differing[way] = next(cell for cell, one, two in both if one != two)

    def _leave_out(self) -> None:
        """Gives up ways that are far behind another one of their group."""
        for group in self._ways if self._hasty else ():
            least = min(self._missed[way] for way in group)
            self._left_out.update(w for w in group if self._missed[w] > least + SLACK)

    def _look_at_size(self, cells: Sequence[str]) -> None:
        self._whole = "".join(cells).isdecimal() or all(map(is_whole, cells))
        if self._whole and not self._large:
            self._large = any(map(is_large, cells))

    @property
    def commas(self) -> bool:
        """Whether a cell has a comma."""
        return self._comma

    @property
    def colons(self) -> bool:
        """Whether a cell has a colon."""
        return self._colon

    @property
    def knows(self) -> bool:
        """Whether enough was tried to say which ways are the best."""
        limit = max((self.total - 1) // 2, 0)
        for group in self._ways:
            left = self._left_out.intersection(group)
            least = min((self._missed[way] for way in group if way not in left), default=limit + 1)
            if any(self._missed[way] <= min(least, limit) for way in left):
                return False
            if least <= limit and not self._is_unlike(group[0]):
                return True
        return True

    def _is_unlike(self, way: Written) -> bool:
        """Whether these are no numbers, for they have different units."""
        several = len(self._units - {""}) > 1 or self._units == {"", "%"}
        return several and isinstance(way, Numbers)

    def best(self) -> tuple[list[Written], str]:
        """The ways to write numbers, else dates, that read the most cells, and more than half.

        The usual one is first; with them a cell that two of them read as something else, empty
        where there is none.
        """
        if self.total and self._whole and self._large:
            return [], ""
        limit = max((self.total - 1) // 2, 0)
        for group in self._ways:
            tried = [way for way in group if way not in self._left_out]
            least = min((self._missed[way] for way in tried), default=limit + 1)
            found = [way for way in tried if self._missed[way] == least <= limit]
            if found and not self._is_unlike(found[0]):
                return found, self._differing.get(found[-1], "") if len(found) > 1 else ""
        return [], ""
