"""Columns as the numbers that a network reads, by rules fitted on the training rows alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float32, Int

from bigmodel.data.tables.columns import Column, Frame
from bigmodel.experiment import InputError
from bigmodel.output import warn_of_each

Fill: TypeAlias = Literal["drop", "mean", "median", "maximum", "most_frequent"]

MOST_BYTES = 2 << 30
"""Of the features that the categories of one column become."""


class Scaling(NamedTuple):
    """How a column of numbers becomes a feature: ``(value - mean) / scale``."""

    name: str
    fill: float
    mean: float
    scale: float
    told: bool

    def features(self) -> tuple[str, ...]:
        """The names of the features."""
        return (self.name,)

    def encode(self, column: Column) -> tuple[np.ndarray, np.ndarray]:
        """The feature ``[rows, 1]``, and which values are missing."""
        filled = np.where(column.missing, self.fill, column.values)
        return ((filled - self.mean) / self.scale)[:, None], column.missing


class Categories(NamedTuple):
    """How a column of text becomes a feature for each category."""

    name: str
    names: tuple[str, ...]
    usual: str
    told: bool

    def features(self) -> tuple[str, ...]:
        """The names of the features."""
        return tuple(f"{self.name}={category}" for category in self.names)

    def encode(self, column: Column) -> tuple[np.ndarray, np.ndarray]:
        """The features ``[rows, categories]``, and which values are missing or were never seen."""
        number = {category: index for index, category in enumerate(self.names)}
        codes = column.values if column.texts is self.names else column.numbered(number)
        missing = codes < 0
        codes = np.where(missing, number[self.usual], codes)
        return (codes[:, None] == np.arange(len(self.names))).astype(np.float32), missing


class Encoder(NamedTuple):
    """What the training rows decided, as plain data, for each column."""

    columns: tuple[Scaling | Categories, ...]

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the features, in order."""
        return tuple(name for column in self.columns for name in self._names(column))

    @staticmethod
    def _names(column: Scaling | Categories) -> Iterator[str]:
        yield from column.features()
        if column.told:
            yield f"{column.name} is missing"

    def warn_of_unseen(self, frame: Frame) -> None:
        """Warns of texts of a frame that are no category of their column."""
        columns = {column.name: column for column in frame.columns}
        for rule in self.columns:
            if not isinstance(rule, Categories):
                continue
            known = frozenset(rule.names)
            counts = columns[rule.name].counts()
            if unseen := [text for text in counts if text not in known]:
                example = unseen[0] if len(unseen[0]) <= 40 else f"{unseen[0][:40]}..."
                warn_of_each(
                    f"values of {rule.name!r} that training never saw, such as {example!r}, are "
                    "taken as missing",
                    sum(counts[text] for text in unseen),
                )

    def encode(self, frame: Frame) -> Float32[np.ndarray, "rows features"]:
        """The features of the rows of a frame with these columns, whose unseen texts are told."""
        self.warn_of_unseen(frame)
        return self.matrix(frame)

    def matrix(self, frame: Frame) -> Float32[np.ndarray, "rows features"]:
        """The features, and no word of texts that training never saw."""
        columns = {column.name: column for column in frame.columns}
        parts = [np.zeros((len(frame.lines), 0))]
        for rule in self.columns:
            encoded, missing = rule.encode(columns[rule.name])
            parts += [encoded, missing[:, None]] if rule.told else [encoded]
        return np.concatenate(parts, axis=1, dtype=np.float32)


def fit_encoder(
    frame: Frame, rows: Int[np.ndarray, " train"] | None = None, *, fill: Fill, indicator: bool
) -> Encoder:
    """Learns from the training rows how columns become features.

    A column of numbers becomes one feature: missing values are filled, the mean is subtracted,
    and the result is divided by the standard deviation. A column of text becomes one feature for
    each category, 1 in the rows of that category; what is missing, or was never seen in the
    training rows, becomes the most frequent category.

    Args:
        frame: A table without the target.
        rows: The numbers of the training rows; by default all.
        fill: The statistic that fills missing numbers. ``most_frequent`` is the smallest of
            several that are equally frequent. ``drop`` is for a frame without missing values.
        indicator: Whether each column with missing values adds a feature that is 1 there.

    Raises:
        InputError: If a column has no value at all, or too many categories for the memory.
    """

    def train(column: Column) -> Column:
        return column if rows is None else column._replace(values=column.values[rows])

    for column in map(train, frame.columns):
        if column.missing.all():
            raise InputError(
                f"{frame.source}: the column {column.name!r} has no value in the training rows; "
                f"leave it out with --data.ignore {column.name!r}"
            )
    rules: list[Scaling | Categories] = []
    for column in map(train, frame.columns):
        told = bool(indicator and column.missing.any())
        rule = _scaling(column, fill, told) if column.numeric else None
        rules.append(rule or _categories(frame.source, column, told))
    return Encoder(tuple(rules))


def _scaling(column: Column, fill: Fill, told: bool) -> Scaling:
    """As scikit-learn's SimpleImputer and StandardScaler, whose import takes a second."""
    missing = column.missing
    known = column.values[~missing] if missing.any() else column.values
    match fill:
        case "median":
            filler = float(np.median(known))
        case "maximum":
            filler = float(known.max())
        case "most_frequent":
            values, counts = np.unique(known, return_counts=True)
            filler = float(values[counts.argmax()])
        case _:
            filler = float(known.mean())
    filled = np.where(missing, filler, column.values)
    mean, variance = float(filled.mean()), float(filled.var())
    # Of equal numbers the mean is rounded, so that their variance is not quite 0.
    error = len(filled) * np.finfo(np.float64).eps
    constant = variance <= error * variance + (error * mean) ** 2
    return Scaling(column.name, filler, mean, 1.0 if constant else math.sqrt(variance), told)


def _categories(source: str, column: Column, told: bool) -> Categories:
    counts = column.counts()
    names = tuple(sorted(counts))
    size = 4 * len(column.values) * len(names)
    # The features of a large table are made batch by batch.
    if size > MOST_BYTES and column.texts is None:
        raise InputError(
            f"{source}: the column {column.name!r} has {len(names)} categories, which would "
            f"take {size / 2**30:.0f} GiB of memory; leave it out with --data.ignore "
            f"{column.name!r}"
        )
    usual = max(names, key=lambda name: counts[name])
    return Categories(column.name, names, usual, told)


def encoder_from(kept: Sequence[Any]) -> Encoder:
    """The encoder whose columns were written as JSON."""
    return Encoder(
        tuple(
            Categories(**{**column, "names": tuple(column["names"])})
            if "names" in column
            else Scaling(**column)
            for column in kept
        )
    )
