"""Columns as the numbers that a network reads, by rules fitted on the training rows alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float, Float32

from bigmodel.data.tables.columns import Column, Frame
from bigmodel.experiment import InputError

Fill: TypeAlias = Literal["drop", "mean", "median", "maximum", "most_frequent"]

MOST_BYTES = 2 << 30
"""Of the features that the categories of one column become."""


class Encoder(NamedTuple):
    """``encode(frame)`` is float32 ``[rows, features]``, with the features in this order."""

    features: tuple[str, ...]
    encode: Callable[[Frame], Float32[np.ndarray, "rows features"]]


def fit_encoder(frame: Frame, *, fill: Fill, indicator: bool) -> Encoder:
    """Learns from the training rows how columns become features.

    A column of numbers becomes one feature: missing values are filled, the mean is subtracted,
    and the result is divided by the standard deviation. A column of text becomes one feature for
    each category, 1 in the rows of that category; missing text becomes the most frequent
    category, and an unknown one is 0 in all features.

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
    scale = make_pipeline(SimpleImputer(strategy=strategy), StandardScaler())
    numeric = [column.name for column in frame.columns if column.numeric]
    if numeric:
        scale.fit(_matrix(frame, numeric))
    one_hot = {c.name: _one_hot(frame.source, c) for c in frame.columns if not c.numeric}
    told = {column.name for column in frame.columns if indicator and column.missing.any()}
    names, features = frame.names, list[str]()
    for name in names:
        categories = one_hot[name][-1].categories_[0] if name in one_hot else ()
        features += [f"{name}={category}" for category in categories] or [name]
        features += [f"{name} is missing"] if name in told else []

    def encode(frame: Frame) -> Float32[np.ndarray, "rows features"]:
        if not len(frame.lines):  # scikit-learn refuses arrays without rows
            return np.zeros((0, len(features)), np.float32)
        scaled = iter(scale.transform(_matrix(frame, numeric)).T if numeric else ())
        columns = {column.name: column for column in frame.columns}
        parts = []
        for name in names:
            if name in one_hot:
                parts.append(one_hot[name].transform(columns[name].values[:, None]))
            else:
                parts.append(next(scaled)[:, None])
            if name in told:
                parts.append(columns[name].missing[:, None])
        return np.concatenate(parts, axis=1, dtype=np.float32)

    return Encoder(tuple(features), encode)


def _matrix(frame: Frame, names: Sequence[str]) -> Float[np.ndarray, "rows names"]:
    columns = {column.name: column.values for column in frame.columns}
    return np.stack([columns[name] for name in names], axis=1)


def _one_hot(source: str, column: Column) -> Any:
    """The pipeline of scikit-learn that fills a column of text, and makes it features."""
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    categories = len(np.unique(column.values[~column.missing]))
    size = 4 * len(column.values) * categories
    if size > MOST_BYTES:
        raise InputError(
            f"{source}: the column {column.name!r} has {categories} categories, which would "
            f"take {size / 2**30:.0f} GiB of memory; leave it out with --data.ignore "
            f"{column.name!r}"
        )
    imputer = SimpleImputer(missing_values="", strategy="most_frequent")
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False, dtype=np.float32)
    return make_pipeline(imputer, encoder).fit(column.values[:, None])
