"""Text to integers and back: characters, bytes, words and their pieces, a BPE (Sennrich, 2016)."""

from __future__ import annotations

import json
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import tokenizers
from jaxtyping import Float, Int
from tokenizers import decoders, models, pre_tokenizers, trainers

from bigmodel.data.texts.text_file import words_of
from bigmodel.experiment import InputError

BYTES = 256
CHUNK, MOST = 1 << 16, 1 << 24
UNKNOWN = "<unknown>"
OF_BERT = {"first": "[CLS]", "separator": "[SEP]", "mask": "[MASK]"}
"""The special tokens of a vocabulary of word pieces, by what they do."""
ENDS = ("<|endoftext|>", "<|end_of_text|>")
"""Tokens that end a document in files of BPEs; the first one there counts."""
CONTINUED = "##"
"""How a piece begins that goes on with a word."""

Kind: TypeAlias = Literal["char", "byte", "bpe", "word"]


class Tokenizer(NamedTuple):
    """A map between text and token ids: ``decode(encode(text)) == text`` but for words and pieces.

    ``characters[id]`` is the number of characters that begin in a token, so that its sum
    over an encoded text is the text's length, whatever the tokenizer; bits per character
    are comparable through it. ``dump()`` is the content of a file that ``load`` reads.
    Ids that are no valid UTF-8 decode to the replacement character.

    ``special`` are ids that no text is encoded to: the token ``first`` that stands before a text,
    the ``separator`` that ends each of its parts, the ``mask``, and the ``end`` of a document.
    ``before`` is what another's tokenizer would put before a text, which ``encode`` does not.
    """

    encode: Callable[[str], Int[np.ndarray, "tokens"]]
    decode: Callable[[Int[np.ndarray, "tokens"]], str]
    dump: Callable[[], bytes]
    characters: Float[np.ndarray, "vocabulary"]
    special: Mapping[str, int] = MappingProxyType({})
    before: str = ""

    @property
    def vocab_size(self) -> int:
        """The number of token ids."""
        return len(self.characters)

    @property
    def mask(self) -> int:
        """The id that stands for a token to be predicted: one more where there is no own."""
        return self.special.get("mask", self.vocab_size)


def learn_tokenizer(
    kind: Kind, *, train: Sequence[str], others: Sequence[str], size: int
) -> Tokenizer:
    """The tokenizer of texts: those to train on, and others.

    A BPE or words of that size are learned from ``train``; characters are those of all texts.

    Raises:
        InputError: ``size`` leaves no room for a merge or a word.
    """
    match kind:
        case "char":
            return char_tokenizer("".join([*train, *others]))
        case "byte":
            return byte_tokenizer()
        case "bpe":
            return bpe_tokenizer("\n".join(train), vocab_size=size)
        case "word":
            return word_tokenizer(train, vocab_size=size)


def char_tokenizer(text: str) -> Tokenizer:
    """One token for each character of ``text``, numbered in the order of Unicode.

    Encoding a character that ``text`` lacks raises InputError.
    """
    vocabulary = np.unique(_code_points(text))

    def encode(text: str) -> Int[np.ndarray, "tokens"]:
        points = _code_points(text)
        unknown = points[~np.isin(points, vocabulary)]
        if len(unknown):
            raise InputError(
                f"the character {chr(unknown[0])!r} is not among the {len(vocabulary)} of the "
                "data; leave it out, or use --data.tokenizer byte"
            )
        return np.searchsorted(vocabulary, points).astype(np.int32)

    def decode(ids: Int[np.ndarray, "tokens"]) -> str:
        return vocabulary[np.asarray(ids)].tobytes().decode("utf-32-le")

    def dump() -> bytes:
        characters = vocabulary.tobytes().decode("utf-32-le")
        return json.dumps({"type": "char", "characters": characters}).encode()

    return Tokenizer(encode, decode, dump, np.ones(len(vocabulary), np.float32))


def byte_tokenizer() -> Tokenizer:
    """The 256 bytes of UTF-8."""

    def encode(text: str) -> Int[np.ndarray, "tokens"]:
        return np.frombuffer(text.encode(), np.uint8).astype(np.int32)

    def decode(ids: Int[np.ndarray, "tokens"]) -> str:
        return np.asarray(ids).astype(np.uint8).tobytes().decode(errors="replace")

    characters = np.array([_characters(bytes([byte])) for byte in range(BYTES)], np.float32)
    return Tokenizer(encode, decode, lambda: b'{"type": "byte"}', characters)


