"""Columns as the numbers that a network reads, by rules fitted on the training rows alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float, Float32

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
        codes = np.array([number.get(value, -1) for value in column.values.tolist()], np.int64)
        missing = codes < 0
        if unseen := [value for value in column.values[missing].tolist() if value]:
            example = unseen[0] if len(unseen[0]) <= 40 else f"{unseen[0][:40]}..."
            warn_of_each(
                f"values of {self.name!r} that training never saw, such as {example!r}, are taken "
                "as missing",
                len(unseen),
            )
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

    def encode(self, frame: Frame) -> Float32[np.ndarray, "rows features"]:
        """The features of the rows of a frame with these columns."""
        columns = {column.name: column for column in frame.columns}
        parts = [np.zeros((len(frame.lines), 0))]
        for rule in self.columns:
            encoded, missing = rule.encode(columns[rule.name])
            parts += [encoded, missing[:, None]] if rule.told else [encoded]
        return np.concatenate(parts, axis=1, dtype=np.float32)


def fit_encoder(frame: Frame, *, fill: Fill, indicator: bool) -> Encoder:
    """Learns from the training rows how columns become features.

    A column of numbers becomes one feature: missing values are filled, the mean is subtracted,
    and the result is divided by the standard deviation. A column of text becomes one feature for
    each category, 1 in the rows of that category; what is missing, or was never seen in the
    training rows, becomes the most frequent category.

    Args:
        frame: The training rows, without the target.
        fill: The statistic that fills missing numbers. ``most_frequent`` is the smallest of
            several that are equally frequent. ``drop`` is for a frame without missing values.
        indicator: Whether each column with missing values adds a feature that is 1 there.

    Raises:
        InputError: If a column has no value at all, or too many categories for the memory.
    """
    # Imported here because it takes a second, and other data does not need it.
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    for column in frame.columns:
        if column.missing.all():
            raise InputError(
                f"{frame.source}: the column {column.name!r} has no value in the training rows; "
                f"leave it out with --data.ignore {column.name!r}"
            )
    strategy = {"drop": "mean", "maximum": np.max}.get(fill, fill)
    fitted: dict[str, tuple[float, float, float]] = {}
    numeric = [column.name for column in frame.columns if column.numeric]
    if numeric:
        imputer, scaler = SimpleImputer(strategy=strategy), StandardScaler()
        make_pipeline(imputer, scaler).fit(_matrix(frame, numeric))
        statistics = (imputer.statistics_, scaler.mean_, scaler.scale_)
        of_each = np.stack(statistics, axis=1).tolist()
        fitted = {name: tuple(values) for name, values in zip(numeric, of_each, strict=True)}
    rules: list[Scaling | Categories] = []
    for column in frame.columns:
        told = bool(indicator and column.missing.any())
        if column.name in fitted:
            rules.append(Scaling(column.name, *fitted[column.name], told))
        else:
            rules.append(_categories(frame.source, column, told))
    return Encoder(tuple(rules))


def _matrix(frame: Frame, names: Sequence[str]) -> Float[np.ndarray, "rows names"]:
    columns = {column.name: column.values for column in frame.columns}
    return np.stack([columns[name] for name in names], axis=1)


def _categories(source: str, column: Column, told: bool) -> Categories:
    names, counts = np.unique(column.values[~column.missing], return_counts=True)
    size = 4 * len(column.values) * len(names)
    if size > MOST_BYTES:
        raise InputError(
            f"{source}: the column {column.name!r} has {len(names)} categories, which would "
            f"take {size / 2**30:.0f} GiB of memory; leave it out with --data.ignore "
            f"{column.name!r}"
        )
    return Categories(column.name, tuple(names.tolist()), str(names[counts.argmax()]), told)


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
