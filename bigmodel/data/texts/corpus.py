"""The text that a language model or word vectors are trained on, and its parts."""

from __future__ import annotations

import pydoc_data.topics
from pathlib import Path

from bigmodel.data.texts.text_file import read_text
from bigmodel.experiment import InputError


def read_corpus(name: str, path: str) -> tuple[str, str]:
    """What to call a text in messages, and the text: the file in ``path``, or Python's help.

    Raises:
        InputError: The file cannot be read as UTF-8 text, or ``name`` asks for one.
    """
    if path:
        return path, read_text(Path(path))
    if name == "text":
        raise InputError("--data.name text needs a file; give it as --data.path FILE")
    topics = pydoc_data.topics.topics
    return f"the text {name!r}", "\n\n".join(topics[topic] for topic in sorted(topics))


def split_corpus(text: str, *, validation: float, test: float) -> dict[str, str]:
    """Splits by characters, so that every tokenizer is evaluated on the same text.

    Training comes first, then validation, then test; a part of fraction 0 is left out.
    """
    test_start = len(text) - round(len(text) * test)
    validation_start = test_start - round(len(text) * validation)
    parts = {"train": text[:validation_start]}
    if validation:
        parts["validation"] = text[validation_start:test_start]
    if test:
        parts["test"] = text[test_start:]
    return parts
