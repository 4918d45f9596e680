"""A text of any size as files of tokens: what is made once, in parallel and bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import Int

from bigmodel.data.personal.masking import NO_MASK, Mask
from bigmodel.data.prepared.contents import Content, check_unchanged
from bigmodel.data.prepared.progress import Progress
from bigmodel.data.prepared.threads import threads
from bigmodel.data.texts.reading import TOKENIZER
from bigmodel.data.texts.shards.division import Starts, Survey, blocks, divided
from bigmodel.data.texts.shards.pieces import END, Piece, pieces
from bigmodel.data.texts.shards.token_file import dtype_of
from bigmodel.data.texts.shards.vocabularies import end_of, ended
from bigmodel.data.texts.tokenizers import Kind, Tokenizer, learn_tokenizer

THREADS = 8
"""As many encode at most; each needs some 50 MB."""
In = TypeVar("In")
Out = TypeVar("Out")


class Source(NamedTuple):
    """Files of text as they were when this run began, the field with the text, and its mask."""

    name: str
    files: Sequence[Content]
    field: str
    mask: Mask = NO_MASK

    @property
    def size(self) -> int:
        """All bytes of the files."""
        return sum(each.size for each in self.files)

    @property
    def paths(self) -> list[Path]:
        """Where they are."""
        return [each.path for each in self.files]

    def pieces(self, mask: Mask, read: Callable[[int], None]) -> Iterator[Piece]:
        """The text in pieces, which a mask counts."""
        for piece in pieces(self.paths, self.field, read):
            yield Piece(mask(piece.text), piece.whole, piece.at)


class Learning(NamedTuple):
    """The kind and size of a tokenizer to learn."""

    kind: Kind
    size: int


def tokens_name(part: str) -> str:
    """The file of a part's tokens in a folder of prepared tokens."""
    return f"{part}.bin"


def documents_name(part: str) -> str:
    """The file of the positions after the documents of a part, little-endian int64."""
    return f"{part}.documents"


def encode(
    folder: Path,
    source: Source,
    starts_of: Callable[[int], Starts],
    tokenizer: Tokenizer | Learning,
) -> None:
    """Writes token files of the parts of a text, and its tokenizer.

    Args:
        folder: where the files are to be.
        source: the text.
        starts_of: where its parts begin, given its length in characters.
        tokenizer: the tokenizer, or what to learn from a sample of the part that comes first, with
            a token that ends documents.

    Raises:
        InputError: a file cannot be read, or changes meanwhile, or an option is out of range.
        OSError: the disk is full.
    """
    survey = Survey()
    known = isinstance(tokenizer, Tokenizer)
    with Progress(f"reading {source.name}", source.size) as progress:
        for piece in source.pieces(source.mask.again(), progress.add):
            survey.add(piece.text, characters=not known)
    starts = starts_of(survey.length)
    if isinstance(tokenizer, Learning):
        tokenizer = ended(_learned(tokenizer, survey, starts))
    (folder / TOKENIZER).write_bytes(tokenizer.dump())
    workers, mask = threads(THREADS), source.mask.again()
    counts = dict.fromkeys(starts, 0)
    with (
        Progress(f"preparing {source.name}", source.size) as progress,
        ExitStack() as opened,
        ThreadPoolExecutor(workers) as pool,
    ):
        files = {
            part: [
                opened.enter_context((folder / name(part)).open("wb"))
                for name in (tokens_name, documents_name)
            ]
            for part in starts
        }
        texts = blocks(divided(source.pieces(mask, progress.add), starts))
        for part, tokens, ends in in_order(pool, _encoder(tokenizer), texts, ahead=2 * workers):
            for file, array in zip(files[part], (tokens, ends + counts[part]), strict=True):
                file.write(array.tobytes())
            counts[part] += len(tokens)
    for name, content in mask.with_counts({}).items():
        (folder / name).write_bytes(content)
    check_unchanged(source.files)


def _learned(what: Learning, survey: Survey, starts: Starts) -> Tokenizer:
    later = [start for start in starts.values() if start > 0]
    train = survey.sample(min([survey.length, *later]))
    # Characters are those of all parts. The end token is one of a BPE's size.
    others = [survey.characters]
    return learn_tokenizer(what.kind, train=train, others=others, size=what.size - 1)


def _encoder(
    tokenizer: Tokenizer,
) -> Callable[[tuple[str, str]], tuple[str, np.ndarray, Int[np.ndarray, "documents"]]]:
    """What encodes a text of a part: that part, its tokens, and where documents end in them."""
    dtype, end = dtype_of(tokenizer.vocab_size), end_of(tokenizer)
    # Documents of a model that has no end token are apart from each other as paragraphs are.
    between = tokenizer.encode("\n\n") if end is None else np.array([end], np.int32)

    def encode(text: tuple[str, str]) -> tuple[str, np.ndarray, Int[np.ndarray, "documents"]]:
        part, (first, *others) = text[0], text[1].split(END)
        found = [tokenizer.encode(first)]
        for other in others:
            found += [between, tokenizer.encode(other)]
        ends = np.cumsum([len(each) for each in found], dtype="<i8")[1::2]
        return part, np.concatenate(found).astype(dtype), ends

    return encode


def in_order(
    pool: ThreadPoolExecutor, function: Callable[[In], Out], values: Iterable[In], *, ahead: int
) -> Iterator[Out]:
    """The results of a function in the order of its values, ``ahead`` of them under way."""
    under_way: deque[Future[Out]] = deque()
    try:
        for value in values:
            under_way.append(pool.submit(function, value))
            if len(under_way) > ahead:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        for future in under_way:
            future.cancel()
