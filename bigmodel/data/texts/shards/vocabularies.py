"""Tokenizers of prepared texts: with a token that ends documents, or of ids without a text."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from bigmodel.data.texts.shards.pieces import END
from bigmodel.data.texts.tokenizers import Tokenizer, char_tokenizer, load, no_characters
from bigmodel.experiment import InputError


def ended(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer with one id more, ``special["end"]``, whose text is :data:`END`.

    It stands between documents and is no character of them.
    """
    end = tokenizer.vocab_size
    saved = json.loads(tokenizer.dump())
    if "model" in saved:
        # A file of the library, which has a place for such tokens.
        saved["added_tokens"] = [*saved.get("added_tokens", []), end_token(end)]
        return uncounted(load(json.dumps(saved).encode()))

    def encode(text: str) -> Int[np.ndarray, "tokens"]:
        first, *others = [tokenizer.encode(part) for part in text.split(END)]
        return np.concatenate([first, *(np.append(np.int32(end), part) for part in others)])

    def decode(ids: Int[np.ndarray, "tokens"]) -> str:
        array = np.asarray(ids)
        parts = np.split(array, np.flatnonzero(array == end))
        texts = [tokenizer.decode(part[part != end]) for part in parts]
        return END.join(texts)

    def dump() -> bytes:
        return json.dumps({"type": "ended", "of": saved}).encode()

    characters = np.append(tokenizer.characters, np.float32(0))
    return Tokenizer(encode, decode, dump, characters, {**tokenizer.special, "end": end})


def end_token(end: int) -> dict[str, Any]:
    """What a ``tokenizer.json`` says of a token that ends documents."""
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": end, "content": END, "special": True, **flags}


def uncounted(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer whose end token counts as no character, for none of a document's is in it."""
    characters = tokenizer.characters.copy()
    if (end := end_of(tokenizer)) is not None:
        characters[end] = 0
    return tokenizer._replace(characters=characters)


def end_of(tokenizer: Tokenizer) -> int | None:
    """The token that ends a document: an own one, or what separates texts; None without any."""
    special = tokenizer.special
    return special.get("end", special.get("separator"))


def id_tokenizer(vocab_size: int) -> Tokenizer:
    """Ids whose text nobody knows: they are written as numbers, each of which is a character."""

    def encode(text: str) -> Int[np.ndarray, "tokens"]:
        try:
            ids = np.array(text.split(), np.int64)
        except (ValueError, OverflowError):
            ids = np.array([-1])
        if np.any((ids < 0) | (ids >= vocab_size)):
            raise InputError(
                f"{text[:40]!r} is not written in token ids, numbers from 0 to {vocab_size - 1}, "
                "and there is no tokenizer.json beside the token files"
            )
        return ids.astype(np.int32)

    def decode(ids: Int[np.ndarray, "tokens"]) -> str:
        return "".join(f"{number} " for number in np.asarray(ids).tolist())

    def dump() -> bytes:
        return json.dumps({"type": "ids", "vocab_size": vocab_size}).encode()

    return Tokenizer(encode, decode, dump, no_characters(vocab_size) + 1)


def read(saved: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer of this module that ``dump()`` has written."""
    if saved["type"] == "ids":
        return id_tokenizer(saved["vocab_size"])
    return ended(load(json.dumps(saved["of"]).encode()))


class _Plain(pickle.Unpickler):
    """Reads numbers, texts and containers of them, and nothing that runs code."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it has a {module}.{name}")


def beside(folder: Path) -> Tokenizer | None:
    """The tokenizer of a folder of token files: its tokenizer.json or nanoGPT's meta.pkl, if any.

    Raises:
        InputError: the file cannot be read.
    """
    saved, meta = folder / "tokenizer.json", folder / "meta.pkl"
    if saved.is_file():
        return load(saved.read_bytes())
    if not meta.is_file():
        return None
    try:
        texts = _Plain(io.BytesIO(meta.read_bytes())).load()["itos"]
        known = "".join(texts[index] for index in range(len(texts)))
    except (pickle.UnpicklingError, LookupError, TypeError, ValueError, EOFError) as error:
        raise InputError(f"{meta} is no meta.pkl of characters: {error}") from None
    if len(known) != len(texts) or sorted(set(known)) != list(known):
        raise InputError(f"{meta} does not number single characters in the order of Unicode")
    return char_tokenizer(known)
