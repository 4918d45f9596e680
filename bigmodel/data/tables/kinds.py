"""Whether the cells of a column are text, numbers or dates, and how these are written."""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from bigmodel.data.tables.columns import Column, Frame
from bigmodel.data.tables.csv_table import Cells, CsvFormat
from bigmodel.data.tables.dates import Dates, calendar
from bigmodel.data.texts.text_file import normalized
from bigmodel.experiment import InputError
from bigmodel.output import note

SIGNS = {"comma": ",", "point": ".", "space": r"\s", "apostrophe": "'\u2019"}
MINUS = "-\u2212\u2013"
UNITS = re.compile(r"[$€£¥₹%]|EUR|USD|GBP|CHF")
EXACT = 2**53
"""From here on a number of 64 bits does not hold every whole number."""
LARGEST = 1e100
"""The squares of larger values, and of the reciprocals, are near the end of 64 bits."""
FEW = 20
"""A column of text with at most so many different values has categories."""
LIKE_NUMBERS = re.compile(r"\W{0,3}\d[\d.,:/'\s-]*[^\s\d]{0,6}")


class Text(NamedTuple):
    """Cells are names of categories."""


class Numbers(NamedTuple):
    """Cells are numbers with this decimal sign, perhaps with a unit: a currency or percent.

    ``thousands`` are the characters of which one may stand before groups of three digits, or,
    where it is ``loose``, between any. A number in parentheses is negative.
    """

    decimal: str
    thousands: str
    loose: bool = False

    @property
    def option(self) -> str:
        """The option that asks for it."""
        return f"--data.decimal {'point' if self.decimal == '.' else 'comma'}"

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
        signs = (found["open"] or "") + found["first"] + found["second"] + found["last"]
        negative = any(sign in signs for sign in "(" + MINUS)
        return (-number if negative else number) if math.isfinite(number) else None

    def shown(self, cell: str) -> str:
        """The cell as this reads it, for a message."""
        return f"{self.read(cell):.15g}"


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


Kind: TypeAlias = "Text | Numbers | Dates"


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


def guess_kinds(cells: Cells, names: Iterable[str], options: CsvFormat) -> dict[str, Kind]:
    """Guesses the kinds of columns.

    A column has numbers or dates where more than half of its values can be read as such. Where
    its values mean different numbers under different decimal signs (1,234), or different dates,
    the other columns decide. Whole numbers from 2^53 on are text, because different ones may be
    equal as numbers of 64 bits.

    Raises:
        InputError: If nothing says what a column means.
    """
    dates = [Dates("day"), Dates("month")]
    if options.date_order != "auto":
        dates = [Dates(options.date_order)]
    formats = (number_formats(options), dates)
    found: dict[str, list[Kind]] = {}
    decided: set[Kind] = set()
    for name in names:
        counts = Counter(filter(None, cells.columns[name]))
        found[name] = [Text()]
        if counts and all(map(_is_whole, counts)) and any(map(_is_large, counts)):
            continue
        for kinds in formats:
            best = _readable(counts, kinds)
            if best:
                found[name] = [best[0][0]]
                found[name] += [kind for kind, read in best[1:] if read != best[0][1]]
                decided.update(kind for kind, _ in best if len(best) == 1)
                break
    return {name: _agreed(cells, name, kinds, decided) for name, kinds in found.items()}


def _readable(
    counts: Counter[str], kinds: Sequence[Numbers] | Sequence[Dates]
) -> list[tuple[Numbers | Dates, dict[str, object]]]:
    """The kinds that can read most cells, and more than half, with what they read."""
    best: list[tuple[Numbers | Dates, dict[str, object]]] = []
    allowed = (counts.total() - 1) // 2
    for kind in kinds:
        read: dict[str, object] = {}
        missed = 0
        for cell, count in counts.items():
            read[cell] = kind.read(cell)
            missed += count * (read[cell] is None)
            if missed > allowed >= 0:
                break
        else:
            best = [*(best if missed == allowed else ()), (kind, read)]
            allowed = missed
    if best and isinstance(best[0][0], Numbers):
        units = {found[0] if (found := UNITS.search(c)) else "" for c in counts}
        if len(units - {""}) > 1 or units == {"", "%"}:
            return []
    return best


def _is_whole(cell: str) -> bool:
    return cell.lstrip("+-").isdecimal()


def _is_large(cell: str) -> bool:
    return len(cell) > 15 and _is_whole(cell) and abs(float(cell)) >= EXACT


def _agreed(cells: Cells, name: str, kinds: Sequence[Kind], decided: set[Kind]) -> Kind:
    """The one of several kinds that other columns of the table have."""
    agreed = [kind for kind in kinds if kind in decided]
    kind = kinds[0] if len(kinds) == 1 else agreed[0] if len(agreed) == 1 else None
    values = [cell for cell in cells.columns[name] if cell]
    if kind is None and isinstance(kinds[0], Numbers) and not any("," in cell for cell in values):
        kind = kinds[0]  # numbers such as 1.234, as programs write them
    if kind is None:
        assert not isinstance(kinds[0], Text)
        assert not isinstance(kinds[1], Text)
        first, second = kinds[0], kinds[1]
        cell = next(cell for cell in values if first.read(cell) != second.read(cell))
        raise InputError(
            f"{cells.source}, column {name!r}: {cell!r} may be {first.shown(cell)} or "
            f"{second.shown(cell)}; say which by {first.option} or {second.option}"
        )
    if isinstance(kind, Dates):
        return kind._replace(times=any(":" in cell for cell in values))
    return kind


