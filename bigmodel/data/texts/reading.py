"""Texts, prompts, masked texts and words as numbers, by what a run knows of its texts."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from jaxtyping import Int

from bigmodel.data.texts.tokenizers import Tokenizer, cut, load, padded, parted, split_words
from bigmodel.experiment import Assets, InputError
from bigmodel.predictor import Beginning, Kind

TEXTS, TOKENIZER, WORDS = "texts.json", "tokenizer.json", "words.txt"
MASK = "[MASK]"
"""What stands in a text for a token that is to be filled in."""
TERMS = 8
"""Words in a sum of words."""


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

        Parts of a text, such as two sentences, have a tab between them.

        Raises:
            InputError: An input is no text, or has no token, or too many and is no
                :class:`Beginning`.
        """
        ids = [self._ids(each) for each in inputs]
        lengths = np.array([len(tokens) for tokens in ids], np.int32)
        return {"tokens": padded(ids, self.time), "length": lengths}

    def _ids(self, each: Any) -> Int[np.ndarray, " tokens"]:
        ids = parted(text_of(each), self.tokenizer)
        if isinstance(each, Beginning):
            ids = cut(ids, self.time, self.tokenizer)
        return fitting(ids, self.time)

    def dump(self) -> dict[str, bytes]:
        """The files of a run from which :func:`text_reader` makes this."""
        kept = {"names": self.names, "time": self.time}
        return {TEXTS: json.dumps(kept).encode(), TOKENIZER: self.tokenizer.dump()}


def text_reader(assets: Assets) -> TextReader:
    """The reader that a run has kept in its files."""
    kept = json.loads(assets[TEXTS])
    return TextReader(tuple(kept["names"]), kept["time"], load(assets[TOKENIZER]))


class PromptReader(NamedTuple):
    """What a run knows of prompts: up to ``most`` tokens, and the seed where one has none.

    ``asked``, of a run that knows dialogues, makes the text of a question, or of the messages of a
    dialogue, to be answered.
    """

    tokenizer: Tokenizer
    most: int
    seed: int
    asked: Callable[[Any], str] | None = None

    @property
    def kind(self) -> Kind:
        """What an input is."""
        return "text"

    @property
    def inputs(self) -> str:
        """What an input is, in a line."""
        return f"texts of up to {self.most} tokens, to be continued"

    def encode(self, inputs: Sequence[Any]) -> dict[str, np.ndarray]:
        """The arrays of ``bigmodel.models.texts.generation.Prompts``.

        An input is a text, a list of token ids, or ``{"prompt": one of these, "seed": number}``.
        Of a run that knows dialogues a text is a question, and ``{"messages": [...]}`` what comes
        before an answer; of a :class:`Beginning` that is too long, its end then counts.

        The ``first`` tokens, which all have, are a power of two, and ``first + others`` are
        ``most``, so that there are few shapes.

        Raises:
            InputError: An input is none of these, or has no token, or too many.
        """
        read = [self._prompt(each) for each in inputs]
        prompts = [ids for ids, _ in read]
        first = 1 << min(len(ids) for ids in prompts).bit_length() - 1
        return {
            "tokens": padded(prompts, first),
            "rest": padded([ids[first:] for ids in prompts], max(1, self.most - first)),
            "length": np.array([len(ids) for ids in prompts], np.int32),
            "seed": np.array([seed for _, seed in read], np.uint32),
        }

    def _prompt(self, each: Any) -> tuple[Int[np.ndarray, " tokens"], int]:
        seed, asked = self.seed % (1 << 32), self.asked
        if isinstance(each, Mapping):
            name = "messages" if asked and "messages" in each else "prompt"
            if not {name} <= set(each) <= {name, "seed"}:
                raise InputError('it is no prompt: write {"prompt": "a text", "seed": 1}')
            seed, each = each.get("seed", seed), each[name]
            asked = asked if name == "messages" else None
            if not _whole(seed, below=1 << 32):
                raise InputError(f"its seed is no number from 0 to 4294967295: {repr(seed)[:40]}")
        if asked is None and isinstance(each, list):
            ids = checked_ids(each, self.tokenizer.vocab_size, "token ids")
            return fitting(ids, self.most), seed
        if asked is not None:
            ids = self.tokenizer.encode(asked(each))
            ids = ids[-self.most :] if isinstance(each, Beginning) else ids
            return fitting(ids, self.most), seed
        return token_ids(each, self.tokenizer, most=self.most), seed


