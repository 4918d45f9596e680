"""Windows of text with some tokens masked, to be filled in (Devlin et al., 2019)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from bigmodel.data.batches import Batches
from bigmodel.experiment import Batch, Data, InputError

# Numbers the independent random streams of one seed; the windows of a text have another.
MASK_STREAM = 2
# The masks of evaluation are the same in every run.
EVALUATION_SEED = 0


@dataclass(frozen=True)
class Masking:
    """Which tokens are to be filled in, and what stands in their places."""

    fraction: float = 0.15
    """fraction of the tokens of each window that are chosen to be filled in"""
    masked: float = 0.8
    """fraction of the chosen tokens in whose place the mask stands"""
    replaced: float = 0.1
    """fraction of the chosen tokens in whose place a random token stands; the rest stay"""

    def __post_init__(self) -> None:
        """Raises InputError for fractions that leave nothing to fill in, or too much."""
        if not 0 < self.fraction <= 1:
            raise InputError(f"--masking.fraction {self.fraction} must be above 0 and at most 1")
        for name in ("masked", "replaced"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise InputError(f"--masking.{name} {value} is no fraction; use 0 to 1")
        if self.masked + self.replaced > 1:
            raise InputError(
                f"--masking.masked {self.masked} and --masking.replaced {self.replaced} are more "
                "than all; their sum must be at most 1"
            )


def masked(data: Data, options: Masking, *, vocab_size: int) -> Data:
    """Windows of text as windows to fill in.

    Args:
        data: Batches with ``tokens`` int32 ``[batch, context]``, and ``weight`` of the same
            shape, 0 where a window's end is padding.
        options: How many are chosen, and what stands there.
        vocab_size: Number of token ids; the next one is the mask.

    Returns:
        Batches with ``tokens`` int32 ``[batch, context]`` to read; ``length`` int32 ``[batch]``
        of those that are not padding; ``chosen`` int32 ``[batch, masks]``, the positions to
        fill in, in rising order; ``targets`` int32 ``[batch, masks]``, what stood there; and
        ``weight`` float32 ``[batch, masks]``, 0 where a shorter text has fewer. The masks of
        training are a pure function of the seed and the step, those of a split of the number
        of the batch.
    """

    def train(seed: int, step: int) -> Batch:
        random = np.random.default_rng([seed, MASK_STREAM, step])
        return mask(data.train(seed, step), options, random, vocab_size=vocab_size)

    def fixed(split: int, index: int, batch: Batch) -> Batch:
        random = np.random.default_rng([EVALUATION_SEED, MASK_STREAM, split, index])
        return mask(batch, options, random, vocab_size=vocab_size)

    def split(number: int, name: str) -> Batches:
        batches = data.splits[name]
        return Batches(len(batches), lambda index: fixed(number, index, batches[index]))

    splits = {name: split(number, name) for number, name in enumerate(data.splits)}
    return data._replace(train=train, splits=splits)


def mask(batch: Batch, options: Masking, random: np.random.Generator, *, vocab_size: int) -> Batch:
    """One batch of :func:`masked`."""
    tokens = batch["tokens"]
    length = (batch["weight"] > 0).sum(axis=1).astype(np.int32)
    chosen, weight = choose(length, options.fraction, tokens.shape[1], random)
    targets = np.take_along_axis(tokens, chosen, axis=1)
    draw = random.random(chosen.shape)
    others = random.integers(vocab_size, size=chosen.shape, dtype=np.int32)
    instead = np.where(
        draw < options.masked,
        np.int32(vocab_size),
        np.where(draw < options.masked + options.replaced, others, targets),
    )
    read = tokens.copy()
    # What is not to be filled in stays as it is.
    np.put_along_axis(read, chosen, np.where(weight > 0, instead, targets), axis=1)
    return {
        "tokens": read,
        "length": length,
        "chosen": chosen,
        "targets": targets,
        "weight": weight,
    }


def choose(
    length: Int[np.ndarray, "batch"], fraction: float, time: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Positions drawn without repetition: the fraction of each text's length, at least one.

    Returns:
        The positions, int32 ``[batch, masks]``, and their weight, 0 for those that are more
        than the fraction of a text that is shorter than ``time``.
    """
    count = max(1, round(fraction * time))
    order = random.random((len(length), time))
    order[np.arange(time)[None] >= length[:, None]] += 1
    drawn = order.argsort(axis=1)[:, :count]
    enough = np.maximum(np.rint(fraction * length), 1) * (length > 0)
    weight = (np.arange(count)[None] < enough[:, None]).astype(np.float32)
    rising = drawn.argsort(axis=1)
    positions = np.take_along_axis(drawn, rising, axis=1).astype(np.int32)
    return positions, np.take_along_axis(weight, rising, axis=1)
