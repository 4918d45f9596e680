"""Texts with labels from a file with a label, a tab and a text on each line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from bigmodel.data.batches import Arrays
from bigmodel.data.folds import Folds, hold_out_test
from bigmodel.data.parts import data_of
from bigmodel.data.split import Split, check_held_out, stratified
from bigmodel.data.texts.labelled_topics import labelled_paragraphs
from bigmodel.data.texts.text_file import read_lines
from bigmodel.data.texts.tokenizers import (
    Tokenizer,
    bpe_tokenizer,
    byte_tokenizer,
    char_tokenizer,
    word_tokenizer,
)
from bigmodel.experiment import Data, InputError


@dataclass(frozen=True)
class LabelledTextData(Folds):
    """Which texts, how they are divided, and what a token is."""

    name: Literal["text", "topics"] = "text"
    """text: the file in path; topics: 724 paragraphs of Python's help on eight topics, bundled"""
    path: str = ""
    """a UTF-8 file of lines LABEL<tab>TEXT, which may be gzipped (.gz); used whenever given"""
    test_path: str = ""
    """another such file for the test, in the place of a fraction of the first"""
    tokenizer: Literal["char", "byte", "bpe", "word"] = "word"
    """what a token is; a BPE and words are learned from the training part"""
    vocab_size: int = 8192
    """size of the vocabulary of a BPE or of words; characters and bytes have their own"""
    length: int = 128
    """most tokens of a text"""
    longer: Literal["cut", "refuse"] = "cut"
    """what is done with a longer text: only its beginning is read, or it is an error"""
    batch_size: int = 64
    """texts in a batch"""
    validation: float = 0.1
    """fraction of the training texts of each label that is held out to choose by"""
    test: float = 0.2
    """fraction of each label held out as test set, where there is no file for it"""
    split_seed: int = 0
    """decides which texts are held out, apart from the seed of the run"""

    def __post_init__(self) -> None:
        """Raises InputError for sizes and fractions that leave nothing to train on."""
        for name, value in (("batch-size", self.batch_size), ("length", self.length)):
            if value < 1:
                raise InputError(f"--data.{name} {value} is too small; use 1 or more")
        check_held_out(self)


class LabelledText(NamedTuple):
    """Batches of texts, the tokenizer that reads their ids, and the labels in their order."""

    data: Data
    tokenizer: Tokenizer
    classes: int
    names: tuple[str, ...]


class LabelledLine(NamedTuple):
    """One line of a file and its number, counted from 1."""

    label: str
    text: str
    number: int


def load_labelled_text(
    options: LabelledTextData, tokenizer: Tokenizer | None = None
) -> LabelledText:
    """Read the texts, divide them, and make them into batches of tokens.

    Batches are ``tokens`` int32 ``[batch, time]``, ``length`` int32 ``[batch]``, the number of
    tokens that are not padding, ``label`` int32 ``[batch]`` and ``weight`` float32 ``[batch]``.
    Padding has the id 0. ``time`` is the length of the longest text, at most
    ``options.length``. The splits are ``validation`` and ``test``, each absent where it is
    empty.

    Args:
        options: The file, the split and the tokenizer.
        tokenizer: One to use in the place of the options', such as that of a trained model.

    Raises:
        InputError: A file cannot be read, a line of it is not a label, a tab and a text, the
            test file has a label that the training file lacks, or an option is out of range.
    """
    parts = divide_texts(options)
    train = parts["train"]
    names = _names(train)
    if tokenizer is None:
        tokenizer = _tokenizer(options, parts)
    arrays = _arrays(parts, names, tokenizer, options)
    assets = {"tokenizer.json": tokenizer.dump()}
    data = data_of(arrays, options.batch_size, deciding=assets, assets=assets)
    return LabelledText(data, tokenizer, len(names), names)


def divide_texts(options: LabelledTextData) -> dict[str, list[LabelledLine]]:
    """The lines of ``train``, ``validation`` and ``test``; each label is in the first.

    Raises:
        InputError: As for :func:`load_labelled_text`.
    """
    lines = _read(options)
    names = _names(lines)
    if len(names) < 2:
        raise InputError(f"{options.path} has the label {names[0]!r} alone; it needs two or more")
    if options.test_path:
        if options.folds:
            raise InputError("--data.folds needs no test file; leave --data.test-path out")
        train, test = lines, read_labelled_lines(Path(options.test_path))
        _check_labels(test, names, options)
    else:
        labels, seed = _numbers(lines, names), options.split_seed
        train, test = _take(
            lines, hold_out_test(options, labels, options.test, names=names, seed=seed)
        )
    labels, seed = _numbers(train, names), options.split_seed + 1
    train, validation = _take(train, stratified(labels, options.validation, names=names, seed=seed))
    return {"train": train, "validation": validation, "test": test}


