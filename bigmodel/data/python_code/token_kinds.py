"""What kinds of tokens the standard library's source has, by Python's own tokenizer."""

from __future__ import annotations

import io
import keyword
import re
import sysconfig
import tokenize
from collections.abc import Iterator
from pathlib import Path

from bigmodel.data.tagging.conll import Sentence
from bigmodel.experiment import InputError

MODULES = (
    "argparse", "bdb", "calendar", "cmd", "configparser", "copy", "csv", "dataclasses", "difflib",
    "fractions", "functools", "heapq", "pprint", "random", "shutil", "statistics", "textwrap",
    "tokenize", "traceback", "uuid",
)  # fmt: skip
"""Of every Python from 3.11 to 3.13, a file each."""
WORD = re.compile(r"\w+|[^\w\s]")
KINDS = {tokenize.NUMBER: "number", tokenize.STRING: "string", tokenize.COMMENT: "comment"}
# Since Python 3.12 the parts of a formatted string are tokens of their own.
BEGINS, ENDS = (getattr(tokenize, f"FSTRING_{name}", None) for name in ("START", "END"))


def labelled_source() -> list[Sentence]:
    """The logical lines of some modules, each once: words, and the kind of token they are of.

    A word is a run of letters, digits and underscores, or any other mark. Comments, strings,
    numbers, keywords and names are entities, ``B-string`` and ``I-string`` and so on, and
    operators are ``O``. Comments before a line are part of it.

    Raises:
        InputError: This Python has no source of its standard library.
    """
    folder = Path(sysconfig.get_path("stdlib"))
    found: dict[tuple[str, ...], Sentence] = {}
    for name in MODULES:
        path = folder / f"{name}.py"
        if not path.is_file():
            raise InputError(f"this Python has no {path}; give a file of your own by --data.path")
        for sentence in sentences_of(path.read_text(encoding="utf-8")):
            found.setdefault(sentence.words, sentence)
    return list(found.values())


def sentences_of(source: str) -> Iterator[Sentence]:
    """The logical lines of a program."""
    words: list[str] = []
    labels: list[str] = []
    depth = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        inside = depth > 0
        depth += (token.type == BEGINS) - (token.type == ENDS)
        kind = "string" if inside or depth else kind_of(token)
        of_token = WORD.findall(token.string)
        words += of_token
        first = "I" if inside else "B"
        labels += [f"{'I' if n else first}-{kind}" if kind else "O" for n in range(len(of_token))]
        if token.type in (tokenize.NEWLINE, tokenize.ENDMARKER) and words:
            yield Sentence(tuple(words), tuple(labels))
            words, labels = [], []


def kind_of(token: tokenize.TokenInfo) -> str:
    """The kind of a token; of operators, and of what is no word, it is empty."""
    if token.type == tokenize.NAME:
        return "keyword" if keyword.iskeyword(token.string) else "name"
    return KINDS.get(token.type, "")
