"""Token files that others have prepared, as nanoGPT does: ``train.bin`` and ``val.bin``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bigmodel.data.prepared.cache import prepared
from bigmodel.data.prepared.contents import Content, contents, digest_of
from bigmodel.data.prepared.progress import Progress
from bigmodel.data.texts.shards.encoding import documents_name
from bigmodel.data.texts.shards.token_file import TokenFile, dtype_of
from bigmodel.data.texts.shards.vocabularies import beside, end_of, id_tokenizer
from bigmodel.data.texts.tokenizers import Tokenizer
from bigmodel.experiment import InputError

NAMES = {
    "train": ("train.bin",),
    "validation": ("val.bin", "validation.bin"),
    "test": ("test.bin",),
}
FACTS = "facts.json"
VERSION = 1
CHUNK = 1 << 24
DTYPE = dtype_of(0)
"""uint16, as all that write such files have it."""


class TokenFolder(NamedTuple):
    """Files of parts, how they were when they were read, where documents end, a tokenizer."""

    paths: Mapping[str, Path]
    read: tuple[Content, ...]
    facts: Path
    tokenizer: Tokenizer


def token_paths(path: str, *, whole: bool) -> dict[str, Path]:
    """The token files that ``--data.path`` names by their parts; empty where it names none.

    A folder has a ``train.bin``, which may be named itself. Another file ``*.bin`` is all for
    training, or the test if ``whole``.
    """
    given = Path(path)
    if given.is_file() and given.suffix == ".bin" and (whole or given.name != "train.bin"):
        return {"test" if whole else "train": given}
    folder = given if given.is_dir() else given.parent
    if whole or not (folder / "train.bin").is_file() or given not in (folder, folder / "train.bin"):
        return {}
    inside = {part: [folder / name for name in names] for part, names in NAMES.items()}
    return {part: file for part, files in inside.items() for file in files if file.is_file()}


def read_token_folder(
    paths: Mapping[str, Path], tokenizer: Tokenizer | None, *, cache: str
) -> TokenFolder:
    """Token files as they are, uint16, with the tokenizer given, or beside them, or of bare ids.

    They are read once, to know where documents end and that all ids are ones of the tokenizer.

    Raises:
        InputError: they are not, or a file is no whole number of tokens.
    """
    read = contents(list(paths.values()), cache=cache)
    for content in read:
        if content.size % DTYPE.itemsize:
            raise InputError(f"{content.path} is cut: {content.size} bytes are no uint16 tokens")
    tokenizer = tokenizer or beside(next(iter(paths.values())).parent)
    end = None if tokenizer is None else end_of(tokenizer)

    def make(folder: Path) -> None:
        most = -1
        with Progress("reading tokens", sum(content.size for content in read)) as progress:
            for part, path in paths.items():
                tokens = TokenFile(path, DTYPE)
                with (folder / documents_name(part)).open("wb") as ends:
                    for start in range(0, len(tokens), CHUNK):
                        ids = tokens[start : start + CHUNK]
                        most = max(most, int(ids.max()))
                        if end is not None:
                            found = np.flatnonzero(ids == end) + start + 1
                            ends.write(found.astype("<i8").tobytes())
                        progress.add(DTYPE.itemsize * len(ids))
        (folder / FACTS).write_text(json.dumps({"most": most}), encoding="utf-8")

    key = {"version": VERSION, "source": digest_of(read), "parts": list(paths), "end": end}
    folder = prepared("token-ends", key, make, cache=cache)
    most = json.loads((folder / FACTS).read_bytes())["most"]
    tokenizer = tokenizer or id_tokenizer(most + 1)
    if most >= tokenizer.vocab_size:
        raise InputError(
            f"{next(iter(paths.values())).parent} has the token {most}, and its tokenizer knows "
            f"{tokenizer.vocab_size}; give the tokenizer.json that it was made with"
        )
    return TokenFolder(paths, tuple(read), folder, tokenizer)
