"""Files of tokens, mapped into memory and read where they are needed."""

from __future__ import annotations

import mmap
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

import numpy as np
from jaxtyping import Int

RESIDENT = 1 << 28
"""Bytes that a mapping keeps in the memory of the process; the system may keep more of the file."""
AROUND = 1 << 16
"""Bytes that the system maps where one is read."""

Ids: TypeAlias = Int[np.ndarray, "..."]


def dtype_of(vocab_size: int) -> np.dtype:
    """The type of tokens in files: uint16 where all ids fit, else uint32, both little-endian."""
    return np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")


class TokenFile:
    """The tokens of a file: ``file[index]`` for arrays of positions, as int32."""

    def __init__(self, path: Path, dtype: np.dtype) -> None:
        self.path = path
        self._map: mmap.mmap | None = None
        self._tokens = np.zeros(0, dtype)
        if path.stat().st_size >= dtype.itemsize:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            count = len(self._map) // dtype.itemsize
            self._tokens = np.frombuffer(self._map, dtype, count)
        self._touched = 0

    def __len__(self) -> int:
        return len(self._tokens)

    def __getitem__(self, index: Ids | slice) -> Ids:
        found = self._tokens[index].astype(np.int32)
        rows = found.shape[0] if found.ndim > 1 else 1
        self._touched += found.size * self._tokens.itemsize + rows * AROUND
        if self._touched > RESIDENT and self._map is not None:
            self._touched = 0
            self._map.madvise(mmap.MADV_DONTNEED)
        return found

    def expect(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Asks the system to read ranges of tokens before they are used, each in one go."""
        size, page = self._tokens.itemsize, mmap.PAGESIZE
        for start, stop in ranges:
            first = start * size // page * page
            if self._map is not None and stop > start:
                self._map.madvise(mmap.MADV_WILLNEED, first, stop * size - first)
