"""Whether the cells of a column are text, numbers or dates, and how these are written."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from bigmodel.data.tables.columns import Column, Frame
from bigmodel.data.tables.csv_table import Cells, CsvFormat
from bigmodel.data.tables.dates import Dates, calendar
from bigmodel.data.tables.numbers import LARGEST, Numbers, is_large, number_formats, plain_numbers
from bigmodel.data.tables.profiles import Profile, Written
from bigmodel.data.texts.text_file import normalized
from bigmodel.experiment import InputError
from bigmodel.output import note

FEW = 20
"""A column of text with at most so many different values has categories."""
LIKE_NUMBERS = re.compile(r"\W{0,3}\d[\d.,:/'\s-]*[^\s\d]{0,6}")


class Text(NamedTuple):
    """Cells are names of categories."""


Kind: TypeAlias = "Text | Numbers | Dates"


def profiles_of(
    names: Iterable[str], options: CsvFormat, missing: Collection[str] = (), *, hasty: bool = True
) -> dict[str, Profile]:
    """Profiles of columns to which no cell was added yet.

    ``hasty`` ones may not know in the end, and so want all cells once more without haste;
    ``missing`` are words for a missing value, as an empty cell is.

    Raises:
        InputError: If the options contradict each other.
    """
    dates = [Dates("day"), Dates("month")]
    if options.date_order != "auto":
        dates = [Dates(options.date_order)]
    ways = (number_formats(options), dates)
    return {name: Profile(ways, missing, hasty=hasty) for name in names}


def agree(source: str, profiles: Mapping[str, Profile]) -> dict[str, Kind]:
    """The kinds of columns.

    A column has numbers or dates where more than half of its values can be read as such. Where
    its values mean different numbers under different decimal signs (1,234), or different dates,
    the other columns decide. Whole numbers from 2^53 on are text, because different ones may be
    equal as numbers of 64 bits.

    Raises:
        InputError: If nothing says what a column means.
    """
    best = {name: profile.best() for name, profile in profiles.items()}
    decided = {ways[0] for ways, _ in best.values() if len(ways) == 1}
    return {
        name: _agreed(source, name, profile, *best[name], decided)
        for name, profile in profiles.items()
    }


def guess_kinds(cells: Cells, names: Iterable[str], options: CsvFormat) -> dict[str, Kind]:
    """Guesses the kinds of columns, as :func:`agree` does.

    Raises:
        InputError: As for that.
    """
    for hasty in (True, False):
        profiles = profiles_of(names, options, hasty=hasty)
        for name, profile in profiles.items():
            profile.add(cells.columns[name])
        if all(profile.knows for profile in profiles.values()):
            break
    return agree(cells.source, profiles)


def _agreed(
    source: str,
    name: str,
    profile: Profile,
    ways: Sequence[Written],
    differing: str,
    decided: set[Written],
) -> Kind:
    """The one of several ways to write values that other columns of the table have."""
    if not ways:
        return Text()
    agreed = [way for way in ways if way in decided]
    kind = ways[0] if not differing else agreed[0] if len(agreed) == 1 else None
    if kind is None and isinstance(ways[0], Numbers) and not profile.commas:
        kind = ways[0]  # numbers such as 1.234, as programs write them
    if kind is None:
        first, second = ways
        raise InputError(
            f"{source}, column {name!r}: {differing!r} may be {first.shown(differing)} or "
            f"{second.shown(differing)}; say which by {first.option} or {second.option}"
        )
    return kind._replace(times=profile.colons) if isinstance(kind, Dates) else kind


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
        InputError: If a cell is not of its column's kind, or is a number beyond 1e100, or two
            columns would have the same name.
    """
    check_names(cells.source, kinds)
    columns: list[Column] = []
    for name, kind in kinds.items():
        found = read_column(cells, name, kind)
        if isinstance(kind, Numbers):
            sizes = np.abs(np.nan_to_num(found[0].values))
            if 0 < sizes.max() < 1 / LARGEST:
                raise too_small(cells, name, int(sizes.argmax()))
        columns += found
    tell(cells.source, cells.words, kinds)
    return Frame(cells.source, tuple(columns), cells.lines)


def check_names(source: str, kinds: Mapping[str, Kind]) -> None:
    """Refuses a column that is called as a part of a date is.

    Raises:
        InputError: There is one.
    """
    for name, kind in kinds.items():
        if isinstance(kind, Dates):
            for part in calendar(name, [], times=kind.times)[1:]:
                if part.name in kinds:
                    raise InputError(
                        f"{source}: the column {part.name!r} has the name of a part of the date "
                        f"{name!r}; rename one of them, or name one in --data.ignore"
                    )


