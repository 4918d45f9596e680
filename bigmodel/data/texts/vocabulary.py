"""Text as token ids with a boundary at the end, for sequence-to-sequence models."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Int

from bigmodel.data.texts.tokenizers import learn_tokenizer

BOUNDARY = 0
"""The id that begins and ends every sequence, and pads it."""

Unit: TypeAlias = Literal["char", "byte", "bpe", "symbol"]


class Vocabulary(NamedTuple):
    """A map between text and ids from 1 on; 0 is BOUNDARY.

    ``encode`` gives no BOUNDARY. ``decode`` reads up to the first one. ``dump()`` is the content
    of a file that says what the ids are.
    """

    encode: Callable[[str], Int[np.ndarray, "tokens"]]
    decode: Callable[[Int[np.ndarray, "tokens"]], str]
    dump: Callable[[], bytes]
    size: int

    def names(self, ids: Int[np.ndarray, "tokens"]) -> list[str]:
        """Each id as text, the BOUNDARY as a black square."""
        return ["■" if each == BOUNDARY else self.decode(np.array([each])) for each in ids.tolist()]


def learn_vocabulary(
    unit: Unit, *, train: Sequence[str], others: Sequence[str], size: int
) -> Vocabulary:
    """The vocabulary of texts: those to train on, and others.

    A BPE of that size is learned from ``train``; the characters and the symbols, which spaces
    separate, are those of all texts.

    Raises:
        InputError: ``size`` leaves no room for a merge.
    """
    if unit == "symbol":
        symbols = sorted({symbol for text in (*train, *others) for symbol in text.split()})
        number = {symbol: index for index, symbol in enumerate(symbols, start=1)}
        return Vocabulary(
            lambda text: np.array([number[symbol] for symbol in text.split()], np.int32),
            lambda ids: " ".join(symbols[each - 1] for each in until_boundary(ids).tolist()),
            lambda: json.dumps({"type": "symbol", "symbols": symbols}).encode(),
            len(symbols) + 1,
        )
    tokenizer = learn_tokenizer(unit, train=train, others=others, size=size)
    return Vocabulary(
        lambda text: tokenizer.encode(text) + 1,
        lambda ids: tokenizer.decode(until_boundary(ids) - 1),
        tokenizer.dump,
        tokenizer.vocab_size + 1,
    )


def until_boundary(ids: Int[np.ndarray, "tokens"]) -> Int[np.ndarray, "tokens"]:
    """The ids before the first BOUNDARY."""
    (ends,) = np.nonzero(ids == BOUNDARY)
    return ids[: ends[0]] if len(ends) else ids
