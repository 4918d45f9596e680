"""Text as token ids with a boundary at the end, for sequence-to-sequence models."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Int

from bigmodel.data.texts.reading import token_ids
from bigmodel.data.texts.tokenizers import Tokenizer, learn_tokenizer, load, padded
from bigmodel.experiment import Assets, InputError
from bigmodel.predictor import Kind

SOURCE, TARGET, LENGTHS = "source_vocabulary.json", "target_vocabulary.json", "lengths.json"
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
        return _symbols(sorted({symbol for text in (*train, *others) for symbol in text.split()}))
    return _of(learn_tokenizer(unit, train=train, others=others, size=size))


def load_vocabulary(content: bytes) -> Vocabulary:
    """The vocabulary whose ``dump()`` is ``content``."""
    saved = json.loads(content)
    return _symbols(saved["symbols"]) if saved.get("type") == "symbol" else _of(load(content))


def _of(tokenizer: Tokenizer) -> Vocabulary:
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


def _symbols(symbols: list[str]) -> Vocabulary:
    number = {symbol: index for index, symbol in enumerate(symbols, start=1)}

    def encode(text: str) -> Int[np.ndarray, "tokens"]:
        found = text.split()
        if unknown := [symbol for symbol in found if symbol not in number]:
            raise InputError(
                f"the symbol {unknown[0][:40]!r} is not among the {len(symbols)} of the data; "
                "leave it out"
            )
        return np.array([number[symbol] for symbol in found], np.int32)

    return Vocabulary(
        encode,
        lambda ids: " ".join(symbols[each - 1] for each in until_boundary(ids).tolist()),
        lambda: json.dumps({"type": "symbol", "symbols": symbols}).encode(),
        len(symbols) + 1,
    )


class PairReader(NamedTuple):
    """What a run knows of its pairs.

    ``source`` and ``target`` are the vocabularies, ``most_source`` and ``length`` the maximum
    numbers of tokens of each side, including the end.
    """

    source: Vocabulary
    target: Vocabulary
    most_source: int
    length: int

    @property
    def kind(self) -> Kind:
        """What an input is."""
        return "text"

    @property
    def inputs(self) -> str:
        """What an input is, in a line."""
        return f"words or sentences of up to {self.most_source - 1} tokens"

    def encode(self, inputs: Sequence[Any]) -> dict[str, np.ndarray]:
        """``source`` int32 ``[batch, source]``, and ``source_length`` int32 ``[batch]``.

        Raises:
            InputError: An input is no text, has no token or an unknown one, or too many and is no
                :class:`~bigmodel.experiment.Beginning`.
        """
        most = self.most_source - 1
        return self.arrays([token_ids(each, self.source, most=most) for each in inputs])

    def arrays(self, ids: Sequence[Int[np.ndarray, "tokens"]]) -> dict[str, np.ndarray]:
        """The arrays of sources in ids, each cut so that its end has room."""
        cut = [each[: self.most_source - 1] for each in ids]
        lengths = np.array([len(each) + 1 for each in cut], np.int32)
        return {"source": padded(cut, self.most_source), "source_length": lengths}

    def dump(self) -> dict[str, bytes]:
        """The files of a run from which :func:`pair_reader` makes this."""
        sizes = {"most_source": self.most_source, "length": self.length}
        vocabularies = {SOURCE: self.source.dump(), TARGET: self.target.dump()}
        return {**vocabularies, LENGTHS: json.dumps(sizes).encode()}


def pair_reader(assets: Assets) -> PairReader:
    """The reader that a run has kept in its files."""
    source, target = (load_vocabulary(assets[name]) for name in (SOURCE, TARGET))
    return PairReader(source, target, **json.loads(assets[LENGTHS]))
