"""Fixed random latents beside the examples of the evaluation splits."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import overload

import numpy as np

from bigmodel.experiment import Batch, Data


def latents(count: int, size: int, *, stream: str, index: int = 0) -> np.ndarray:
    """Standard normal float32 vectors [count, size], decided by the stream and the index."""
    words = [zlib.crc32(stream.encode()), index]
    return np.random.default_rng(words).standard_normal((count, size), np.float32)


def with_latents(data: Data, size: int) -> Data:
    """The data with ``latent`` [batch, size] in every batch of its evaluation splits.

    A batch's latents depend on its split and its index alone, so evaluations at different
    steps, of different runs and of different seeds look at the same points.
    """
    splits = {name: _WithLatents(name, batches, size) for name, batches in data.splits.items()}
    return data._replace(splits=splits)


class _WithLatents(Sequence[Batch]):
    """Batches, each with its latents, made when it is asked for."""

    def __init__(self, name: str, batches: Sequence[Batch], size: int) -> None:
        self._name = name
        self._batches = batches
        self._size = size

    def __len__(self) -> int:
        return len(self._batches)

    @overload
    def __getitem__(self, index: int) -> Batch: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Batch]: ...
    def __getitem__(self, index: int | slice) -> Batch | Sequence[Batch]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        batch = self._batches[place]
        count = batch["weight"].shape[0]
        return {**batch, "latent": latents(count, self._size, stream=self._name, index=place)}
