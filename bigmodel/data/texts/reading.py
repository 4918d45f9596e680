"""Texts as the token ids that a classifier reads, by what a run knows of its texts."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from jaxtyping import Int

from bigmodel.data.texts.tokenizers import Tokenizer, load, padded
from bigmodel.experiment import Assets, InputError
from bigmodel.predictor import Beginning, Kind

TEXTS, TOKENIZER = "texts.json", "tokenizer.json"


class TextReader(NamedTuple):
    """What a run knows of its texts: ``names`` of classes, most tokens, and the tokenizer."""

    names: tuple[str, ...]
    time: int
    tokenizer: Tokenizer

    @property
    def vocab_size(self) -> int:
        """The number of token ids."""
        return self.tokenizer.vocab_size

    @property
    def kind(self) -> Kind:
        """What an input is."""
        return "text"

    @property
    def inputs(self) -> str:
        """What an input is, in a line."""
        return f"texts of up to {self.time} tokens"

    def encode(self, inputs: Sequence[Any]) -> dict[str, np.ndarray]:
        """``tokens`` int32 ``[batch, time]``, 0 after the end, and ``length`` int32 ``[batch]``.

        Raises:
            InputError: An input is no text, or has no token, or too many and is no
                :class:`Beginning`.
        """
        ids = [token_ids(each, self.tokenizer, most=self.time) for each in inputs]
        lengths = np.array([len(tokens) for tokens in ids], np.int32)
        return {"tokens": padded(ids, self.time), "length": lengths}

    def dump(self) -> dict[str, bytes]:
        """The files of a run from which :func:`text_reader` makes this."""
        kept = {"names": self.names, "time": self.time}
        return {TEXTS: json.dumps(kept).encode(), TOKENIZER: self.tokenizer.dump()}


def text_reader(assets: Assets) -> TextReader:
    """The reader that a run has kept in its files."""
    kept = json.loads(assets[TEXTS])
    return TextReader(tuple(kept["names"]), kept["time"], load(assets[TOKENIZER]))


def text_of(each: Any) -> str:
    """The input, which has to be a text.

    Raises:
        InputError: It is none, or has characters that are no Unicode.
    """
    if not isinstance(each, str):
        raise InputError(f"it is no text: {repr(each)[:40]}")
    if any("\ud800" <= character <= "\udfff" for character in each):
        raise InputError("it is no Unicode text: it has half of a surrogate pair")
    return each


class Encodes(Protocol):
    """A tokenizer or a vocabulary."""

    @property
    def encode(self) -> Callable[[str], Int[np.ndarray, "tokens"]]:
        """Text to ids."""


def token_ids(each: Any, tokenizer: Encodes, *, most: int) -> Int[np.ndarray, " tokens"]:
    """The tokens of a text, the first ``most`` of a :class:`Beginning`.

    Raises:
        InputError: It is no text, or has no token, or too many.
    """
    ids = tokenizer.encode(text_of(each))
    if not len(ids):
        raise InputError("it is empty; give a text")
    if len(ids) > most and not isinstance(each, Beginning):
        raise InputError(
            f"it has {len(ids)} tokens, and the model reads {most}; shorten it, or ask for its "
            "beginning with --cut"
        )
    return ids[:most]
