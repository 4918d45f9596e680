"""Dates in tables: as numbers, and as parts of the calendar."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Literal, NamedTuple

import numpy as np

from bigmodel.data.tables.columns import Column

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

_YEAR_FIRST = r"(?P<y>\d{4})(?P<s>[-/.])(?P<m>\d{1,2})(?P=s)(?P<d>\d{1,2})"
_YEAR_LAST = r"(?P<a>\d{1,2})(?P<t>[-/.])(?P<b>\d{1,2})(?P=t)(?P<z>\d{4}|\d{2})"
_TIME = (
    r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d+))?)?"
    r"\s*(?P<half>[AaPp][Mm])?\s*(?P<zone>Z|UTC|GMT|[+-]\d{2}:?\d{2}|[+-]\d{2})?"
)
PATTERN = re.compile(rf"(?:{_YEAR_FIRST}|{_YEAR_LAST})(?:(?:T|,?\s+){_TIME})?")


class Dates(NamedTuple):
    """Cells are dates, perhaps with a time and a zone, which is UTC where there is none.

    The year is first, as in ISO 8601, or last, after what ``order`` says; between points it is
    always the day. Of years with two digits those from 69 on are of the twentieth century.
    ``times`` says whether the cells of the column have a time.
    """

    order: Literal["day", "month"]
    times: bool = False

    @property
    def option(self) -> str:
        """The option that asks for it."""
        return f"--data.date-order {self.order}"

    def read(self, cell: str) -> datetime | None:
        """The date, None where the cell is none."""
        if (quick := _iso(cell)) is not None:
            return quick
        found = PATTERN.fullmatch(cell)
        if found is None:
            return None
        part = found.groupdict()
        if part["y"]:
            year, month, day = int(part["y"]), part["m"], part["d"]
        else:
            if self.order == "month" and part["t"] == ".":
                return None
            day, month = (part["a"], part["b"])[:: 1 if self.order == "day" else -1]
            year = int(part["z"])
            if len(part["z"]) == 2:
                year += 2000 if year < 69 else 1900
        hour = int(part["hour"] or 0)
        if part["half"]:
            if not 1 <= hour <= 12:
                return None
            hour = hour % 12 + 12 * (part["half"].lower() == "pm")
        try:
            return datetime(
                year,
                int(month),
                int(day),
                hour,
                int(part["minute"] or 0),
                int(part["second"] or 0),
                int(f"{part['fraction'] or 0:0<6}"[:6]),
                tzinfo=_zone(part["zone"] or "Z"),
            )
        except ValueError:
            return None

    @property
    def reads_plainly(self) -> bool:
        """Dates are no plain numbers."""
        return False

    def read_all(self, cells: Sequence[str]) -> list[datetime | None]:
        """The date of each cell."""
        return list(map(self.read, cells))

    def shown(self, cell: str) -> str:
        """The cell as this reads it, for a message."""
        date = self.read(cell)
        return "no date" if date is None else f"{date:%Y-%m-%d}"


def _iso(cell: str) -> datetime | None:
    """A date such as 2020-03-04 or 2020-03-04 05:06:07, read by Python's own quick way."""
    if cell[4:5] == cell[7:8] == "-" and (
        len(cell) == 10 or (len(cell) == 19 and cell[10] in "T " and cell[11:13] != "24")
    ):
        try:
            return datetime.fromisoformat(cell).replace(tzinfo=UTC)
        except ValueError:
            pass
    return None


def _zone(text: str) -> timezone:
    if text[0] not in "+-":
        return UTC
    digits = text[1:].replace(":", "").ljust(4, "0")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if text[0] == "-" else offset)


def calendar(name: str, dates: Sequence[datetime | None], *, times: bool) -> list[Column]:
    """Dates as columns: the days since 1970, and parts of the calendar where each date was.

    The parts are the weekday, as text, and the place in the year, as sine and cosine of
    ``2 pi day / 365.25``, with which 31 December and 1 January are near each other. With
    ``times`` there is the place in the day too, likewise. The names of all begin with ``name``.
    """

    def numbers(read: str, values: list[float]) -> Column:
        filled = iter(values)
        return Column(read, np.array([np.nan if d is None else next(filled) for d in dates]))

    known = [date for date in dates if date is not None]
    of_day = [
        (date - date.replace(hour=0, minute=0, second=0, microsecond=0)) / DAY for date in known
    ]
    of_year = [
        (date.timetuple().tm_yday - 1 + part) / 365.25
        for date, part in zip(known, of_day, strict=True)
    ]
    columns = [numbers(name, [(date - EPOCH) / DAY for date in known])]
    for what, turns in (("year", of_year), ("day", of_day))[: 1 + times]:
        for function in (np.sin, np.cos):
            part = f"{name} ({function.__name__}e of the {what})".replace("cose", "cosine")
            columns.append(numbers(part, [float(function(2 * np.pi * turn)) for turn in turns]))
    weekdays = ["" if date is None else WEEKDAYS[date.weekday()] for date in dates]
    return [*columns, Column(f"{name} (weekday)", np.asarray(weekdays, object))]
