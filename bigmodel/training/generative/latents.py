"""Fixed random latents beside the examples of the evaluation splits."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from bigmodel.data.batches import Batches
from bigmodel.experiment import Batch, Data


def latents(count: int, shape: tuple[int, ...], *, stream: str, index: int = 0) -> np.ndarray:
    """Standard normal float32 [count, *shape], decided by the stream and the index."""
    words = [zlib.crc32(stream.encode()), index]
    return np.random.default_rng(words).standard_normal((count, *shape), np.float32)


def with_latents(data: Data, shape: tuple[int, ...], *, name: str = "latent") -> Data:
    """The data with latents [batch, *shape], by this name, in every evaluation batch.

    A batch's latents depend on its split and its index alone, so evaluations at different
    steps, of different runs and of different seeds look at the same points.
    """

    def split(part: str, batches: Sequence[Batch]) -> Batches:
        def make(index: int) -> Batch:
            batch = batches[index]
            count = batch["weight"].shape[0]
            return {**batch, name: latents(count, shape, stream=f"{part}/{name}", index=index)}

        return Batches(len(batches), make)

    return data._replace(splits={part: split(part, data.splits[part]) for part in data.splits})
