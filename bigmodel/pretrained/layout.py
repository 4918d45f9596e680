"""The names and layouts of the same tensors there and here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from bigmodel.experiment import InputError

Arrays = Mapping[str, np.ndarray]

KERNEL = (1, 0)
"""Axes of a dense kernel there, ``[out, in]``, in the order that they have here."""
CONVOLUTION = (2, 3, 1, 0)
"""The same of a convolution's, ``[out, in, height, width]`` there."""


class Pair(NamedTuple):
    """A tensor of the two layouts: by our path, with its collection, and by their name.

    ``axes`` are those of theirs in the order of ours; None where they are the same.
    """

    ours: str
    theirs: str
    axes: tuple[int, ...] | None = None


def linear(ours: str, theirs: str, *, bias: bool) -> Iterator[Pair]:
    """The kernel of a dense layer, and its bias."""
    yield Pair(f"{ours}/kernel", f"{theirs}.weight", KERNEL)
    if bias:
        yield Pair(f"{ours}/bias", f"{theirs}.bias")


def norm(ours: str, theirs: str, *, bias: bool) -> Iterator[Pair]:
    """The scale of a normalization, and its bias."""
    yield Pair(f"{ours}/scale", f"{theirs}.weight")
    if bias:
        yield Pair(f"{ours}/bias", f"{theirs}.bias")


def to_ours(pairs: Iterable[Pair], weights: Arrays) -> dict[str, np.ndarray]:
    """Tensors by our paths: views of theirs."""
    return {pair.ours: turned(weights[pair.theirs], pair.axes) for pair in pairs}


def to_theirs(pairs: Iterable[Pair], variables: Arrays) -> dict[str, np.ndarray]:
    """Tensors by their names."""
    return {
        pair.theirs: turned(variables[pair.ours], pair.axes and tuple(np.argsort(pair.axes)))
        for pair in pairs
    }


def turned(tensor: np.ndarray, axes: tuple[int, ...] | None) -> np.ndarray:
    """A view with the axes in this order."""
    return tensor if axes is None else tensor.transpose(axes)


class Weights(Mapping[str, np.ndarray]):
    """Tensors by their names; it knows which were read, and says what is missing.

    ``prefixes`` may stand before the names in the file, as when a model is a part of a larger one.
    """

    def __init__(self, tensors: Arrays, prefixes: tuple[str, ...] = ()) -> None:
        self._names = {name: name for name in tensors}
        for prefix in prefixes:
            cut = {name[len(prefix) :]: name for name in tensors if name.startswith(prefix)}
            self._names = cut | self._names
        self._tensors = tensors
        self._read: set[str] = set()

    def __getitem__(self, name: str) -> np.ndarray:
        """The tensor; raises InputError where there is none."""
        if name not in self._names:
            raise InputError(f"there is no tensor {name}")
        self._read.add(self._names[name])
        return self._tensors[self._names[name]]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    @property
    def unread(self) -> list[str]:
        """The names of the tensors that nothing has read."""
        return sorted(set(self._tensors) - self._read)
