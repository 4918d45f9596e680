"""Sentences as arrays, by what a run knows of its words and labels."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from bigmodel.data.texts.reading import TOKENIZER, text_of
from bigmodel.data.texts.text_file import words_of
from bigmodel.data.texts.tokenizers import Tokenizer, cut, load, padded
from bigmodel.experiment import Assets, InputError
from bigmodel.predictor import Beginning, Kind

TAGS = "tags.json"
Ids = Int[np.ndarray, " tokens"]


class TagReader(NamedTuple):
    """What a run knows of its sentences.

    ``labels`` are those of words, ``time`` and ``most`` the most tokens and words of a sentence.
    """

    labels: tuple[str, ...]
    time: int
    most: int
    tokenizer: Tokenizer

    @property
    def kind(self) -> Kind:
        """What an input is."""
        return "text"

    @property
    def inputs(self) -> str:
        """What an input is, in a line."""
        return f"texts, or lists of words, of up to {self.most} words and {self.time} tokens"

    @property
    def end(self) -> Ids:
        """What comes after a sentence: the separator of a vocabulary that has one."""
        kept = [id for name, id in self.tokenizer.special.items() if name == "separator"]
        return np.array(kept, np.int32)

    def pieces(self, words: Sequence[Ids]) -> list[range]:
        """A sentence divided, so that each piece is no longer than what a model reads.

        A word of more tokens than that is cut to its beginning.
        """
        time = self.time - len(self.end)
        found, first, tokens = [], 0, 0
        for index, ids in enumerate(words):
            if index > first and (tokens + len(ids) > time or index - first == self.most):
                found.append(range(first, index))
                first, tokens = index, 0
            tokens += len(ids)
        return [*found, range(first, len(words))]

    def encode(self, inputs: Sequence[Any]) -> dict[str, np.ndarray]:
        """The arrays of sentences.

        ``tokens`` int32 ``[batch, time]`` and ``length`` int32 ``[batch]`` are as
        :class:`~bigmodel.data.texts.reading.TextReader` has them; ``chosen`` int32
        ``[batch, words]`` is where each word begins, and ``words`` int32 ``[batch]`` how many there
        are. A text is divided into words at blanks and around punctuation; a list has them.

        Raises:
            InputError: An input is neither, or has no word or too many, and is no
                :class:`~bigmodel.predictor.Beginning`.
        """
        return self.arrays([self._read(each) for each in inputs])

    def _read(self, each: Any) -> list[Ids]:
        if isinstance(each, list):
            words = [text_of(word) for word in each]
        else:
            words = words_of(unicodedata.normalize("NFC", text_of(each)))
        if not words:
            raise InputError("it has no word; give a text, or a list of words")
        ids = word_ids(words, self.tokenizer)
        fitting = self.pieces(ids)[0]
        if len(fitting) < len(ids) and not isinstance(each, Beginning):
            raise InputError(
                f"it has {len(ids)} words of {sum(map(len, ids))} tokens, and the model reads "
                f"{self.most} of {self.time}; shorten it, or ask for its beginning with --cut"
            )
        return ids[fitting.start : fitting.stop]

    def arrays(self, sentences: Sequence[Sequence[Ids]]) -> dict[str, np.ndarray]:
        """The arrays of sentences whose words are given in ids."""
        whole = [np.concatenate([*words, self.end]) for words in sentences]
        ids = [cut(each, self.time, self.tokenizer) for each in whole]
        length = np.array([len(each) for each in ids], np.int32)
        starts = [np.cumsum([0, *map(len, words[:-1])]) for words in sentences]
        # A word without a token of its own is read where the next one begins.
        chosen = np.minimum(padded(starts, self.most), np.maximum(length - 1, 0)[:, None])
        return {
            "tokens": padded(ids, self.time),
            "length": length,
            "chosen": chosen.astype(np.int32),
            "words": np.array([len(words) for words in sentences], np.int32),
        }

    def dump(self) -> dict[str, bytes]:
        """The files of a run from which :func:`tag_reader` makes this."""
        kept = {"labels": self.labels, "time": self.time, "most": self.most}
        return {TAGS: json.dumps(kept).encode(), TOKENIZER: self.tokenizer.dump()}


def tag_reader(assets: Assets) -> TagReader:
    """The reader that a run has kept in its files."""
    kept = json.loads(assets[TAGS])
    tokenizer = load(assets[TOKENIZER])
    return TagReader(tuple(kept["labels"]), kept["time"], kept["most"], tokenizer)


def word_ids(words: Sequence[str], tokenizer: Tokenizer) -> list[Ids]:
    """The tokens of each word, as it stands in a text: after a blank."""
    known = {word: tokenizer.encode(f" {word}") for word in dict.fromkeys(words)}
    return [known[word] for word in words]