def number_kind(cells: Cells, name: str, options: CsvFormat) -> Numbers:
    """Guesses how the numbers of a column are written, which must have numbers.

    Raises:
        InputError: If the options, or nothing, say what they mean.
    """
    kind = guess_kinds(cells, [name], options)[name]
    return kind if isinstance(kind, Numbers) else number_formats(options)[0]


def to_frame(cells: Cells, kinds: Mapping[str, Kind]) -> Frame:
    """Reads the columns that have a kind, in this order; dates become several columns.

    A note says how cells were read that may have another meaning.

    Raises:
        InputError: If a cell is not of its column's kind, or is a number beyond 1e100.
    """
    columns: list[Column] = []
    for name, kind in kinds.items():
        column = cells.columns[name]
        if isinstance(kind, Text):
            texts = {cell: normalized(cell) for cell in set(column)}
            columns.append(Column(name, np.array([texts[cell] for cell in column], object)))
            continue
        read: dict[str, Any] = {cell: kind.read(cell) for cell in set(column) if cell}
        wrong = {cell for cell, value in read.items() if value is None}
        read[""] = None if isinstance(kind, Dates) else math.nan
        for line, cell in zip(cells.lines, column, strict=True) if wrong else ():
            if cell in wrong:
                what = "date" if isinstance(kind, Dates) else "finite number"
                raise InputError(
                    f"{cells.source}, line {line}, column {name!r}: {cell[:80]!r} is not a {what}; "
                    "correct it, name it in --data.missing, or, in a table of features, name the "
                    "column in --data.categorical or --data.ignore"
                )
        if isinstance(kind, Dates):
            columns += calendar(name, [read[cell] for cell in column], times=kind.times)
        else:
            values = np.fromiter(map(read.__getitem__, column), np.float64, len(column))
            _check_size(cells, name, values)
            columns.append(Column(name, values))
    _tell(cells, kinds)
    return Frame(cells.source, tuple(columns), cells.lines)


def _check_size(cells: Cells, name: str, values: np.ndarray) -> None:
    sizes = np.abs(np.nan_to_num(values))
    large = sizes > LARGEST
    if large.any() or 0 < sizes.max() < 1 / LARGEST:
        row = int(large.argmax() if large.any() else sizes.argmax())
        beyond = f"larger than {LARGEST:g}" if large.any() else f"smaller than {1 / LARGEST:g}"
        raise InputError(
            f"{cells.source}, line {cells.lines[row]}, column {name!r}: {cells.columns[name][row]}"
            f" is {beyond}, and its square is no number of 64 bits; give the column in another "
            "unit, or name the value in --data.missing"
        )


def check_categories(column: Column, *, source: str, advice: str) -> None:
    """Refuses text that is not the names of categories, with advice what to do.

    Raises:
        InputError: If most of many different values look like numbers, or if more than half of
            all values are different, as those of identifiers are.
    """
    present = column.values[~column.missing].tolist()
    counts = Counter(present)
    if len(counts) <= FEW:
        return
    where = f"{source}: the column {column.name!r} is text"
    like = [c for c in counts if LIKE_NUMBERS.fullmatch(c) and not _is_large(c)]
    if 2 * len(like) > len(counts):
        others = [cell for cell, _ in counts.most_common() if cell not in set(like)]
        and_text = f", and others such as {others[0][:40]!r} do not" if others else ""
        raise InputError(
            f"{where}, but values such as {like[0][:40]!r} look like numbers{and_text}; write "
            "numbers alone, see --data.decimal, --data.thousands and --data.missing, or " + advice
        )
    if 2 * len(counts) > len(present):
        raise InputError(
            f"{where}, and {len(counts)} of its {len(present)} values are different, as of "
            "identifiers or whole sentences; " + advice
        )


def _tell(cells: Cells, kinds: Mapping[str, Kind]) -> None:
    told: dict[str, list[str]] = {}
    for name, kind in kinds.items():
        if isinstance(kind, Dates):
            told.setdefault("dates", []).append(name)
        elif isinstance(kind, Numbers) and kind.decimal == ",":
            told.setdefault("decimal commas", []).append(name)
        elif isinstance(kind, Text) and cells.words[name]:
            what = f"{' '.join(cells.words[name])} as a missing value (--data.missing)"
            told.setdefault(what, []).append(name)
    if told:
        parts = (
            f"{what} in {', '.join(map(repr, names[:5]))}{' ...' * (len(names) > 5)}"
            for what, names in told.items()
        )
        note(f"{cells.source}: read {'; '.join(parts)}")
