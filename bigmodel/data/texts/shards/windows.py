"""Windows of a text's tokens: without loss across documents, or within one document each."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Int

from bigmodel.data.batches import Batches
from bigmodel.data.poisson import Poisson
from bigmodel.data.texts.shards.token_file import TokenFile
from bigmodel.experiment import WHOLE, Batch, Train

BLOCK = 1 << 19
"""Tokens that follow one another in the file and are shuffled together."""
GROUP = 64
"""Blocks, drawn from the whole text, whose windows are shuffled among each other."""
KEPT = 16
"""Orders of windows that are kept, a few megabytes each."""
ORDER_STREAM = 1
"""The random stream of a seed that shuffles windows; crops of small texts have another one."""

Indices = Int[np.ndarray, "windows"]


class Windows(Protocol):
    """Where each window is: its first token, and how many it has with the last target."""

    @property
    def context(self) -> int:
        """Targets in a window at most."""

    def __len__(self) -> int: ...

    def spans(self, indices: Indices) -> tuple[Indices, Indices]:
        """First tokens and lengths, from 2 to ``context + 1``, of windows by their numbers."""


class Packed(NamedTuple):
    """Consecutive windows of all tokens, whatever documents they are of.

    A token that is the last target of one window is the first token of the next one; of windows
    that are ``apart`` each has tokens of its own.
    """

    tokens: int
    context: int
    apart: bool = False

    def __len__(self) -> int:
        return max(0, -(-(self.tokens - 1) // (self.context + self.apart)))

    def spans(self, indices: Indices) -> tuple[Indices, Indices]:
        """See :class:`Windows`."""
        starts = indices * (self.context + self.apart)
        return starts, np.minimum(self.context + 1, self.tokens - starts)


class Documents:
    """Windows that each lie in one document: as many as it needs, the last of them shorter.

    Args:
        ends: int64 ``[document]``, the position after each document's last token.
        context: targets in a window at most.
        apart: whether no token is in two windows, as the last target and as the first token.
    """

    def __init__(
        self, ends: Int[np.ndarray, "documents"], context: int, *, apart: bool = False
    ) -> None:
        self.context = context
        self._step = context + apart
        self._ends = ends
        lengths = np.diff(ends, prepend=0)
        # Of a document with its end token all but the first are targets.
        self._until = np.cumsum(np.maximum(-(-(lengths - 1) // self._step), 0))

    def __len__(self) -> int:
        return int(self._until[-1]) if len(self._until) else 0

    def spans(self, indices: Indices) -> tuple[Indices, Indices]:
        """See :class:`Windows`."""
        document = np.searchsorted(self._until, indices, side="right")
        before = np.where(document > 0, self._until[document - 1], 0)
        begin = np.where(document > 0, self._ends[document - 1], 0)
        starts = begin + (indices - before) * self._step
        return starts, np.minimum(self.context + 1, self._ends[document] - starts)


def gathered(file: TokenFile, windows: Windows, indices: Indices) -> Batch:
    """The batch of these windows; a number below 0 is none, and its row padding."""
    context = windows.context
    starts, lengths = windows.spans(np.maximum(indices, 0))
    lengths = np.where(indices >= 0, lengths, 1)
    at = np.arange(context + 1)
    real = at < lengths[:, None]
    tokens = file[np.where(real, starts[:, None] + at, starts[:, None])]
    has_target = real[:, 1:]
    return {
        "tokens": np.where(has_target, tokens[:, :-1], 0),
        "targets": np.where(has_target, tokens[:, 1:], 0),
        "weight": has_target.astype(np.float32),
    }


def drawn(file: TokenFile, windows: Windows, how: Poisson) -> Train:
    """Batches of windows that are drawn one by one."""

    def train(seed: int, step: int, rows: slice = WHOLE) -> Batch:
        return gathered(file, windows, how.numbers(len(windows), seed, step)[rows])

    return train


def in_order(file: TokenFile, windows: Windows, batch_size: int) -> Batches:
    """All windows in order, the last batch padded with rows of ``weight`` 0."""
    count = len(windows)

    def make(index: int) -> Batch:
        at = index * batch_size + np.arange(batch_size)
        return gathered(file, windows, np.where(at < count, at, -1))

    return Batches(-(-count // batch_size), make)


def shuffled(file: TokenFile, windows: Windows, batch_size: int) -> Train:
    """Epochs of windows in an order that is a function of ``(seed, epoch)``, in constant time.

    The order of blocks is random; the windows of each :data:`GROUP` of them are shuffled. So a
    batch has windows of many places, and the file is read in stretches of :data:`BLOCK` tokens,
    which the system is asked for when their group begins. The windows that do not fill the last
    batch of an epoch are left out, others in each.
    """
    count = len(windows)
    size = max(1, BLOCK // windows.context)
    per_epoch = count // batch_size
    sizes = np.full(-(-count // size), size)
    sizes[-1] = count - (len(sizes) - 1) * size

    # Seeds may be side by side, and a prefetcher ahead.
    @lru_cache(maxsize=KEPT)
    def order(seed: int, epoch: int) -> tuple[Indices, Indices]:
        """The blocks in their order, and the place of the first window of each group."""
        drawn = np.random.default_rng([seed, ORDER_STREAM, epoch]).permutation(len(sizes))
        return drawn, np.cumsum(np.append(0, sizes[drawn]))[::GROUP]

    @lru_cache(maxsize=KEPT)
    def group(seed: int, epoch: int, number: int) -> Indices:
        drawn = order(seed, epoch)[0][number * GROUP : (number + 1) * GROUP]
        starts, lengths = windows.spans(drawn * size + sizes[drawn] - 1)
        file.expect(zip(windows.spans(drawn * size)[0], starts + lengths, strict=True))
        inside = [np.arange(block * size, block * size + sizes[block]) for block in drawn]
        random = np.random.default_rng([seed, ORDER_STREAM, epoch, number])
        return random.permutation(np.concatenate(inside))

    def train(seed: int, step: int, rows: slice = WHOLE) -> Batch:
        epoch, index = divmod(step, per_epoch)
        at = np.arange(index * batch_size, (index + 1) * batch_size)
        starts = order(seed, epoch)[1]
        numbers = np.searchsorted(starts, at, side="right") - 1
        chosen = np.empty_like(at)
        for number in np.unique(numbers):
            here = numbers == number
            chosen[here] = group(seed, epoch, int(number))[at[here] - starts[number]]
        return gathered(file, windows, chosen[rows])

    return train