def read_labelled_lines(path: Path) -> list[LabelledLine]:
    """The labels and texts of a file; a text goes from the first tab to the line's end.

    Raises:
        InputError: The file cannot be read, or a line, which is named, cannot be used.
    """
    found = []
    for number, line in enumerate(read_lines(path), start=1):
        label, tab, text = line.partition("\t")
        for missing, what in (
            (not tab, "has no tab; write LABEL<tab>TEXT"),
            (not label.strip(), "has no label before its tab"),
            (not text.strip(), "has no text after its tab"),
        ):
            if missing:
                raise InputError(f"{path}, line {number} {what}")
        found.append(LabelledLine(label, text, number))
    return found


def _read(options: LabelledTextData) -> list[LabelledLine]:
    if options.path:
        return read_labelled_lines(Path(options.path))
    if options.name == "text":
        raise InputError("texts with labels need --data.path, a file of lines LABEL<tab>TEXT")
    paragraphs = enumerate(labelled_paragraphs(), start=1)
    return [LabelledLine(topic, text, number) for number, (topic, text) in paragraphs]


def _check_labels(
    test: list[LabelledLine], names: tuple[str, ...], options: LabelledTextData
) -> None:
    for line in test:
        if line.label not in names:
            raise InputError(
                f"{options.test_path}, line {line.number} has the label {line.label!r}, which "
                f"{_source(options)} has not: it was never trained on; add texts or remove the line"
            )


def _names(lines: Sequence[LabelledLine]) -> tuple[str, ...]:
    return tuple(sorted({line.label for line in lines}))


def _source(options: LabelledTextData) -> str:
    return options.path or options.name


def _numbers(lines: list[LabelledLine], names: tuple[str, ...]) -> np.ndarray:
    number = {name: index for index, name in enumerate(names)}
    return np.array([number[line.label] for line in lines], np.int32)


def _take(lines: list[LabelledLine], split: Split) -> tuple[list[LabelledLine], list[LabelledLine]]:
    return [lines[row] for row in split.kept], [lines[row] for row in split.held]


def _tokenizer(options: LabelledTextData, parts: dict[str, list[LabelledLine]]) -> Tokenizer:
    train = [line.text for line in parts["train"]]
    match options.tokenizer:
        case "char":
            return char_tokenizer("".join(line.text for lines in parts.values() for line in lines))
        case "byte":
            return byte_tokenizer()
        case "bpe":
            return bpe_tokenizer("\n".join(train), vocab_size=options.vocab_size)
        case "word":
            return word_tokenizer(train, vocab_size=options.vocab_size)


def _arrays(
    parts: dict[str, list[LabelledLine]],
    names: tuple[str, ...],
    tokenizer: Tokenizer,
    options: LabelledTextData,
) -> dict[str, Arrays]:
    encoded = {
        name: [tokenizer.encode(line.text) for line in lines] for name, lines in parts.items()
    }
    for name, lines in parts.items():
        for line, ids in zip(lines, encoded[name], strict=True):
            if options.longer == "refuse" and len(ids) > options.length:
                path = (options.test_path if name == "test" else "") or _source(options)
                raise InputError(
                    f"{path}, line {line.number} has {len(ids)} tokens, more than "
                    f"--data.length {options.length}; use a larger one, or --data.longer cut"
                )
    longest = max(len(ids) for found in encoded.values() for ids in found)
    time = min(longest, options.length)
    return {
        name: {
            "tokens": _padded(encoded[name], time),
            "length": np.array([min(len(ids), time) for ids in encoded[name]], np.int32),
            "label": _numbers(lines, names),
        }
        for name, lines in parts.items()
    }


def _padded(encoded: Sequence[np.ndarray], time: int) -> np.ndarray:
    tokens = np.zeros((len(encoded), time), np.int32)
    for row, ids in zip(tokens, encoded, strict=True):
        row[: len(ids)] = ids[:time]
    return tokens
