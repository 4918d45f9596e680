"""Labelled texts: lines of a file, or the bundled paragraphs on eight topics."""

from __future__ import annotations

import pydoc_data.topics
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from bigmodel.data.batches import Arrays
from bigmodel.data.labelled import Example, LabelledData, divide, label_numbers
from bigmodel.data.parts import data_of
from bigmodel.data.split import check_positive
from bigmodel.data.texts.text_file import normalized, read_lines
from bigmodel.data.texts.tokenizers import Tokenizer, learn_tokenizer, padded
from bigmodel.experiment import Data, InputError

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
class LabelledTextData(LabelledData):
    """Which texts, how they are divided, and what a token is."""

    name: Literal["text", "topics"] = "text"
    """text: the file in path; topics: 724 paragraphs of Python's help on eight topics, bundled"""
    path: str = ""
    """a UTF-8 file of lines LABEL<tab>TEXT, which may be gzipped; used whenever given"""
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
    """Batches of texts, the tokenizer that reads their ids, and the labels in their order."""

    data: Data
    tokenizer: Tokenizer
    classes: int
    names: tuple[str, ...]


def load_labelled_text(
    options: LabelledTextData, tokenizer: Tokenizer | None = None
) -> LabelledText:
    """Read the texts, divide them, and make them into batches of tokens.

    Batches are ``tokens`` int32 ``[batch, time]``, ``length`` int32 ``[batch]``, the number of
    tokens that are not padding, ``label`` int32 ``[batch]`` and ``weight`` float32 ``[batch]``.
    Padding has the id 0. ``time`` is the length of the longest text, at most
    ``options.length``. The splits are ``validation`` and ``test``, each absent where it is
    empty.

    ``tokenizer`` is used instead of the options', such as that of a trained model.

    Raises:
        InputError: A file cannot be read, a line of it is not a label, a tab and a text, the
            test file has a label that the training file lacks, or an option is out of range.
    """
    parts, names = divide_texts(options)
    if tokenizer is None:
        texts = {name: [line.content for line in lines] for name, lines in parts.items()}
        train = texts.pop("train")
        others = [text for found in texts.values() for text in found]
        tokenizer = learn_tokenizer(
            options.tokenizer, train=train, others=others, size=options.vocab_size
        )
    arrays = _arrays(parts, names, tokenizer, options)
    assets = {"tokenizer.json": tokenizer.dump()}
    data = data_of(arrays, options.batch_size, deciding=assets, assets=assets)
    return LabelledText(data, tokenizer, len(names), names)


def divide_texts(
    options: LabelledTextData,
) -> tuple[dict[str, list[Example[str]]], tuple[str, ...]]:
    """The lines of ``train``, ``validation`` and ``test``, and the labels in their order.

    Raises:
        InputError: As for :func:`load_labelled_text`.
    """
    if options.path:
        lines = read_labelled_lines(Path(options.path))
    elif options.name == "text":
        raise InputError("texts with labels need --data.path, a file of lines LABEL<tab>TEXT")
    else:
        lines = labelled_paragraphs()
    test = read_labelled_lines(Path(options.test_path)) if options.test_path else None
    return divide(options, lines, test, source=options.path or options.name)


def read_labelled_lines(path: Path) -> list[Example[str]]:
    """The labels and texts of a file; a text goes from the first tab to the line's end.

    Blank lines do not count, nor do blanks around a label.

    Raises:
        InputError: The file cannot be read, or a line, which is named, cannot be used.
    """
    found = []
    for number, line in enumerate(read_lines(path), start=1):
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


def _arrays(
    parts: dict[str, list[Example[str]]],
    names: tuple[str, ...],
    tokenizer: Tokenizer,
    options: LabelledTextData,
) -> dict[str, Arrays]:
    encoded = {
        name: [tokenizer.encode(line.content) for line in lines] for name, lines in parts.items()
    }
    for name, lines in parts.items():
        for line, ids in zip(lines, encoded[name], strict=True):
            if options.longer == "refuse" and len(ids) > options.length:
                path = options.test_path if name == "test" and options.test_path else options.path
                raise InputError(
                    f"{path}, line {line.line} has {len(ids)} tokens, more than "
                    f"--data.length {options.length}; use a larger one, or --data.longer cut"
                )
    longest = max(len(ids) for found in encoded.values() for ids in found)
    time = min(longest, options.length)
    return {
        name: {
            "tokens": padded(encoded[name], time),
            "length": np.array([min(len(ids), time) for ids in encoded[name]], np.int32),
            "label": label_numbers(lines, names),
        }
        for name, lines in parts.items()
    }
