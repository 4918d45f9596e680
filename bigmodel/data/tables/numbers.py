"""Numbers in cells, as people and programs write them."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Sequence
from typing import NamedTuple

from bigmodel.data.tables.csv_table import CsvFormat
from bigmodel.experiment import InputError

SIGNS = {"comma": ",", "point": ".", "space": r"\s", "apostrophe": "'\u2019"}
MINUS = "-\u2212\u2013"
UNIT_SIGNS = ("$", "€", "£", "¥", "₹", "%", "EUR", "USD", "GBP", "CHF")
UNITS = re.compile("|".join(map(re.escape, UNIT_SIGNS)))
WHOLE = re.compile(r"[-+]?[0-9]++(?:\n[-+]?[0-9]++)*+")
EXACT = 2**53
"""From here on a number of 64 bits does not hold every whole number."""
LARGEST = 1e100
"""The squares of larger values, and of the reciprocals, are near the end of 64 bits."""


class Numbers(NamedTuple):
    """Cells are numbers with this decimal sign, perhaps with a unit: a currency or percent.

    ``thousands`` are the characters of which one may stand before groups of three digits, or,
    where it is ``loose``, between any. A number in parentheses is negative, and none has
    two signs.
    """

    decimal: str
    thousands: str
    loose: bool = False

    @property
    def option(self) -> str:
        """The option that asks for it."""
        return f"--data.decimal {'point' if self.decimal == '.' else 'comma'}"

    @property
    def reads_plainly(self) -> bool:
        """Whether it reads what :func:`plain_numbers` reads, as that does."""
        return self.decimal == "."

    def read(self, cell: str) -> float | None:
        """The number; None where the cell is not a finite one."""
        if self.decimal == ".":
            try:
                number = float(cell)
            except ValueError:
                pass
            else:
                # Python reads 1_000 as a number; no other program does.
                return number if math.isfinite(number) and "_" not in cell else None
        found = _pattern(self).fullmatch(cell)
        if found is None:
            return None
        digits = found["number"]
        if self.thousands:
            digits = re.sub(f"[{self.thousands}]", "", digits)
        number = float(digits.replace(self.decimal, "."))
        sign = found["first"] + found["second"] + found["last"]
        if len(sign) > 1:
            return None
        negative = found["open"] or (sign and sign in MINUS)
        return (-number if negative else number) if math.isfinite(number) else None

    def read_all(self, cells: Sequence[str]) -> list[float | None]:
        """What :meth:`read` gives for each cell; quickly where all are written plainly."""
        if self.reads_plainly or WHOLE.fullmatch("\n".join(cells)):
            plain = plain_numbers(cells)
            if plain is not None:
                return [*plain]
        return list(map(self.read, cells))

    def shown(self, cell: str) -> str:
        """The cell as this reads it, for a message."""
        number = self.read(cell)
        return "no number" if number is None else f"{number:.15g}"


def plain_numbers(cells: Sequence[str]) -> list[float] | None:
    """Cells as numbers where Python reads all of them, and finite ones; None where it does not."""
    try:
        numbers = list(map(float, cells))
    except ValueError:
        return None
    # A sum that is not finite may be one of many large numbers, which are read one by one then.
    return numbers if math.isfinite(sum(numbers)) and "_" not in "\n".join(cells) else None


@functools.cache
def _pattern(kind: Numbers) -> re.Pattern[str]:
    point, groups = re.escape(kind.decimal), kind.thousands
    whole = r"\d+"
    if groups and kind.loose:
        whole = rf"\d(?:[{groups}]?\d)*"
    elif groups:
        whole = rf"(?:\d+|[1-9]\d{{0,2}}(?P<group>[{groups}])\d{{3}}(?:(?P=group)\d{{3}})*)"
    number = rf"(?={point}?\d)(?:{whole})?(?:{point}\d*)?(?:[eE][-+]?\d+)?"
    sign, unit = rf"[{MINUS}+]?", rf"(?:{UNITS.pattern})?"
    return re.compile(
        rf"(?P<open>\()?(?P<first>{sign})\s*{unit}\s*(?P<second>{sign})\s*(?P<number>{number})"
        rf"\s*{unit}\s*(?P<last>[{MINUS}]?)(?(open)\))"
    )


def number_formats(options: CsvFormat) -> list[Numbers]:
    """Returns the ways to write numbers that the options allow, the usual one first.

    Raises:
        InputError: If both signs are the same.
    """
    decimals = {"auto": ".,", "point": ".", "comma": ","}[options.decimal]
    match options.thousands:
        case "auto":
            others = SIGNS["space"] + SIGNS["apostrophe"]
            return [Numbers(d, others + ("," if d == "." else ".")) for d in decimals]
        case "none":
            return [Numbers(d, "") for d in decimals]
        case sign:
            found = [Numbers(d, SIGNS[sign], True) for d in decimals if d != SIGNS[sign]]
    if not found:
        raise InputError(f"--data.thousands {sign} is the decimal sign too; choose another one")
    return found


def is_whole(cell: str) -> bool:
    """Whether a cell is a whole number, with or without a sign."""
    return (cell[1:] if cell[:1] in ("+", "-") else cell).isdecimal()


def is_large(cell: str) -> bool:
    """Whether a cell is a whole number that one of 64 bits may not hold."""
    return len(cell) > 15 and is_whole(cell) and abs(float(cell)) >= EXACT
