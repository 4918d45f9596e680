"""The columns of a large table as files: read once, memory-mapped at every start."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from bigmodel.data.personal.masking import Mask
from bigmodel.data.prepared.cache import prepared
from bigmodel.data.prepared.contents import check_unchanged, contents
from bigmodel.data.prepared.progress import Progress
from bigmodel.data.tables.columns import Column, Frame
from bigmodel.data.tables.csv_table import Cells, CsvFormat
from bigmodel.data.tables.kinds import (
    Kind,
    Text,
    agree,
    check_names,
    profiles_of,
    read_column,
    tell,
    too_small,
)
from bigmodel.data.tables.large.blocks import read_blocks
from bigmodel.data.tables.numbers import LARGEST
from bigmodel.data.tables.reading import kinds_as_json, kinds_from
from bigmodel.data.texts.text_file import normalized
from bigmodel.experiment import InputError

VERSION = 1
"""Of what is kept; another one where the same file and options give other columns."""
COLUMNS, LINES = "columns.json", "lines.npy"
MOST_TEXTS = 1 << 16
"""Different texts of a column."""


class Wanted(NamedTuple):
    """What is to be kept of a CSV file: the columns, and which of them are text in any case.

    ``kinds`` says how all of them are written, where that is known.
    """

    path: Path
    written: CsvFormat
    names: tuple[str, ...]
    text: frozenset[str] = frozenset()
    kinds: Mapping[str, Kind] | None = None


class Kept(NamedTuple):
    """A large table on disk.

    ``frame`` has its columns, memory-mapped, ``kinds`` says how the cells of each column of the
    file are written, and ``content`` is a digest of the file and of how it was read.
    """

    frame: Frame
    kinds: Mapping[str, Kind]
    content: str


def keep(wanted: Wanted, mask: Mask, *, cache: str) -> Kept:
    """The columns of a table, made now or at an earlier start.

    Raises:
        InputError: the file is no table, a cell is not of its column's kind, or a column has more
            different texts than categories can be.
        StorageError: the disk is full, or cannot be written.
    """
    read = contents([wanted.path], cache=cache)
    written = {field.name: getattr(wanted.written, field.name) for field in fields(CsvFormat)}
    key = {
        "version": VERSION,
        "source": read[0].sha256,
        "written": written,
        "columns": wanted.names,
        "text": sorted(wanted.text),
        "kinds": wanted.kinds and kinds_as_json(wanted.kinds),
        "mask": mask.key,
    }

    def make(folder: Path) -> None:
        with Progress(f"reading {wanted.path.name} twice", 2 * read[0].size) as progress:
            _write(folder, wanted, mask, progress)
        check_unchanged(read)

    folder = prepared("table", key, make, cache=cache)
    kept = json.loads((folder / COLUMNS).read_bytes())
    kinds = kinds_from(kept["kinds"])
    mask.counts.update(kept["masked"])
    tell(str(wanted.path), kept["words"], kinds)
    columns = [
        Column(
            each["name"],
            np.load(folder / each["file"], mmap_mode="r"),
            None if each["texts"] is None else tuple(each["texts"]),
        )
        for each in kept["columns"]
    ]
    lines = np.load(folder / LINES, mmap_mode="r")
    said = json.dumps({**key, "version": None}, sort_keys=True)
    content = hashlib.sha256(said.encode()).hexdigest()
    return Kept(Frame(str(wanted.path), tuple(columns), lines), kinds, content)


class _Look(NamedTuple):
    """What a first look at all rows has shown."""

    rows: int
    kinds: Mapping[str, Kind]
    words: Mapping[str, set[str]]


def _look(wanted: Wanted, mask: Mask, progress: Progress) -> _Look:
    source, written = str(wanted.path), wanted.written
    missing = frozenset(map(normalized, written.missing))
    unsaid = [n for n in wanted.names if n not in wanted.text] if wanted.kinds is None else []
    for hasty in (True, False):
        profiles = profiles_of(unsaid, written, missing, hasty=hasty)
        words: dict[str, set[str]] = {name: set() for name in wanted.names}
        rows = 0
        for cells in read_blocks(wanted.path, written, mask.again(), progress):
            rows += len(cells.lines)
            for name in wanted.names:
                if name in profiles:
                    profiles[name].add(cells.columns[name])
                else:
                    words[name] |= missing.intersection(cells.columns[name])
        if all(profile.knows for profile in profiles.values()):
            break
    words |= {name: profile.words for name, profile in profiles.items()}
    kinds = wanted.kinds
    if kinds is None:
        guessed = agree(source, profiles)
        kinds = {name: guessed.get(name, Text()) for name in wanted.names}
    return _Look(rows, kinds, words)


def _write(folder: Path, wanted: Wanted, mask: Mask, progress: Progress) -> None:
    rows, kinds, words = _look(wanted, mask, progress)
    check_names(str(wanted.path), kinds)
    counted = mask.again()
    with ExitStack() as stack:
        lines = stack.enter_context(_array_file(folder / LINES, np.int64, rows))
        writers: dict[str, _Writer] = {}

        def of(name: str, *, numeric: bool) -> _Writer:
            if name not in writers:
                writers[name] = _Writer(folder / f"{len(writers)}.npy", name, numeric, rows)
                stack.enter_context(writers[name].stream)
            return writers[name]

        for cells in read_blocks(wanted.path, wanted.written, counted, progress):
            lines.write(cells.lines.astype(np.int64).tobytes())
            for name, kind in kinds.items():
                if found := words[name]:
                    whole = cells.columns[name]
                    cells.columns[name] = ["" if cell in found else cell for cell in whole]
                if isinstance(kind, Text):
                    of(name, numeric=False).add_texts(cells, cells.columns[name])
                    continue
                for column in read_column(cells, name, kind):
                    writer = of(column.name, numeric=column.numeric)
                    if column.numeric:
                        writer.add_numbers(cells, name, column.values)
                    else:
                        writer.add_texts(cells, column.values.tolist())
    kept = {
        "kinds": kinds_as_json(kinds),
        "words": {name: sorted(found) for name, found in words.items()},
        "masked": counted.counts,
        "columns": [writer.kept() for writer in writers.values()],
    }
    (folder / COLUMNS).write_text(json.dumps(kept, ensure_ascii=False), encoding="utf-8")


class _Writer:
    """A column that is written block by block: numbers, or texts by their place among all."""

    def __init__(self, path: Path, name: str, numeric: bool, rows: int) -> None:
        self._name, self._numeric = name, numeric
        self.stream = _array_file(path, np.float64 if numeric else np.int32, rows)
        self._place: dict[str, int] = {}
        self._place_of = {"": -1}
        self._largest = 0.0
        self._where: tuple[Cells, str] | None = None

    def add_numbers(self, cells: Cells, name: str, values: np.ndarray) -> None:
        if not self._largest > 1 / LARGEST:
            sizes = np.abs(np.nan_to_num(values))
            row = int(sizes.argmax())
            if sizes[row] > self._largest:
                cell = {name: cells.columns[name][row : row + 1]}
                one = cells._replace(columns=cell, lines=cells.lines[row : row + 1])
                self._largest, self._where = float(sizes[row]), (one, name)
        self.stream.write(values.tobytes())

    def add_texts(self, cells: Cells, texts: Sequence[str]) -> None:
        place_of = self._place_of
        for cell in dict.fromkeys(texts):
            if cell not in place_of:
                text = normalized(cell)
                place_of[cell] = self._place.setdefault(text, len(self._place)) if text else -1
        if len(self._place) > MOST_TEXTS:
            raise InputError(
                f"{cells.source}: the column {self._name!r} is text with more than {MOST_TEXTS} "
                f"different values up to line {cells.lines[-1]}, as of identifiers or whole "
                f"sentences; leave it out with --data.ignore {self._name!r}"
            )
        places = np.fromiter(map(place_of.__getitem__, texts), np.int32, len(texts))
        self.stream.write(places.tobytes())

    def kept(self) -> dict[str, Any]:
        """What is to be known of the column; raises InputError for numbers that are all tiny."""
        if self._where is not None and self._largest < 1 / LARGEST:
            raise too_small(*self._where, 0)
        texts = None if self._numeric else [*self._place]
        return {"name": self._name, "file": Path(self.stream.name).name, "texts": texts}


def _array_file(path: Path, dtype: type[np.generic], rows: int) -> BinaryIO:
    """A file of an array, to which its bytes can be written."""
    stream = path.open("wb")
    header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": (rows,)}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream
