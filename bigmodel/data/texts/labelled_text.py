"""Labelled texts: lines of a file, or the bundled paragraphs on eight topics."""

from __future__ import annotations

import pydoc_data.topics
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from bigmodel.data.labelled import (
    Example,
    LabelledData,
    all_to_test,
    divide,
    label_numbers,
    lines_of,
)
from bigmodel.data.parts import data_of, names_of_numbers
from bigmodel.data.personal.masking import NO_MASK, Mask, Personal
from bigmodel.data.split import check_positive
from bigmodel.data.texts.reading import TOKENIZER, TextReader, text_reader
from bigmodel.data.texts.text_file import normalized, read_lines
from bigmodel.data.texts.tokenizers import Tokenizer, cut, learn_tokenizer, padded, parted
from bigmodel.experiment import Assets, Data, InputError
from bigmodel.predictor import Beginning

# None of these is a part of another one.
TOPICS = (
    "compound",
    "debugger",
    "execmodel",
    "formatstrings",
    "import",
    "specialnames",
    "string-methods",
    "typesmapping",
)
SHORTEST = 80


@dataclass(frozen=True)
class LabelledTextData(LabelledData, Personal):
    """Which texts, how they are divided, and what a token is."""

    name: Literal["text", "topics"] = "text"
    """text: the file in path; topics: 724 paragraphs of Python's help on eight topics, bundled"""
    path: str = ""
    """a UTF-8 file of lines LABEL<tab>TEXT, which may be gzipped; used whenever given. Tabs in the
    text are between its parts, such as two sentences"""
    tokenizer: Literal["char", "byte", "bpe", "word"] = "word"
    """what a token is; a BPE and words are learned from the training part"""
    vocab_size: int = 8192
    """size of the vocabulary of a BPE or of words; characters and bytes have their own"""
    length: int = 128
    """maximum number of tokens of a text"""
    longer: Literal["cut", "refuse"] = "cut"
    """whether a longer text is cut to its beginning, or is an error"""
    batch_size: int = 64
    """texts in a batch"""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "batch_size", "length")


class LabelledText(NamedTuple):
    """Batches of texts, and what encodes them: the labels in their order, and the tokenizer."""

    data: Data
    reader: TextReader


def load_labelled_text(
    options: LabelledTextData, tokenizer: Tokenizer | None = None, assets: Assets | None = None
) -> LabelledText:
    """Read the texts, divide them, and make them into batches of tokens.

    Batches are ``tokens`` int32 ``[batch, time]``, ``length`` int32 ``[batch]``, the number of
    tokens that are not padding, ``label`` int32 ``[batch]`` and ``weight`` float32 ``[batch]``.
    Padding has the id 0. ``time`` is the length of the longest text, at most
    ``options.length``. The splits are ``validation`` and ``test``, each absent where it is
    empty.

    Args:
        options: The file, the split and the tokenizer.
        tokenizer: One to use instead of the options', such as that of a trained model.
        assets: Files of a trained run: all texts are then the split ``test`` for it.

    Raises:
        InputError: A file cannot be read, a line of it is not a label, a tab and a text, the
            test file has a label that the training file lacks, or an option is out of range.
    """
    mask = options.masking()
    if assets is not None:
        reader = text_reader(assets)
        lines = _read(options, mask)
        parts = all_to_test(lines, reader.names, source=options.path or options.name)
        encoded = _encode(parts, reader.tokenizer, replace(options, length=reader.time))
        options = replace(options, batch_size=min(options.batch_size, len(lines)))
    else:
        parts, names = divide_texts(options, mask)
        if tokenizer is None:
            texts = {name: [line.content for line in lines] for name, lines in parts.items()}
            train = texts.pop("train")
            others = [text for found in texts.values() for text in found]
            tokenizer = learn_tokenizer(
                options.tokenizer, train=train, others=others, size=options.vocab_size
            )
        encoded = _encode(parts, tokenizer, options)
        longest = max(len(ids) for found in encoded.values() for ids in found)
        reader = TextReader(names, longest, tokenizer)
    arrays = {
        name: {
            "tokens": padded(encoded[name], reader.time),
            "length": np.array([len(ids) for ids in encoded[name]], np.int32),
            "label": label_numbers(lines, reader.names),
        }
        for name, lines in parts.items()
    }
    named = names_of_numbers(reader.names, own=bool(options.path))
    deciding = {TOKENIZER: reader.tokenizer.dump(), **named}
    kept = mask.with_counts(reader.dump())
    data = data_of(arrays, options.batch_size, deciding=deciding, assets=kept)
    inputs = {part: [Beginning(line.content) for line in parts[part]] for part in data.splits}
    column = lines_of(parts, source=options.path or options.name)
    return LabelledText(data._replace(inputs=inputs, column=column), reader)


def divide_texts(
    options: LabelledTextData, mask: Mask = NO_MASK
) -> tuple[dict[str, list[Example[str]]], tuple[str, ...]]:
    """The lines of ``train``, ``validation`` and ``test``, and the labels in their order.

    Raises:
        InputError: As for :func:`load_labelled_text`.
    """
    test = read_labelled_lines(Path(options.test_path), mask) if options.test_path else None
    return divide(options, _read(options, mask), test, source=options.path or options.name)


def _read(options: LabelledTextData, mask: Mask) -> list[Example[str]]:
    if options.path:
        return read_labelled_lines(Path(options.path), mask)
    if options.name == "text":
        raise InputError("texts with labels need --data.path, a file of lines LABEL<tab>TEXT")
    return [each._replace(content=mask(each.content)) for each in labelled_paragraphs()]


def read_labelled_lines(path: Path, mask: Mask = NO_MASK) -> list[Example[str]]:
    """The labels and texts of a file; a text goes from the first tab to the line's end.

    Blank lines do not count, nor do blanks around a label.

    Raises:
        InputError: The file cannot be read, or a line, which is named, cannot be used.
    """
    found = []
    for number, line in enumerate(map(mask, read_lines(path)), start=1):
        if not line.strip():
            continue
        label, tab, text = line.partition("\t")
        label = normalized(label)
        for missing, what in (
            (not tab, "has no tab; write LABEL<tab>TEXT"),
            (not label, "has no label before its tab"),
            (not text.strip(), "has no text after its tab"),
        ):
            if missing:
                raise InputError(f"{path}, line {number} {what}")
        found.append(Example(label, text, number))
    return found


def labelled_paragraphs() -> list[Example[str]]:
    """Paragraphs of Python's help, each once and on one line, with their topics as labels."""
    topic_of: dict[str, str] = {}
    for topic in TOPICS:
        for part in re.split(r"\n\s*\n", pydoc_data.topics.topics[topic]):
            paragraph = " ".join(part.split())
            if len(paragraph) >= SHORTEST:
                topic_of.setdefault(paragraph, topic)
    return [
        Example(topic, paragraph, number)
        for number, (paragraph, topic) in enumerate(topic_of.items(), start=1)
    ]


def _encode(
    parts: dict[str, list[Example[str]]], tokenizer: Tokenizer, options: LabelledTextData
) -> dict[str, list[np.ndarray]]:
    """The ids of the texts of each part."""
    encoded = {
        name: [parted(line.content, tokenizer) for line in lines] for name, lines in parts.items()
    }
    for name, lines in parts.items():
        for line, ids in zip(lines, encoded[name], strict=True):
            if options.longer == "refuse" and len(ids) > options.length:
                path = options.test_path if name == "test" and options.test_path else options.path
                raise InputError(
                    f"{path}, line {line.line} has {len(ids)} tokens, more than "
                    f"--data.length {options.length}; use a larger one, or --data.longer cut"
                )
    return {
        name: [cut(ids, options.length, tokenizer) for ids in found]
        for name, found in encoded.items()
    }