class MaskReader(NamedTuple):
    """What a run knows of texts with masks: most tokens, and most masks among them."""

    tokenizer: Tokenizer
    time: int
    masks: int

    @property
    def kind(self) -> Kind:
        """What an input is."""
        return "text"

    @property
    def inputs(self) -> str:
        """What an input is, in a line."""
        return f"texts of up to {self.time} tokens with up to {self.masks} times {MASK}"

    def encode(self, inputs: Sequence[Any]) -> dict[str, np.ndarray]:
        """``tokens``, ``length``, ``chosen`` and ``weight``, as ``bigmodel.data.masked`` has them.

        An input is a text with masks, or ``{"tokens": ids, "chosen": positions to fill in}``.

        Raises:
            InputError: An input is none of these, or has no mask, or too many tokens or masks.
        """
        read = [self._masked(each) for each in inputs]
        counts = np.array([len(chosen) for _, chosen in read], np.int32)
        return {
            "tokens": padded([ids for ids, _ in read], self.time),
            "length": np.array([len(ids) for ids, _ in read], np.int32),
            "chosen": padded([chosen for _, chosen in read], self.masks),
            "weight": (np.arange(self.masks)[None] < counts[:, None]).astype(np.float32),
        }

    def _masked(self, each: Any) -> tuple[np.ndarray, np.ndarray]:
        mask, size = self.tokenizer.mask, self.tokenizer.vocab_size
        if isinstance(each, Mapping):
            if set(each) != {"tokens", "chosen"}:
                raise InputError('it is no masked text: write {"tokens": [..], "chosen": [..]}')
            ids = checked_ids(each["tokens"], max(size, mask + 1), "token ids")
            chosen = checked_ids(each["chosen"], len(ids), "positions in its tokens")
            if (np.diff(chosen) <= 0).any():
                raise InputError("its positions do not rise; sort them, each once")
            if len(np.setdiff1d(np.flatnonzero(ids == mask), chosen)):
                raise InputError("it has a mask at a position that is not chosen; choose it too")
        else:
            parts = [self.tokenizer.encode(part) for part in text_of(each).split(MASK)]
            ids = np.concatenate([np.append(part, np.int32(mask)) for part in parts])[:-1]
            if "separator" in self.tokenizer.special:
                ids = np.append(ids, np.int32(self.tokenizer.special["separator"]))
            chosen = np.flatnonzero(ids == mask).astype(np.int32)
            if len(ids) > self.time and isinstance(each, Beginning):
                ids = cut(ids, self.time, self.tokenizer)
                chosen = np.flatnonzero(ids == mask).astype(np.int32)
        if not len(chosen):
            raise InputError(f"it has no mask; write {MASK} for each token to fill in")
        if len(chosen) > self.masks:
            raise InputError(
                f"it has {len(chosen)} masks, and the model fills in {self.masks} at once; leave "
                "some out"
            )
        return fitting(ids, self.time), chosen


class WordReader(NamedTuple):
    """What a run knows of its words: the most frequent first."""

    vocabulary: tuple[str, ...]

    @property
    def kind(self) -> Kind:
        """What an input is."""
        return "text"

    @property
    def inputs(self) -> str:
        """What an input is, in a line."""
        return f"words, or sums of up to {TERMS} such as king - man + woman"

    def encode(self, inputs: Sequence[Any]) -> dict[str, np.ndarray]:
        """The first word and what is added to it or taken from it.

        ``centre`` is int32 ``[batch]``; ``others`` int32 and ``signs`` float32, both ``[batch,
        terms]``, are 0 where there are fewer.

        Raises:
            InputError: An input is no sum of words, or has a word that training never saw.
        """
        read = [self._sum(each) for each in inputs]
        signs = np.zeros((len(read), TERMS - 1), np.float32)
        for row, (_, found) in zip(signs, read, strict=True):
            row[: len(found) - 1] = found[1:]
        return {
            "centre": np.array([words[0] for words, _ in read], np.int32),
            "others": padded([words[1:] for words, _ in read], TERMS - 1),
            "signs": signs,
        }

    def _sum(self, each: Any) -> tuple[np.ndarray, list[float]]:
        terms = re.split(r"([+-])", "+" + text_of(each))[1:]
        signs = [1.0 if sign == "+" else -1.0 for sign in terms[::2]]
        if len(signs) > TERMS:
            raise InputError(f"it has {len(signs)} words, and a sum has up to {TERMS}")
        return np.array([self._number(word) for word in terms[1::2]], np.int32), signs

    def _number(self, text: str) -> int:
        words = split_words(text)
        if len(words) != 1:
            raise InputError("it is no word, nor a sum of words; write king - man + woman")
        try:
            return self.vocabulary.index(words[0])
        except ValueError:
            near = difflib.get_close_matches(words[0], self.vocabulary, n=3)
            meant = f"; did you mean {' or '.join(near)}?" if near else ""
            raise InputError(
                f"{words[0][:40]!r} is not among the {len(self.vocabulary)} words of the run{meant}"
            ) from None


def word_reader(assets: Assets) -> WordReader:
    """The reader that a run has kept in its files."""
    return WordReader(tuple(assets[WORDS].decode().split("\n")))


def read_tokenizer(assets: Assets) -> Tokenizer:
    """The tokenizer that a run has kept in its files."""
    return load(assets[TOKENIZER])


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
    return ids[:most] if isinstance(each, Beginning) and len(ids) else fitting(ids, most)


def fitting(ids: Int[np.ndarray, " tokens"], most: int) -> Int[np.ndarray, " tokens"]:
    """The tokens of a text.

    Raises:
        InputError: There are none, or more than a model reads.
    """
    if not len(ids):
        raise InputError("it is empty; give a text")
    if len(ids) > most:
        raise InputError(
            f"it has {len(ids)} tokens, and the model reads {most}; shorten it, or ask for its "
            "beginning with --cut"
        )
    return ids


def checked_ids(each: Any, below: int, what: str) -> Int[np.ndarray, " tokens"]:
    """A list of whole numbers from 0 on, as int32.

    Raises:
        InputError: It is none, or one is ``below`` or more.
    """
    if not isinstance(each, list) or not all(_whole(value, below=below) for value in each):
        raise InputError(f"it is no list of {what} from 0 to {below - 1}: {repr(each)[:40]}")
    return np.array(each, np.int32)


def _whole(value: Any, *, below: int) -> bool:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return whole and 0 <= value < below
