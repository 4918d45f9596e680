"""Rows as a user has them, as the features that a network reads, by what a run knows of them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bigmodel.data.tables.columns import Column, Frame
from bigmodel.data.tables.dates import Dates, calendar
from bigmodel.data.tables.encoding import Encoder, encoder_from
from bigmodel.data.tables.kinds import Kind, Text
from bigmodel.data.tables.numbers import LARGEST, Numbers
from bigmodel.data.tables.target import Target
from bigmodel.data.texts.text_file import normalized
from bigmodel.experiment import Assets, InputError
from bigmodel.predictor import Kind as InputKind

TABLE = "table.json"
KINDS = {"text": Text, "numbers": Numbers, "dates": Dates}


def kinds_as_json(kinds: Mapping[str, Kind]) -> dict[str, Any]:
    """How cells are written, as plain data."""
    type_of = {kind: name for name, kind in KINDS.items()}
    return {name: {"type": type_of[type(kind)], **kind._asdict()} for name, kind in kinds.items()}


def kinds_from(kept: Mapping[str, Any]) -> dict[str, Kind]:
    """How cells are written, of what :func:`kinds_as_json` has made."""
    plain = {name: dict(kind) for name, kind in kept.items()}
    return {name: KINDS[kind.pop("type")](**kind) for name, kind in plain.items()}


class TableReader(NamedTuple):
    """What a run knows of its table.

    ``kinds`` says how the cells of each column are written, of the target too, ``missing`` which
    words mean none, ``encoder`` how columns become features.
    """

    target: Target
    kinds: Mapping[str, Kind]
    missing: tuple[str, ...]
    encoder: Encoder

    @property
    def kind(self) -> InputKind:
        """What an input is."""
        return "row"

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that a row has to have."""
        return tuple(name for name in self.kinds if name != self.target.column)

    @property
    def inputs(self) -> str:
        """What an input is, in a line."""
        names = self.names
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        return f"rows of a table with the columns {shown}"

    def encode(self, inputs: Sequence[Any]) -> dict[str, np.ndarray]:
        """``features`` float32 ``[batch, features]``.

        An input maps the names of columns to cells: texts as in the table, or numbers; None or
        an empty text is missing. Other columns do not matter.

        Raises:
            InputError: An input is none of these, or lacks a column, which is named.
        """
        return {"features": self.features(self.frame(inputs, self.names))}

    def features(self, frame: Frame) -> np.ndarray:
        """The features of a frame with these columns.

        Raises:
            InputError: A value is so far from those of the training rows that it is no number
                of 32 bits.
        """
        with np.errstate(over="ignore"):
            found = self.encoder.encode(frame)
        check_finite(found, self.encoder.features)
        return found

    def frame(self, inputs: Sequence[Any], names: Sequence[str]) -> Frame:
        """The columns of some rows; dates become several.

        Raises:
            InputError: As for :meth:`encode`.
        """
        rows = [self._row(each) for each in inputs]
        columns: list[Column] = []
        for name in names:
            kind = self.kinds[name]
            cells = [self._cell(row, name) for row in rows]
            read = {cell: _read(name, kind, cell) for cell in set(cells)}
            values = [read[cell] for cell in cells]
            if isinstance(kind, Dates):
                columns += calendar(name, values, times=kind.times)
            else:
                dtype = object if isinstance(kind, Text) else np.float64
                columns.append(Column(name, np.array(values, dtype)))
        return Frame("the input", tuple(columns), np.arange(1, len(rows) + 1))

    def dump(self) -> dict[str, bytes]:
        """The files of a run from which :func:`table_reader` makes this."""
        kept = {
            "target": self.target._asdict(),
            "kinds": kinds_as_json(self.kinds),
            "missing": self.missing,
            "columns": [column._asdict() for column in self.encoder.columns],
        }
        return {TABLE: json.dumps(kept, indent=1, ensure_ascii=False).encode()}

    def _row(self, each: Any) -> Mapping[str, Any]:
        if not isinstance(each, Mapping):
            raise InputError("it is no row, which has a value for each column by name")
        if lacking := [name for name in self.names if name not in each]:
            # Names of columns may be written in another form of Unicode.
            each = {normalized(str(name)): value for name, value in each.items()}
            if lacking := [name for name in lacking if name not in each]:
                raise InputError(
                    f"it has no column {lacking[0]!r}; give it, empty where it is missing"
                )
        return each

    def _cell(self, row: Mapping[str, Any], name: str) -> str | float:
        """A text, or a number; an empty text where there is none."""
        value = row[name]
        if isinstance(value, str):
            cell = value.strip()
            return "" if cell in self.missing or normalized(cell) in self.missing else cell
        if value is None or (isinstance(value, float | np.floating) and math.isnan(value)):
            return ""
        if isinstance(value, bool) or not isinstance(value, int | float | np.number):
            raise InputError(f"column {name!r}: {str(value)[:40]!r} is neither a text nor a number")
        if isinstance(self.kinds[name], Text):
            # An integer may be too large for a float.
            whole = not isinstance(value, int) and float(value).is_integer()
            return str(int(value)) if whole else str(value)
        return value if isinstance(value, int) else float(value)


def check_finite(features: np.ndarray, names: Sequence[str]) -> None:
    """Raises InputError for features, rows of them, that are no numbers of 32 bits."""
    finite = np.isfinite(features).all(axis=0)
    if not finite.all():
        column = names[int(np.argmin(finite))]
        raise InputError(f"the value of {column!r} is too far from those of training")


def _read(name: str, kind: Kind, cell: str | float) -> Any:
    """The value of a cell; one that is missing is ``""``, NaN or None."""
    if cell == "":
        return "" if isinstance(kind, Text) else None if isinstance(kind, Dates) else math.nan
    if isinstance(kind, Text):
        return normalized(str(cell))
    number: Any
    try:
        number = kind.read(cell) if isinstance(cell, str) else float(cell)
    except OverflowError:
        number = None
    if isinstance(kind, Dates):
        number = number if isinstance(cell, str) else None
    elif number is not None and not abs(number) <= LARGEST:
        number = None
    if number is None:
        what = "date" if isinstance(kind, Dates) else "finite number of a size that can be computed"
        raise InputError(f"column {name!r}: {str(cell)[:40]!r} is not a {what}")
    return number


def table_reader(assets: Assets) -> TableReader:
    """The reader that a run has kept in its files."""
    kept = json.loads(assets[TABLE])
    kinds = kinds_from(kept["kinds"])
    target = Target(**{**kept["target"], "names": tuple(kept["target"]["names"])})
    return TableReader(target, kinds, tuple(kept["missing"]), encoder_from(kept["columns"]))
