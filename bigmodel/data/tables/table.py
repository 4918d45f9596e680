"""Tables by name or from a CSV file as batches of features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np

from bigmodel.data.batches import Arrays
from bigmodel.data.parts import data_of
from bigmodel.data.split import Folds, check_held_out, split_rows
from bigmodel.data.tables.bundled_tables import read_bundled
from bigmodel.data.tables.columns import Frame, find_name
from bigmodel.data.tables.csv_table import CsvFormat, read_csv
from bigmodel.data.tables.dates import Dates
from bigmodel.data.tables.encoding import Fill, fit_encoder
from bigmodel.data.tables.kinds import Text, check_categories, guess_kinds, to_frame
from bigmodel.data.tables.target import (
    Target,
    Task,
    class_names,
    is_class,
    label_classes,
    standardise,
)
from bigmodel.experiment import Data, InputError


@dataclass(frozen=True)
class TableData(Folds, CsvFormat):
    """Which table, what of it to predict, and how it is divided and made into numbers."""

    name: Literal["digits", "diabetes", "breast_cancer", "penguins", "titanic", "csv"] = "digits"
    """penguins and titanic have gaps, and come with the extra `data`; csv: your own"""
    path: str = ""
    """csv: the file, with a header line; it may be gzipped"""
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
    classes or ``target`` float32 ``[rows]`` for numbers, which is standardised.
    """

    parts: Mapping[str, Arrays]
    features: tuple[str, ...]
    target: Target


class Table(NamedTuple):
    """Batches of a table, with what a model must know about it."""

    data: Data
    target: Target


def load_table(options: TableData) -> Table:
    """Read a table, divide it, and make it into batches.

    Batches have the arrays of :class:`EncodedTable` and ``weight`` float32 ``[batch]``. The
    splits are ``validation`` and ``test``, each absent where its fraction is 0.

    Raises:
        InputError: If the table cannot be used as the options say.
    """
    table = encode_table(options)
    # Errors are told in the units of the target.
    units = {"units": np.array([table.target.mean, table.target.scale])}
    data = data_of(table.parts, options.batch_size, beside=units)
    return Table(data, table.target)


def encode_table(options: TableData) -> EncodedTable:
    """Read a table, divide it, and encode it by rules that the training rows alone decide.

    Raises:
        InputError: If the table cannot be used as the options say.
    """
    name, whole, held = _read(options)
    target = whole.find(name, option="--data.target")
    classes = is_class(whole, target, options.task)
    labels = None
    names: tuple[str, ...] = ()
    if classes:
        found, labels = np.unique(target.values, return_inverse=True)
        names = class_names(found)
    given = () if held is None else ("test",)
    split = split_rows(options, len(whole.lines), labels=labels, names=names, given=given)
    frames = {part: whole.take(rows) for part, rows in split.items()}
    if held is not None:
        frames["test"] = held
    targets = {
        part: (frame, frame.find(name, option="--data.target")) for part, frame in frames.items()
    }
    described, values = label_classes(targets) if classes else standardise(targets)
    inputs = {
        part: frame.without((name,), option="--data.target") for part, frame in frames.items()
    }
    encoder = fit_encoder(inputs["train"], fill=options.fill, indicator=options.indicator)
    parts = {
        part: {"features": encoder.encode(frame), "label" if classes else "target": values[part]}
        for part, frame in inputs.items()
    }
    return EncodedTable(parts, encoder.features, described)


def _read(options: TableData) -> tuple[str, Frame, Frame | None]:
    """The target, the table, and the one to test on where it is another file."""
    if options.name != "csv":
        frame = read_bundled(options.name).without(options.ignore, option="--data.ignore")
        column = frame.find(options.target or frame.names[-1], option="--data.target")
        return column.name, _completed(frame, options), None
    cells = read_csv(Path(options.path), options)
    ignored = {cells.find(name, option="--data.ignore") for name in options.ignore}
    names = [name for name in cells.columns if name not in ignored]
    target = find_name(
        options.target or names[-1], names, source=cells.source, option="--data.target"
    )
    text = {cells.find(name, option="--data.categorical") for name in options.categorical}
    guessed = guess_kinds(cells, [name for name in names if name not in text], options)
    kinds = {name: guessed.get(name, Text()) for name in names}
    if isinstance(kinds[target], Dates):
        raise InputError(
            f"{cells.source}: the target {target!r} is a date; choose another --data.target, or "
            f"predict it as a category with --data.categorical {target!r}"
        )
    whole = to_frame(cells, kinds)
    for column in whole.columns:
        if column.name not in guessed or not isinstance(guessed[column.name], Text):
            continue
        if column.name != target:
            advice = f"leave it out with --data.ignore {column.name!r}, or keep its categories "
            advice += f"with --data.categorical {column.name!r}"
        else:
            advice = "choose another --data.target, or say --data.task classification"
        if column.name != target or options.task == "auto":
            check_categories(column, source=cells.source, advice=advice)
    if not options.test_path:
        return target, _completed(whole, options), None
    other = read_csv(Path(options.test_path), options)
    for name in kinds:
        other.find(name, option="--data.test-path")
    return target, _completed(whole, options), _completed(to_frame(other, kinds), options)


def _completed(frame: Frame, options: TableData) -> Frame:
    return frame.complete() if options.fill == "drop" else frame
