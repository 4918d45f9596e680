"""A text of any size as batches of token windows: prepared once, then read as it is needed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from bigmodel.data.personal.masking import MASKED, Mask
from bigmodel.data.prepared.cache import prepared, recorded
from bigmodel.data.prepared.contents import (
    SOURCES,
    Content,
    check_unchanged,
    contents,
    digest_of,
    listed,
)
from bigmodel.data.texts.reading import TOKENIZER
from bigmodel.data.texts.shards.division import Starts, starts_of
from bigmodel.data.texts.shards.encoding import (
    Learning,
    Source,
    documents_name,
    encode,
    tokens_name,
)
from bigmodel.data.texts.shards.paths import format_of, text_files
from bigmodel.data.texts.shards.token_file import TokenFile, dtype_of
from bigmodel.data.texts.shards.token_folder import DTYPE, read_token_folder, token_paths
from bigmodel.data.texts.shards.vocabularies import uncounted
from bigmodel.data.texts.shards.windows import (
    Documents,
    Packed,
    Windows,
    drawn,
    in_order,
    shuffled,
)
from bigmodel.data.texts.text import OPENING, Text, TextData
from bigmodel.data.texts.tokenizers import Tokenizer, load
from bigmodel.experiment import WHOLE, Assets, Batch, Data, InputError, Train

VERSION = 1
"""Of the token files: another one where the same text and options give other tokens."""
LOOKED_AT = 1 << 22
"""Training tokens from which baselines count."""


class Part(NamedTuple):
    """The tokens of a part, and the file that says where its documents end."""

    tokens: TokenFile
    documents: Path

    def windows(self, options: TextData, *, apart: bool = False) -> Windows:
        """Its windows, as ``--data.packing`` says; of those ``apart`` no two have a token."""
        count = len(self.tokens)
        if options.packing != "document":
            return Packed(count, options.context, apart)
        ends = np.fromfile(self.documents, "<i8")
        # What comes after the last end is a document too.
        ends = ends if count in ends[-1:] else np.append(ends, count)
        return Documents(ends, options.context, apart=apart)


class Prepared(NamedTuple):
    """Parts by name, training first, their tokenizer, and a digest of all of it.

    ``read`` are the files that are read while the run goes on, and may not change; ``assets`` name
    the files that all is made of, and count what was replaced, where something was to be.
    """

    parts: Mapping[str, Part]
    tokenizer: Tokenizer
    digest: str
    read: tuple[Content, ...] = ()
    assets: Assets = MappingProxyType({})


def load_prepared_text(
    options: TextData, assets: Assets | None = None, tokenizer: Tokenizer | None = None
) -> Text:
    """The text of files of any size and number, of the formats of ``paths.FORMATS``.

    It is what :func:`bigmodel.data.texts.text.load_text` gives, but for training windows: these
    are shuffled epochs of all windows. In ``--data.packing across`` these are consecutive, with an
    end token between documents; in ``document`` each has tokens of one document, and ``weight`` is
    0 after its end.

    Raises:
        InputError: a file cannot be read or is too short, or an option is out of range.
        StorageError: the tokens cannot be kept.
    """
    if assets is not None:
        tokenizer = load(assets[TOKENIZER])
    found = _found(options, tokenizer, whole=assets is not None)
    windows = {name: part.windows(options) for name, part in found.parts.items()}
    for name, each in windows.items():
        if not len(each):
            raise InputError(
                f"the {name} part of {options.path} has {len(found.parts[name].tokens)} tokens and "
                "no window; use a longer text"
            )
    first = next(iter(found.parts))
    train, count = found.parts[first].tokens, len(windows[first])
    if assets is not None:
        options = options.with_batches_of(count)
    if count < options.batch_size:
        raise InputError(
            f"a batch of {options.batch_size} windows of {options.context} tokens is larger than "
            f"the {len(train)} training tokens of {options.path}, {count} windows; use a smaller "
            "--data.batch-size or --data.context"
        )
    apart = found.parts[first].windows(options, apart=True)

    def checked(made: Train) -> Train:
        def batch(seed: int, step: int, rows: slice = WHOLE) -> Batch:
            check_unchanged(found.read)
            return made(seed, step, rows)

        return batch

    kept = {TOKENIZER: found.tokenizer.dump()}
    data = Data(
        train=checked(shuffled(train, windows[first], options.batch_size)),
        splits={
            name: in_order(part.tokens, windows[name], options.batch_size)
            for name, part in found.parts.items()
            if name != "train"
        },
        batch_size=options.batch_size,
        steps_per_epoch=count // options.batch_size,
        fingerprint=_digest({"tokens": found.digest, TOKENIZER: kept[TOKENIZER].decode()}),
        assets={**kept, **found.assets},
        examples=len(apart),
        sampled=lambda how: checked(drawn(train, apart, how)),
    )
    look = train[: min(len(train), LOOKED_AT)]
    opening, *_ = found.tokenizer.decode(look[:OPENING]).split(maxsplit=1) or ["\n"]
    return Text(data, found.tokenizer, opening[:OPENING], look)


def _found(options: TextData, tokenizer: Tokenizer | None, *, whole: bool) -> Prepared:
    """Token files that are there, or that are made of a text; all is ``test`` if ``whole``."""
    mask = options.masking()
    paths = token_paths(options.path, whole=whole)
    if not paths:
        return _made(options, tokenizer, mask, whole=whole)
    if options.mask:
        raise InputError(
            f"--data.mask finds nothing in tokens, which {options.path} has; mask the text that "
            "they were made of"
        )
    there = read_token_folder(paths, tokenizer, cache=options.cache)
    parts = {
        name: Part(TokenFile(path, DTYPE), there.facts / documents_name(name))
        for name, path in paths.items()
    }
    digest = _digest(dict(zip(paths, (content.sha256 for content in there.read), strict=True)))
    return Prepared(
        parts, there.tokenizer, digest, there.read, assets={SOURCES: listed(there.read)}
    )


def _made(options: TextData, tokenizer: Tokenizer | None, mask: Mask, *, whole: bool) -> Prepared:
    """The token files of a text, made now or at an earlier start."""
    files = text_files(options.path)
    content = contents(files, cache=options.cache)
    learning = Learning(options.tokenizer, options.vocab_size)
    if tokenizer is not None:
        said: Any = hashlib.sha256(tokenizer.dump()).hexdigest()
    else:
        said = [learning.kind, learning.size if learning.kind == "bpe" else 0]
    fractions = {"validation": options.validation, "test": options.test}
    key = {
        "version": VERSION,
        "source": digest_of(content),
        "formats": [format_of(path) for path in files],
        "field": options.field,
        "tokenizer": said,
        "parts": "test" if whole else fractions,
        "mask": mask.key,
    }
    source = Source(options.path, content, options.field, mask)

    def starts(length: int) -> Starts:
        return {"test": 0} if whole else starts_of(length, **fractions)

    def make(folder: Path) -> None:
        encode(folder, source, starts, tokenizer or learning)

    folder = prepared("tokens", key, make, cache=options.cache)
    made = uncounted(load((folder / TOKENIZER).read_bytes()))
    dtype = dtype_of(made.vocab_size)
    paths = {name: folder / tokens_name(name) for name in ("train", "validation", "test")}
    parts = {
        name: Part(TokenFile(path, dtype), folder / documents_name(name))
        for name, path in paths.items()
        if path.exists()
    }
    counted = folder / MASKED
    known = {SOURCES: listed(content)}
    if counted.exists():
        known[MASKED] = counted.read_bytes()
    return Prepared(parts, made, _digest(recorded(folder)), assets=known)


def _digest(facts: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
