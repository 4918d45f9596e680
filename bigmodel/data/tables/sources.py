"""Where a table is from: a package, a file that fits the memory, or a larger one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Int

from bigmodel.data.lookup import Lookup
from bigmodel.data.personal.masking import Mask
from bigmodel.data.tables.bundled_tables import read_bundled
from bigmodel.data.tables.columns import Frame, find_name
from bigmodel.data.tables.csv_table import Cells, CsvFormat, read_csv
from bigmodel.data.tables.dates import Dates
from bigmodel.data.tables.kinds import Kind, Text, check_categories, guess_kinds, to_frame
from bigmodel.data.tables.large.blocks import is_large, read_header
from bigmodel.data.tables.large.kept import Wanted, keep
from bigmodel.data.tables.large.rows import cells_of
from bigmodel.data.tables.numbers import Numbers
from bigmodel.data.tables.reading import TABLE, TableReader
from bigmodel.data.texts.text_file import normalized
from bigmodel.experiment import InputError
from bigmodel.output import note

if TYPE_CHECKING:
    from bigmodel.data.tables.table import TableData


class Source(NamedTuple):
    """A table: the cells of its columns as a user has them, and what they were read as.

    ``content`` is a digest of a table that is kept on disk, empty for one in memory.
    """

    cells: Mapping[str, Any]
    frame: Frame
    content: str = ""

    def usable(self, options: TableData) -> Int[np.ndarray, " rows"]:
        """The numbers of the rows that the options leave in."""
        if options.fill == "drop":
            return self.frame.complete_rows()
        return np.arange(len(self.frame.lines))


class Read(NamedTuple):
    """The target, how cells are written, the table, and the one to test on where it is another."""

    target: str
    kinds: Mapping[str, Kind]
    whole: Source
    test: Source | None

    def of(self, part: str) -> Source:
        """The table that has the rows of a part."""
        return self.test if self.test is not None and part == "test" else self.whole

    def contents(self, reader: TableReader) -> dict[str, bytes]:
        """What decides the features of tables on disk, for a fingerprint."""
        digests = [source.content for source in (self.whole, self.test) if source]
        kept = json.dumps(digests).encode() + reader.dump()[TABLE]
        return {"columns": kept} if any(digests) else {}


def read_table(options: TableData, mask: Mask) -> Read:
    """The table of the options, and the other one to test on.

    Raises:
        InputError: A file is no table, or has not what the options name.
        StorageError: A large one cannot be kept.
    """
    if options.name != "csv":
        everything = read_bundled(options.name).masked(mask)
        frame = everything.without(options.ignore, option="--data.ignore")
        target = _target(options, frame.names, source=frame.source)
        kinds: dict[str, Kind] = {
            c.name: Numbers(".", "") if c.numeric else Text() for c in frame.columns
        }
        cells = {column.name: column.values for column in everything.columns}
        return Read(target, kinds, Source(cells, frame), None)
    path = Path(options.path)
    small, every = _opened(path, options, mask)

    def find(name: str, option: str) -> str:
        return find_name(name, every, source=str(path), option=option)

    ignored = {find(name, "--data.ignore") for name in options.ignore}
    names = tuple(name for name in every if name not in ignored)
    target = _target(options, names, source=str(path))
    text = frozenset(find(name, "--data.categorical") for name in options.categorical)
    guessed: Mapping[str, Kind]
    if small:
        guessed = guess_kinds(small, [name for name in names if name not in text], options)
        kinds = {name: guessed.get(name, Text()) for name in names}
    else:
        kept = keep(Wanted(path, options, names, text), mask, cache=options.cache)
        kinds = dict(kept.kinds)
    if isinstance(kinds[target], Dates):
        raise InputError(
            f"{path}: the target {target!r} is a date; choose another --data.target, or "
            f"predict it as a category with --data.categorical {target!r}"
        )
    if small:
        whole = Source(small.columns, to_frame(small, kinds))
    else:
        whole = Source(cells_of(kept.frame, kinds), kept.frame, kept.content)
    _check_categories(whole.frame, kinds, target, text, options)
    if not options.test_path:
        return Read(target, kinds, whole, None)
    path = Path(options.test_path)
    test, _ = read_as(path, options, kinds, mask, option="--data.test-path")
    return Read(target, kinds, whole, test)


def _target(options: TableData, names: Sequence[str], *, source: str) -> str:
    """The target among the columns that are not left out, of which another one is to be left."""
    if len(names) < 2:
        raise InputError(
            f"--data.ignore leaves {source} no column to learn from; a table needs a target and "
            "at least one other column"
        )
    return find_name(options.target or names[-1], names, source=source, option="--data.target")


def _check_categories(
    frame: Frame,
    kinds: Mapping[str, Kind],
    target: str,
    text: frozenset[str],
    options: TableData,
) -> None:
    for column in frame.columns:
        if column.name in text or not isinstance(kinds.get(column.name), Text):
            continue
        if column.name != target:
            advice = f"leave it out with --data.ignore {column.name!r}, or keep its categories "
            advice += f"with --data.categorical {column.name!r}"
        else:
            advice = "choose another --data.target, or say --data.task classification"
        if column.name != target or options.task == "auto":
            check_categories(column, source=frame.source, advice=advice)


def _opened(path: Path, options: TableData, mask: Mask) -> tuple[Cells | None, tuple[str, ...]]:
    """The cells of a file that is not large, and the names of its columns."""
    if is_large(path):
        return None, read_header(path, options, mask)
    cells = read_csv(path, options, mask=mask)
    return cells, tuple(cells.columns)


def read_as(
    path: Path, options: TableData, kinds: Mapping[str, Kind], mask: Mask, *, option: str
) -> tuple[Source, tuple[str, ...]]:
    """Another table with these columns, written in the same way, and the names of all it has.

    Raises:
        InputError: It lacks a column, or a cell is of another kind.
    """
    small, every = _opened(path, options, mask)
    for name in kinds:
        find_name(name, every, source=str(path), option=option)
    if small:
        return Source(small.columns, to_frame(small, kinds)), every
    kept = keep(Wanted(path, options, tuple(kinds), kinds=kinds), mask, cache=options.cache)
    return Source(cells_of(kept.frame, kinds), kept.frame, kept.content), every


def read_for(options: TableData, kinds: Mapping[str, Kind], mask: Mask) -> Source:
    """All of a table, read as that of a trained run was.

    Raises:
        InputError: It lacks a column, or a cell is of another kind.
    """
    if options.name == "csv":
        path = Path(options.path)
        source, given = read_as(path, options, kinds, mask, option="--data.path")
    else:
        frame = read_bundled(options.name).masked(mask)
        for name in kinds:
            frame.find(name, option="--data.name")
        given = frame.names
        cells = {column.name: column.values for column in frame.columns}
        frame = frame._replace(columns=tuple(frame.find(name, option="") for name in kinds))
        source = Source(cells, frame)
    if ignored := [name for name in given if name not in kinds]:
        note(
            f"{source.frame.source}: the run does not read {len(ignored)} columns, as "
            f"{ignored[0]!r}"
        )
    return source


def any_column(
    options: TableData,
    read: Read,
    rows: Mapping[str, Int[np.ndarray, " rows"]],
    kinds: Mapping[str, Kind],
    mask: Mask,
) -> Lookup:
    """Looks up a column for the rows of a part, also one that no network reads.

    Values are float64 with NaN, or texts with "", where one is missing; a date is its year.
    """

    def column(part: str, name: str, *, option: str) -> np.ndarray:
        source = read.of(part)
        path = Path(source.frame.source)
        names = read_header(path, options, mask) if source.content else tuple(source.cells)
        found = find_name(name, names, source=str(path), option=option)
        kind, cells = kinds.get(found), source.cells.get(found)
        if cells is None:
            kept = keep(Wanted(path, options, (found,)), mask, cache=options.cache)
            kind, cells = kept.kinds[found], cells_of(kept.frame, kept.kinds)[found]
        if isinstance(cells, np.ndarray):
            return cells[rows[part]]
        if not source.content:
            return values_of(str(path), found, cells, kind, options)[rows[part]]
        return _values([cells[row] for row in rows[part].tolist()], kind)

    return column


def _values(meaning: Sequence[Any], kind: Kind | None) -> np.ndarray:
    if isinstance(kind, Text):
        return np.array(meaning, object)
    if isinstance(kind, Dates):
        meaning = [date and int(str(date).split("-")[0]) for date in meaning]
    return np.array(meaning, np.float64)


def values_of(
    source: str, name: str, cells: Sequence[str], kind: Kind | None, options: CsvFormat
) -> np.ndarray:
    """The values of all cells of a column: float64 with NaN, or texts with "" for a missing one.

    A date is its year. Without a kind that is guessed, and what only looks like numbers is text.

    Raises:
        InputError: Nothing says what the numbers mean.
    """
    table = Cells(source, {name: list(cells)}, np.arange(len(cells)), {name: ()})
    kind = kind or guess_kinds(table, [name], options)[name]
    meaning: dict[str, Any] = {"": None}
    if not isinstance(kind, Text):
        meaning |= {cell: kind.read(cell) for cell in set(cells) if cell}
    if isinstance(kind, Text) or any(cell and meaning[cell] is None for cell in meaning):
        return _values([normalized(cell) for cell in cells], Text())
    return _values([meaning[cell] for cell in cells], kind)