def bpe_tokenizer(text: str, *, vocab_size: int) -> Tokenizer:
    """A byte-level BPE learned from ``text``: the 256 bytes and the most frequent merges.

    The vocabulary is smaller than ``vocab_size`` where the text has no more pairs to merge.

    Raises:
        InputError: ``vocab_size`` leaves no room for a merge.
    """
    if vocab_size <= BYTES:
        raise InputError(
            f"--data.vocab-size {vocab_size} leaves no room for merges: a byte-level BPE begins "
            f"with {BYTES} bytes; use {BYTES + 1} or more, or --data.tokenizer byte"
        )
    _keep_to_one_thread()
    bpe = tokenizers.Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, show_progress=False, initial_alphabet=alphabet
    )
    bpe.train_from_iterator(_chunks(text), trainer)
    return _from_bpe(bpe)


def split_words(text: str) -> list[str]:
    """The words in lower case, and every other mark; a letter is one mark with its accent."""
    return words_of(unicodedata.normalize("NFC", text).lower())


def word_tokenizer(texts: Iterable[str], *, vocab_size: int) -> Tokenizer:
    """The ``vocab_size - 1`` most frequent words of the texts, ties in the order of Unicode.

    Id 0 stands for every other word. It decodes to words with one space between them, so
    unlike the other tokenizers it does not give the text back.

    Raises:
        InputError: ``vocab_size`` leaves no room for a word.
    """
    if vocab_size < 2:
        raise InputError(f"--data.vocab-size {vocab_size} leaves no room for a word; use 2 or more")
    counts = Counter(word for text in texts for word in split_words(text))
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    return _from_words(ranked[: vocab_size - 1])


def _from_words(known: Sequence[str]) -> Tokenizer:
    """The tokenizer whose ids from 1 on are these words."""
    vocabulary = (UNKNOWN, *known)
    ids = {word: index for index, word in enumerate(vocabulary)}

    def encode(text: str) -> Int[np.ndarray, "tokens"]:
        return np.array([ids.get(word, 0) for word in split_words(text)], np.int32)

    def decode(tokens: Int[np.ndarray, "tokens"]) -> str:
        return " ".join(vocabulary[index] for index in np.asarray(tokens).tolist())

    saved = {"type": "word", "words": list(known)}
    characters = np.array([0, *map(len, known)], np.float32)
    return Tokenizer(encode, decode, lambda: json.dumps(saved).encode(), characters)


def padded(encoded: Sequence[Int[np.ndarray, "tokens"]], time: int) -> Int[np.ndarray, "rows time"]:
    """Ids as rows of one length: longer ones are cut, shorter ones filled with 0."""
    ids = np.zeros((len(encoded), time), np.int32)
    for row, tokens in zip(ids, encoded, strict=True):
        row[: len(tokens)] = tokens[:time]
    return ids


def parted(text: str, tokenizer: Tokenizer) -> Int[np.ndarray, "tokens"]:
    """The ids of a text whose parts, such as two sentences, have a tab between them.

    Where the vocabulary has a separator, it ends each part.
    """
    separator = tokenizer.special.get("separator")
    if separator is None:
        return tokenizer.encode(text)
    parts = [tokenizer.encode(part) for part in text.split("\t")]
    ended = [np.append(part, np.int32(separator)) for part in parts]
    return np.concatenate(ended) if any(map(len, parts)) else parts[0]


def cut(ids: Int[np.ndarray, "tokens"], most: int, tokenizer: Tokenizer) -> Int[np.ndarray, "cut"]:
    """The first ``most`` ids; the last one is still a separator where they ended with it."""
    separator = tokenizer.special.get("separator")
    if len(ids) <= most or separator is None:
        return ids[:most]
    return np.append(ids[: most - 1], np.int32(separator))


def load(content: bytes) -> Tokenizer:
    """The tokenizer whose ``dump()`` is ``content``, or that of another's ``tokenizer.json``.

    Raises:
        InputError: it is none, or one of another kind.
    """
    try:
        return _read(dict(json.loads(content)), content)
    except InputError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise InputError(f"the tokenizer.json cannot be read: {str(error)[:80]}") from None


