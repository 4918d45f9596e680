"""Sentences whose words have labels: of a file, or the source of the standard library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from bigmodel.data.parts import data_of
from bigmodel.data.personal.masking import NO_MASK, Mask, Personal
from bigmodel.data.python_code.token_kinds import labelled_source
from bigmodel.data.split import Folds, check_held_out, check_positive, split_rows
from bigmodel.data.tagging.conll import Sentence, read_conll
from bigmodel.data.tagging.reading import TagReader, tag_reader, word_ids
from bigmodel.data.texts.reading import TOKENIZER
from bigmodel.data.texts.tokenizers import Tokenizer, learn_tokenizer, padded
from bigmodel.experiment import Assets, Data, InputError

OUTSIDE = "O"
"""The label of a word that is of no entity."""


@dataclass(frozen=True)
class TaggedData(Folds, Personal):
    """Which sentences, how they are divided, and what a token is."""

    name: Literal["python", "conll"] = "python"
    """python: the kinds of tokens in the standard library's source; conll: the file in path"""
    path: str = ""
    """a UTF-8 file, perhaps gzipped, of lines WORD LABEL, a blank one after each sentence; used
    whenever given"""
    test_path: str = ""
    """another such file to test on"""
    word: int = 1
    """path: the column of the words, counted from 1"""
    label: int | None = None
    """path: the column of the labels; by default the last"""
    tokenizer: Literal["char", "byte", "bpe", "word"] = "bpe"
    """what a token is; a BPE and words are learned from the training part"""
    vocab_size: int = 2048
    """size of the vocabulary of a BPE or of words; characters and bytes have their own"""
    length: int = 128
    """maximum number of tokens of a sentence; a longer one is divided"""
    batch_size: int = 32
    """sentences in a batch"""
    validation: float = 0.1
    """fraction of the training sentences to validate on; 0 for none"""
    test: float = 0.1
    """fraction of the sentences to test on, where test_path has none; 0 for none"""
    split_seed: int = 0
    """decides which sentences are held out, apart from the seed of the run"""

    def __post_init__(self) -> None:
        check_positive(self, "word", "label", "length", "batch_size")
        check_held_out(self)
        if self.test_path and self.folds:
            raise InputError("--data.folds makes its own test sets; leave --data.test-path out")


class Tagged(NamedTuple):
    """Batches of sentences, and what encodes them."""

    data: Data
    reader: TagReader


def load_tagged(
    options: TaggedData, tokenizer: Tokenizer | None = None, assets: Assets | None = None
) -> Tagged:
    """Read the sentences, divide them, and make them into batches.

    Batches have the arrays of :meth:`~bigmodel.data.tagging.reading.TagReader.encode`,
    ``labels`` int32 ``[batch, words]``, and ``weight`` float32 ``[batch]``. A sentence of more than
    ``options.length`` tokens becomes several, so that every word is in one. The splits are
    ``validation`` and ``test``, each absent where it is empty; the inputs are lists of words.

    Args:
        options: The file, the split and the tokenizer.
        tokenizer: One to use instead of the options', such as that of a trained model.
        assets: Files of a trained run: all sentences are then the split ``test`` for it.

    Raises:
        InputError: A file cannot be read, an option is out of range, or a trained run does not
            know a label.
    """
    mask = options.masking()
    if assets is None:
        parts = divide(options, mask)
        if tokenizer is None:
            # Words are read after a blank, as they are encoded.
            texts = {
                name: [" " + " ".join(each.words) for each in found]
                for name, found in parts.items()
            }
            train = texts.pop("train")
            others = [text for found in texts.values() for text in found]
            tokenizer = learn_tokenizer(
                options.tokenizer, train=train, others=others, size=options.vocab_size
            )
        known = {label for found in parts.values() for each in found for label in each.labels}
        labels = tuple(sorted(known, key=lambda label: (label != OUTSIDE, label)))
        reader = TagReader(labels, options.length, options.length, tokenizer)
    else:
        reader = tag_reader(assets)
        parts = dict.fromkeys(("train", "test"), read(options, mask))
    encoded = {name: _encode(found, reader) for name, found in parts.items()}
    if assets is None:
        most = max(len(each.words) for found in encoded.values() for each in found)
        time = max(sum(map(len, each.ids)) for found in encoded.values() for each in found)
        time = min(time + len(reader.end), options.length)
        reader = reader._replace(time=time, most=most)
    number = {label: index for index, label in enumerate(reader.labels)}
    arrays = {}
    for name, found in encoded.items():
        if unknown := {label for each in found for label in each.labels} - set(number):
            raise InputError(
                f"{options.path or options.name} has the label {min(unknown)!r}, which the run "
                "has not: it was never trained on; remove its words"
            )
        labelled = [np.array([number[label] for label in each.labels]) for each in found]
        arrays[name] = {
            **reader.arrays([each.ids for each in found]),
            "labels": padded(labelled, reader.most),
        }
    size = options.batch_size if assets is None else min(options.batch_size, len(encoded["test"]))
    deciding = {TOKENIZER: reader.tokenizer.dump(), "labels": "\n".join(reader.labels).encode()}
    data = data_of(arrays, size, deciding=deciding, assets=mask.with_counts(reader.dump()))
    inputs = {part: [list(each.words) for each in encoded[part]] for part in data.splits}
    return Tagged(data._replace(inputs=inputs), reader)


def divide(options: TaggedData, mask: Mask = NO_MASK) -> dict[str, list[Sentence]]:
    """The sentences of ``train``, ``validation`` and ``test``.

    Raises:
        InputError: As for :func:`load_tagged`.
    """
    sentences = read(options, mask)
    if len(sentences) < 3:
        raise InputError(
            f"{options.path} has {len(sentences)} sentence(s), and three are the fewest to divide; "
            "put a blank line after each"
        )
    split = split_rows(options, len(sentences), given=("test",) if options.test_path else ())
    parts = {part: [sentences[row] for row in rows] for part, rows in split.items()}
    if not options.test_path:
        return parts
    test = read_conll(Path(options.test_path), word=options.word, label=options.label, mask=mask)
    return parts | {"test": test}


def read(options: TaggedData, mask: Mask = NO_MASK) -> list[Sentence]:
    """The sentences of the options' file, or those that every Python brings."""
    if options.path:
        return read_conll(Path(options.path), word=options.word, label=options.label, mask=mask)
    if options.name == "conll":
        raise InputError("--data.name conll needs --data.path, a file of lines WORD LABEL")
    return [each._replace(words=mask.words(each.words)) for each in labelled_source()]


class _Encoded(NamedTuple):
    """A sentence or a piece of one, with the tokens of its words."""

    words: Sequence[str]
    labels: Sequence[str]
    ids: Sequence[np.ndarray]


def _encode(sentences: Sequence[Sentence], reader: TagReader) -> list[_Encoded]:
    """The sentences in pieces that the reader's run can read."""
    flat = word_ids([word for each in sentences for word in each.words], reader.tokenizer)
    found, start = [], 0
    for words, labels in sentences:
        ids = flat[start : start + len(words)]
        start += len(words)
        found += [
            _Encoded(words[at.start : at.stop], labels[at.start : at.stop], ids[at.start : at.stop])
            for at in reader.pieces(ids)
        ]
    return found
