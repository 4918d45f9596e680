"""Tables by name or from a CSV file as batches of features."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from bigmodel.data.batches import Arrays, Batches
from bigmodel.data.parts import data_of, names_of_numbers
from bigmodel.data.personal.masking import Mask, Personal
from bigmodel.data.split import Folds, check_held_out, split_rows
from bigmodel.data.tables.csv_table import CsvFormat
from bigmodel.data.tables.encoding import Fill, fit_encoder
from bigmodel.data.tables.large.division import Divided, batched, dense, divide_once
from bigmodel.data.tables.reading import TableReader, table_reader
from bigmodel.data.tables.sources import Read, any_column, read_for, read_table
from bigmodel.data.tables.target import (
    Target,
    Task,
    class_names,
    encode_target,
    is_class,
    label_classes,
    standardise,
)
from bigmodel.experiment import Assets, Data, InputError


@dataclass(frozen=True)
class TableData(Folds, CsvFormat, Personal):
    """Which table, what of it to predict, and how it is divided and made into numbers."""

    name: Literal["digits", "diabetes", "breast_cancer", "penguins", "titanic", "csv"] = "digits"
    """penguins and titanic have gaps, and come with the extra `data`; csv: your own"""
    path: str = ""
    """csv: the file, with a header line; it may be gzipped"""
    cache: str = ""
    """csv: folder that keeps what was read of a large file; by default one in the user's cache"""
    test_path: str = ""
    """csv: another file with the same columns to test on, instead of a held-out part"""
    target: str = ""
    """column to predict; by default the last one"""
    task: Task = "auto"
    """auto: text and whole numbers of at most 20 different values are classes"""
    categorical: tuple[str, ...] = ()
    """csv: columns of categories, whatever their cells look like"""
    ignore: tuple[str, ...] = ()
    """columns to leave out"""
    fill: Fill = "mean"
    """statistic of the training rows that replaces missing numbers; missing text becomes the most
    frequent one. drop: rows with missing values are left out"""
    indicator: bool = False
    """whether each column with missing values gets another one that says where they are"""
    batch_size: int = 32
    """rows in a batch"""
    validation: float = 0.1
    """fraction of the training rows, or of each class, that is held out to choose by"""
    test: float = 0.2
    """fraction of the rows, or of each class, held out as test set, unless there are folds"""
    split_seed: int = 0
    """decides which rows are held out, apart from the seed of the run"""

    def __post_init__(self) -> None:
        check_held_out(self)
        if self.name == "csv" and not self.path:
            raise InputError("--data.name csv needs --data.path, a CSV file with a header line")
        for word in set(self.missing).intersection(get_args(Fill)):
            raise InputError(
                f"--data.missing has the words for a missing value, and {word} is none; "
                f"--data.fill {word} says what replaces one"
            )
        if self.folds and self.test_path:
            raise InputError("--data.folds and --data.test-path both say what to test on; use one")
        for option in ("path", "test_path", "categorical"):
            if getattr(self, option) and self.name != "csv":
                raise InputError(
                    f"--data.{option.replace('_', '-')} is for --data.name csv, "
                    f"and it is {self.name}"
                )


