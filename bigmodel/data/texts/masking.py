"""Windows of text with some tokens masked, to be predicted (Devlin et al., 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from bigmodel.data.batches import Batches
from bigmodel.data.poisson import Poisson
from bigmodel.data.texts.text import windows_of
from bigmodel.experiment import WHOLE, Batch, Data, InputError, Train

# Numbers the independent random streams of one seed; the windows of a text have another.
MASK_STREAM = 2
# The masks of evaluation are the same in every run.
EVALUATION_SEED = 0


@dataclass(frozen=True)
class Masking:
    """Which tokens are to be predicted, and what replaces them."""

    fraction: float = 0.15
    """fraction of the tokens of each window that are to be predicted"""
    masked: float = 0.8
    """fraction of these that are replaced by the mask token"""
    replaced: float = 0.1
    """fraction of these that are replaced by a random token; the rest stay as they are"""

    def __post_init__(self) -> None:
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


def masked(data: Data, options: Masking, *, vocab_size: int, token: int | None = None) -> Data:
    """Windows of text with masked tokens.

    Args:
        data: Batches with ``tokens`` int32 ``[batch, context]``, and ``weight`` of the same
            shape, 0 where a window's end is padding.
        options: How many tokens are masked, and how.
        vocab_size: Number of token ids.
        token: The mask; the next id unless told.

    Returns:
        Batches with the input ``tokens`` int32 ``[batch, context]``; ``length`` int32
        ``[batch]``, the number of tokens that are not padding; ``chosen`` int32
        ``[batch, masks]``, the positions to predict, in rising order; ``targets`` int32
        ``[batch, masks]``, the original tokens there; and ``weight`` float32
        ``[batch, masks]``, 0 where a shorter text has fewer; these are at the end and have position
        0, and tokens after the length are 0. Training masks are a pure function of the seed and
        the step, those of a split of the index of the batch. The inputs are the tokens of a window
        and the positions to predict.
    """
    ids: dict[str, Any] = {"vocab_size": vocab_size, "token": token}

    def training(windows: Train, size: int) -> Train:
        def train(seed: int, step: int, rows: slice = WHOLE) -> Batch:
            random = np.random.default_rng([seed, MASK_STREAM, step])
            return mask(windows(seed, step, rows), options, random, **ids, size=size, rows=rows)

        return train

    def sampled(how: Poisson) -> Train:
        assert data.sampled is not None
        return training(data.sampled(how), how.size)

    def fixed(split: int, index: int, batch: Batch) -> Batch:
        random = np.random.default_rng([EVALUATION_SEED, MASK_STREAM, split, index])
        return mask(batch, options, random, **ids)

    def split(number: int, name: str) -> Batches:
        batches = data.splits[name]
        return Batches(len(batches), lambda index: fixed(number, index, batches[index]))

    splits = {name: split(number, name) for number, name in enumerate(data.splits)}
    inputs = {name: _inputs(batches) for name, batches in splits.items()}
    train = training(data.train, data.batch_size)
    return data._replace(train=train, splits=splits, inputs=inputs, sampled=sampled)


def _inputs(batches: Batches) -> Sequence[Any]:
    """The windows of a split, each as :class:`bigmodel.data.texts.reading.MaskReader` takes it."""

    def make(batch: Batch, row: int) -> Any:
        chosen = batch["chosen"][row][batch["weight"][row] > 0]
        tokens = batch["tokens"][row, : batch["length"][row]]
        return {"tokens": tokens.tolist(), "chosen": chosen.tolist()}

    return windows_of(batches, make)


def mask(
    batch: Batch,
    options: Masking,
    random: np.random.Generator,
    *,
    vocab_size: int,
    token: int | None = None,
    size: int | None = None,
    rows: slice = WHOLE,
) -> Batch:
    """One batch of :func:`masked`, or these rows of one of a size."""
    token = vocab_size if token is None else token
    length = (batch["weight"] > 0).sum(axis=1).astype(np.int32)
    time = batch["tokens"].shape[1]
    tokens = np.where(np.arange(time)[None] < length[:, None], batch["tokens"], 0)
    size = size or len(length)
    order = random.random((size, time))[rows]
    chosen, weight = choose(length, options.fraction, order)
    targets = np.take_along_axis(tokens, chosen, axis=1)
    whole = (size, chosen.shape[1])
    draw = random.random(whole)[rows]
    others = random.integers(vocab_size, size=whole, dtype=np.int32)[rows]
    instead = np.where(
        draw < options.masked,
        np.int32(token),
        np.where(draw < options.masked + options.replaced, others, targets),
    )
    read = tokens.copy()
    real = np.nonzero(weight)
    read[real[0], chosen[real]] = instead[real]
    return {
        "tokens": read,
        "length": length,
        "chosen": chosen,
        "targets": targets,
        "weight": weight,
    }


def choose(
    length: Int[np.ndarray, "batch"], fraction: float, order: Float[np.ndarray, "batch time"]
) -> tuple[np.ndarray, np.ndarray]:
    """Random positions without repetition: a fraction of each text's length, at least one.

    ``order`` are random numbers in [0, 1), which are consumed.

    Returns:
        The positions, int32 ``[batch, masks]``, and their weight, which is 0 for the surplus of
        a text that is shorter than ``time``, at position 0 after the others.
    """
    time = order.shape[1]
    count = masks_of(fraction, time)
    order[np.arange(time)[None] >= length[:, None]] += 1
    drawn = order.argsort(axis=1)[:, :count]
    enough = np.maximum(np.rint(fraction * length), 1) * (length > 0)
    real = np.arange(count)[None] < enough[:, None]
    positions = np.sort(np.where(real, drawn, time), axis=1)
    return np.where(real, positions, 0).astype(np.int32), real.astype(np.float32)


def masks_of(fraction: float, time: int) -> int:
    """How many tokens of a text of so many are predicted."""
    return max(1, round(fraction * time))
