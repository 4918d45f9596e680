"""Sentences in CoNLL's format: a word and its label on a line, a blank line after a sentence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bigmodel.data.personal.masking import NO_MASK, Mask
from bigmodel.data.texts.text_file import normalized, read_lines
from bigmodel.experiment import InputError

START = "-DOCSTART-"
"""The word of a line between two documents."""


class Sentence(NamedTuple):
    """The words, and the label of each."""

    words: tuple[str, ...]
    labels: tuple[str, ...]


def read_conll(path: Path, *, word: int, label: int | None, mask: Mask = NO_MASK) -> list[Sentence]:
    """The sentences of a file whose columns spaces and tabs separate.

    Args:
        path: The file.
        word: The column of the words, counted from 1.
        label: The column of the labels; None is the last one of the first word's line.
        mask: Replaces the words that are personal data.

    Raises:
        InputError: The file cannot be read, a line has too few columns or no word, or no line has.
    """
    sentences: list[Sentence] = []
    found: list[tuple[str, str]] = []
    for number, line in enumerate([*read_lines(path), ""], start=1):
        # Other blanks, as those that part the thousands of a number, are within a word.
        fields = re.split(r"[ \t]+", line.strip(" \t")) if line.strip() else []
        if not found and is_comment(fields):
            continue
        if not fields or fields[0] == START:
            if found:
                words, labels = zip(*found, strict=True)
                sentences.append(Sentence(mask.words(words), labels))
            found = []
            continue
        label = len(fields) if label is None else label
        if len(fields) < max(word, label) or label == word:
            raise InputError(
                f"{path}, line {number} has {len(fields)} column(s), and a word and its label are "
                "needed: put a blank between them, or choose columns by --data.word and "
                "--data.label"
            )
        if not fields[word - 1].strip():
            raise InputError(f"{path}, line {number} has no word in column {word}; remove it")
        found.append((normalized(fields[word - 1]), normalized(fields[label - 1])))
    if not sentences:
        raise InputError(f"{path} has no word; give lines of a word, a blank and its label")
    return sentences


def is_comment(fields: Sequence[str]) -> bool:
    """Whether a line before a sentence is of the kind ``# id 12`` or ``# text = Ada wrote.``."""
    return fields[:1] == ["#"] and (
        "=" in fields or fields[1:2] in (["id"], ["newdoc"], ["newpar"])
    )
