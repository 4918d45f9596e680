"""Fixed random latents beside the examples of the evaluation splits."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from bigmodel.data.batches import Batches
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

    def split(name: str, batches: Sequence[Batch]) -> Batches:
        def make(index: int) -> Batch:
            batch = batches[index]
            count = batch["weight"].shape[0]
            return {**batch, "latent": latents(count, size, stream=name, index=index)}

        return Batches(len(batches), make)

    return data._replace(splits={name: split(name, part) for name, part in data.splits.items()})