def read_column(cells: Cells, name: str, kind: Kind) -> list[Column]:
    """Reads the cells of a column; dates become several columns.

    Raises:
        InputError: If a cell is not of that kind, or is a number beyond 1e100.
    """
    column = cells.columns[name]
    if isinstance(kind, Text):
        texts = {cell: normalized(cell) for cell in set(column)}
        return [Column(name, np.array([texts[cell] for cell in column], object))]
    plain = plain_numbers(column) if isinstance(kind, Numbers) and kind.reads_plainly else None
    if plain is not None:
        return [Column(name, _checked(cells, name, np.array(plain, np.float64)))]
    distinct = [cell for cell in dict.fromkeys(column) if cell]
    values = kind.read_all(distinct)
    if None in values:
        wrong = {cell for cell, value in zip(distinct, values, strict=True) if value is None}
        row = next(row for row, cell in enumerate(column) if cell in wrong)
        what = "date" if isinstance(kind, Dates) else "finite number"
        raise InputError(
            f"{cells.source}, line {cells.lines[row]}, column {name!r}: {column[row][:80]!r} is "
            f"not a {what}; correct it, name it in --data.missing, or, in a table of features, "
            "name the column in --data.categorical or --data.ignore"
        )
    if isinstance(kind, Dates):
        number = {cell: place for place, cell in enumerate(distinct)}
        rows = np.fromiter((number.get(cell, -1) for cell in column), np.int64, len(column))
        # The last one, which -1 means, is the missing one.
        parts = calendar(name, [*values, None], times=kind.times)
        return [part._replace(values=part.values[rows]) for part in parts]
    if len(distinct) == len(column):
        numbers = np.array(values, np.float64)
    else:
        read: dict[str, Any] = {**dict(zip(distinct, values, strict=True)), "": math.nan}
        numbers = np.fromiter(map(read.__getitem__, column), np.float64, len(column))
    return [Column(name, _checked(cells, name, numbers))]


def _checked(cells: Cells, name: str, numbers: np.ndarray) -> np.ndarray:
    large = np.abs(numbers) > LARGEST
    if large.any():
        raise _beyond(cells, name, int(large.argmax()), f"larger than {LARGEST:g}")
    return numbers


def too_small(cells: Cells, name: str, row: int) -> InputError:
    """The error for numbers that are all tiny, of which this row has the largest."""
    return _beyond(cells, name, row, f"smaller than {1 / LARGEST:g}")


def _beyond(cells: Cells, name: str, row: int, beyond: str) -> InputError:
    return InputError(
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
    counts = column.counts()
    if len(counts) <= FEW:
        return
    where = f"{source}: the column {column.name!r} is text"
    like = [c for c in counts if LIKE_NUMBERS.fullmatch(c) and not is_large(c)]
    if 2 * len(like) > len(counts):
        others = [cell for cell, _ in counts.most_common() if cell not in set(like)]
        and_text = f", and others such as {others[0][:40]!r} do not" if others else ""
        raise InputError(
            f"{where}, but values such as {like[0][:40]!r} look like numbers{and_text}; write "
            "numbers alone, see --data.decimal, --data.thousands and --data.missing, or " + advice
        )
    if 2 * len(counts) > counts.total():
        raise InputError(
            f"{where}, and {len(counts)} of its {counts.total()} values are different, as of "
            "identifiers or whole sentences; " + advice
        )


def tell(source: str, words: Mapping[str, Sequence[str]], kinds: Mapping[str, Kind]) -> None:
    """Notes how cells were read that may have another meaning."""
    told: dict[str, list[str]] = {}
    for name, kind in kinds.items():
        if isinstance(kind, Dates):
            told.setdefault("dates", []).append(name)
        elif isinstance(kind, Numbers) and kind.decimal == ",":
            told.setdefault("decimal commas", []).append(name)
        elif isinstance(kind, Text) and words[name]:
            what = f"{' '.join(words[name])} as a missing value (--data.missing)"
            told.setdefault(what, []).append(name)
    if told:
        parts = (
            f"{what} in {', '.join(map(repr, names[:5]))}{' ...' * (len(names) > 5)}"
            for what, names in told.items()
        )
        note(f"{source}: read {'; '.join(parts)}")
