"""Columns to the numbers that a network reads, by rules fitted on the training rows alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float, Float32

from bigmodel.data.tables.columns import Column, Frame
from bigmodel.experiment import InputError

Missing: TypeAlias = Literal["drop", "mean", "median", "maximum", "most_frequent"]


class Encoder(NamedTuple):
    """``encode(frame)`` is float32 ``[rows, features]``, with the features in this order."""

    features: tuple[str, ...]
    encode: Callable[[Frame], Float32[np.ndarray, "rows features"]]


def fit_encoder(frame: Frame, *, missing: Missing, indicator: bool) -> Encoder:
    """Learn from the training rows how to turn columns into features.

    A column of numbers becomes one feature: gaps filled as ``missing`` says, less its mean,
    divided by its standard deviation. A column of text becomes one feature for each of its
    categories, 1 in the rows of that category; its gaps become the most frequent category
    whatever ``missing`` says, and a category that is new stays zero everywhere.

    Args:
        frame: The training rows, without the target.
        missing: What fills the gaps of a column of numbers. ``most_frequent`` is the smallest
            of several that are equally frequent. ``drop`` is for a frame without gaps.
        indicator: Whether each column with gaps adds a feature that is 1 where it has one.

    Raises:
        InputError: If a column has no value at all.
    """
    encoders = [_fit_column(frame, column, missing, indicator) for column in frame.columns]

    def encode(frame: Frame) -> Float32[np.ndarray, "rows features"]:
        columns = {column.name: column for column in frame.columns}
        parts = [function(columns[name]) for name, _, function in encoders]
        return np.concatenate(parts, axis=1).astype(np.float32)

    return Encoder(tuple(feature for e in encoders for feature in e.features), encode)


class _ColumnEncoder(NamedTuple):
    name: str
    features: tuple[str, ...]
    encode: Callable[[Column], Float[np.ndarray, "rows features"]]


def _fit_column(frame: Frame, column: Column, missing: Missing, indicator: bool) -> _ColumnEncoder:
    name = column.name
    if column.missing.all():
        raise InputError(
            f"{frame.source}: the column {name!r} has no value in the training rows; "
            f"leave it out with --data.ignore {name!r}"
        )
    present = column.values[~column.missing]
    if column.numeric:
        fill = _fill(present, missing)
        filled = np.where(column.missing, fill, column.values)
        mean, scale = filled.mean(), _scale(filled)
        features: Sequence[str] = (name,)

        def encode(column: Column) -> Float[np.ndarray, "rows features"]:
            values = np.where(column.missing, fill, column.values)
            return ((values - mean) / scale)[:, None]

    else:
        categories = np.unique(present)
        usual = _most_frequent(present)
        features = [f"{name}={category}" for category in categories]

        def encode(column: Column) -> Float[np.ndarray, "rows features"]:
            values = np.where(column.missing, usual, column.values)
            return (values[:, None] == categories[None]).astype(np.float64)

    if not (indicator and column.missing.any()):
        return _ColumnEncoder(name, tuple(features), encode)

    def encode_with_gaps(column: Column) -> Float[np.ndarray, "rows features"]:
        return np.concatenate([encode(column), column.missing[:, None]], axis=1)

    return _ColumnEncoder(name, (*features, f"{name} is missing"), encode_with_gaps)


def _fill(present: Float[np.ndarray, " rows"], missing: Missing) -> float:
    match missing:
        case "median":
            return float(np.median(present))
        case "maximum":
            return float(present.max())
        case "most_frequent":
            return float(_most_frequent(present))
        case _:
            return float(present.mean())


def _most_frequent(present: np.ndarray) -> Any:
    values, counts = np.unique(present, return_counts=True)
    return values[counts.argmax()]


def _scale(values: Float[np.ndarray, " rows"]) -> float:
    """The standard deviation, or 1 for a constant, which rounding may give a tiny one."""
    deviation = float(values.std())
    return deviation if deviation > 1e-12 * float(np.abs(values).max()) else 1.0