def _read(saved: Mapping[str, Any], content: bytes) -> Tokenizer:
    match saved.get("type"):
        case "char":
            return char_tokenizer(saved["characters"])
        case "byte":
            return byte_tokenizer()
        case "word":
            return _from_words(saved["words"])
        case "ended" | "ids":
            from bigmodel.data.texts.shards import vocabularies  # which are made of these

            return vocabularies.read(saved)
        case _:
            _keep_to_one_thread()
            try:
                made = tokenizers.Tokenizer.from_str(content.decode())
            except Exception as error:  # All that it raises are of this kind.
                raise InputError(f"the tokenizer.json cannot be read: {str(error)[:80]}") from None
            made.no_padding()
            made.no_truncation()
            kind = type(made.model).__name__
            if kind not in ("BPE", "WordPiece"):
                raise InputError(f"the tokenizer.json is a {kind}; BPE and WordPiece are read")
            return (_from_pieces if kind == "WordPiece" else _from_bpe)(made)


def _from_pieces(pieces: tokenizers.Tokenizer) -> Tokenizer:
    """Pieces of words (Wu et al., 2016), as BERT's files have them."""
    # What stands for a special token in a text is text.
    pieces.encode_special_tokens = True
    vocabulary = pieces.get_vocab()
    for token in OF_BERT.values():
        if token not in vocabulary:
            raise InputError(f"tokenizer.json has pieces of words, and no {token}")
    special = {name: vocabulary[token] for name, token in OF_BERT.items()}
    characters = no_characters(max(vocabulary.values()) + 1)
    for token, index in vocabulary.items():
        characters[index] = len(token.removeprefix(CONTINUED))
    characters[list(special.values())] = 0
    return _from_library(pieces, characters)._replace(special=special)


def no_characters(vocab_size: int) -> Float[np.ndarray, "vocabulary"]:
    """A zero for each id; raises InputError for more ids than any vocabulary has."""
    if vocab_size > MOST:
        raise InputError(f"token ids go up to {vocab_size - 1}, and here at most to {MOST - 1}")
    return np.zeros(vocab_size, np.float32)


def _from_library(
    made: tokenizers.Tokenizer, characters: Float[np.ndarray, "vocabulary"]
) -> Tokenizer:
    def encode(text: str) -> Int[np.ndarray, "tokens"]:
        try:
            encodings = made.encode_batch_fast(list(_chunks(text)), add_special_tokens=False)
        except Exception as error:  # As of a word, where there is no token for an unknown one.
            raise InputError(f"the tokenizer.json cannot encode {text[:40]!r}: {error}") from None
        return np.array([token for piece in encodings for token in piece.ids], np.int32)

    def decode(ids: Int[np.ndarray, "tokens"]) -> str:
        return made.decode(np.asarray(ids).tolist(), skip_special_tokens=False)

    return Tokenizer(encode, decode, lambda: made.to_str().encode(), characters)


def _from_bpe(bpe: tokenizers.Tokenizer) -> Tokenizer:
    byte_of = _byte_of_symbol()
    vocabulary = bpe.get_vocab()
    added = {token.content for token in bpe.get_added_tokens_decoder().values()}
    characters = no_characters(max(vocabulary.values(), default=-1) + 1)
    for token, index in vocabulary.items():
        if token in added:
            characters[index] = len(token)
        elif byte_of.keys() >= set(token):
            characters[index] = _characters(bytes(byte_of[symbol] for symbol in token))
        else:
            raise InputError(f"the tokenizer.json is no byte-level BPE: it has {token[:40]!r}")
    before = bpe.decode(bpe.encode("").ids, skip_special_tokens=False)
    ends = [vocabulary[token] for token in ENDS if token in added]
    special = {"end": ends[0]} if ends else {}
    return _from_library(bpe, characters)._replace(before=before, special=special)


def _keep_to_one_thread() -> None:
    """Without this, `tokenizers` warns in every process that is forked afterwards."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def _chunks(text: str) -> Iterator[str]:
    """Pieces that end at a line's end where there is one: `tokenizers` is slow on one long text."""
    start = 0
    while start < len(text):
        end = start + CHUNK
        newline = text.rfind("\n", start, end)
        if end < len(text) and newline >= 0:
            end = newline + 1
        yield text[start:end]
        start = end


def _byte_of_symbol() -> dict[str, int]:
    """The alphabet in which byte-level BPE files write bytes (Radford et al., 2019).

    A byte that is a printable character of Latin-1 stands for itself; the others, in
    order, are written as the characters from U+0100 on.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(BYTES) if byte not in printable]
    symbols = {chr(byte): byte for byte in printable}
    return symbols | {chr(0x100 + order): byte for order, byte in enumerate(others)}


def _characters(utf8: bytes) -> int:
    """How many characters begin in these bytes: a continuation byte is 10xxxxxx."""
    return sum(byte & 0xC0 != 0x80 for byte in utf8)


def _code_points(text: str) -> Int[np.ndarray, "characters"]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.dtype("<u4"))