class EncodedTable(NamedTuple):
    """A table as arrays by part: ``train``, ``validation``, ``test``.

    Arrays are ``features`` float32 ``[rows, features]``, and ``label`` int32 ``[rows]`` for
    classes or ``target`` float32 ``[rows]`` for numbers, which is standardised. ``inputs`` are the
    rows of the evaluation parts as a user has them.
    """

    parts: Mapping[str, Arrays]
    inputs: Mapping[str, Sequence[Any]]
    reader: TableReader

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the features."""
        return self.reader.encoder.features

    @property
    def target(self) -> Target:
        """What is predicted."""
        return self.reader.target


class Table(NamedTuple):
    """Batches of a table, with what a model must know about it."""

    data: Data
    reader: TableReader

    @property
    def target(self) -> Target:
        """What is predicted."""
        return self.reader.target


def load_table(options: TableData, assets: Assets | None = None) -> Table:
    """Read a table, divide it, and make it into batches.

    Batches have the arrays of :class:`EncodedTable` and ``weight`` float32 ``[batch]``. The
    splits are ``validation`` and ``test``, each absent where its fraction is 0. Of a large file the
    columns are kept on disk, and features are made of the rows of a batch when it is asked for.

    Args:
        options: Which table.
        assets: Files of a trained run: all rows are then the split ``test`` for it.

    Raises:
        InputError: If the table cannot be used as the options say.
        StorageError: If a large one cannot be kept.
    """
    mask = options.masking()
    if assets is None:
        read, size = read_table(options, mask), options.batch_size
        divided = divide_once(options, read, divide)
    else:
        read, divided = _to_test(options, table_reader(assets), mask)
        size = min(options.batch_size, len(divided.rows["test"]))
    reader = divided.reader
    parts, prepare = batched(divided, read)
    features, target = reader.encoder.features, reader.target
    own = bool(options.path)
    named = names_of_numbers(features, [target.column], target.names, own=own)
    # Errors are told in the units of the target.
    units = {"units": np.array([reader.target.mean, reader.target.scale])}
    data = data_of(
        parts,
        size,
        prepare=prepare,
        beside=units,
        deciding=read.contents(reader) | named,
        assets=mask.with_counts(reader.dump()),
    )
    column = any_column(options, read, divided.rows, reader.kinds, mask)
    return Table(data._replace(inputs=_inputs(divided, read), column=column), reader)


def encode_table(options: TableData) -> EncodedTable:
    """Read a table, divide it, and encode it by rules that the training rows alone decide.

    Raises:
        InputError: If the table cannot be used as the options say.
    """
    read = read_table(options, options.masking())
    divided = divide(options, read)
    parts = {part: dense(divided, read, part) for part in divided.rows}
    return EncodedTable(parts, _inputs(divided, read), divided.reader)


def divide(options: TableData, read: Read) -> Divided:
    """The rows of each part, their targets, and what encodes their features.

    Raises:
        InputError: If the table cannot be used as the options say.
    """
    name, frame = read.target, read.whole.frame
    target = frame.find(name, option="--data.target")
    usable = read.whole.usable(options)
    alone = frame._replace(columns=(target,)).take(usable)
    classes = is_class(alone, alone.columns[0], options.task)
    labels = None
    names: tuple[str, ...] = ()
    if classes:
        found, labels = alone.columns[0].distinct()
        names = class_names(found)
    given = () if read.test is None else ("test",)
    split = split_rows(options, len(usable), labels=labels, names=names, given=given)
    rows = {part: usable[chosen] for part, chosen in split.items()}
    targets = {part: alone.take(chosen) for part, chosen in split.items()}
    if read.test is not None:
        rows["test"] = read.test.usable(options)
        held = read.test.frame.find(name, option="--data.target")
        targets["test"] = read.test.frame._replace(columns=(held,)).take(rows["test"])
    pairs = {part: (each, each.columns[0]) for part, each in targets.items()}
    described, values = label_classes(pairs) if classes else standardise(pairs)
    features = frame.without((name,), option="--data.target")
    encoder = fit_encoder(features, rows["train"], fill=options.fill, indicator=options.indicator)
    return Divided(rows, values, TableReader(described, read.kinds, options.missing, encoder))


def _inputs(divided: Divided, read: Read) -> dict[str, Sequence[Any]]:
    """The rows of the evaluation parts, each a mapping of names to cells, made on access."""

    def row(part: str, at: int) -> dict[str, Any]:
        cells, number = read.of(part).cells, divided.rows[part][at]
        return {name: cells[name][number] for name in divided.reader.names}

    return {
        part: Batches(len(rows), functools.partial(row, part))
        for part, rows in divided.rows.items()
        if part != "train"
    }


def _to_test(options: TableData, reader: TableReader, mask: Mask) -> tuple[Read, Divided]:
    """All rows as the test split of a trained run, read as it reads them."""
    source = read_for(options, reader.kinds, mask)
    rows = source.usable(options)
    column = source.frame.find(reader.target.column, option="--data.target")
    alone = source.frame._replace(columns=(column,)).take(rows)
    is_class(alone, alone.columns[0], "auto")  # every row needs one
    values = encode_target(alone, alone.columns[0], reader.target)
    both = ("train", "test")
    read = Read(column.name, reader.kinds, source, None)
    return read, Divided(dict.fromkeys(both, rows), dict.fromkeys(both, values), reader)
