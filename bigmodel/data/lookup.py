"""What the source of data says of each example, whether a network reads it or not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from bigmodel.data.tables.columns import find_name

Lookup: TypeAlias = Callable[..., np.ndarray]
"""``column(split, name, option=...)``: a value for each example of a split, in order. They are
float64 with NaN, or texts with "", where the source says nothing."""


def lookup(source: str, names: Sequence[str], values: Callable[[str, str], np.ndarray]) -> Lookup:
    """Looks up a column by its name, or names the nearest one.

    Args:
        source: the file or package, for messages.
        names: of the columns.
        values: those of a split and a column.
    """

    def column(split: str, name: str, *, option: str) -> np.ndarray:
        return values(split, find_name(name, names, source=source, option=option))

    return column
