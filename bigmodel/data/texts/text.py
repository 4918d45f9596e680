"""A text as batches of token windows, for language models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Int

from bigmodel.data.batches import Batches
from bigmodel.data.parts import fingerprint
from bigmodel.data.personal.masking import Personal
from bigmodel.data.poisson import Poisson, poisson
from bigmodel.data.split import check_held_out, check_positive
from bigmodel.data.texts.corpus import read_corpus, split_corpus
from bigmodel.data.texts.reading import TOKENIZER
from bigmodel.data.texts.shards.paths import is_prepared
from bigmodel.data.texts.tokenizers import Tokenizer, learn_tokenizer, load
from bigmodel.experiment import WHOLE, Assets, Batch, Data, InputError, Train

Tokens = Int[np.ndarray, "tokens"]

# Numbers the independent random streams of one seed.
CROP_STREAM = 0

OPENING = 8


@dataclass(frozen=True)
class TextData(Personal):
    """A text, split by characters: training first, then validation, then test."""

    name: Literal["topics", "text", "dialogues"] = "topics"
    """topics: the help texts that every Python brings (0.5 MB); text: the file in path; dialogues:
    lines {"messages": [...]} of the file in path, of which gpt.py learns the answers"""
    path: str = ""
    """a text to read instead: a file, a folder or a quoted pattern of .txt, .jsonl, .csv or
    .parquet, each also .gz or .zst, or token files, train.bin and val.bin; see docs/data.md"""
    field: str = ""
    """the field of .jsonl and the column of .csv and .parquet with the text; by default text"""
    cache: str = ""
    """folder that keeps what was made of a large text; by default one in the user's cache"""
    packing: Literal["across", "document"] | None = None
    """windows of a large text: across its documents, the default, or each within one document;
    where it is given, a small text is read like a large one"""
    tokenizer: Literal["char", "byte", "bpe"] = "bpe"
    """what a token is: a character, a byte, or a byte-level BPE learned from the training part"""
    vocab_size: int = 1024
    """size of the BPE's vocabulary; characters and bytes have their own"""
    context: int = 128
    """tokens in a window"""
    batch_size: int = 16
    """windows in a batch"""
    validation: float = 0.1
    """fraction of the text for validation, 4 million characters of a large one at most; 0 for
    none"""
    test: float = 0.1
    """fraction of the text, at its end, for the test; the same holds"""

    def __post_init__(self) -> None:
        check_positive(self, "batch_size", "context")
        check_held_out(self, of_one=True)

    def with_batches_of(self, most: int) -> TextData:
        """The same with batches that are not larger."""
        return replace(self, batch_size=min(self.batch_size, max(1, most)))


class Text(NamedTuple):
    """A text's batches, their tokenizer, the text's first word, and the part to train on.

    Of the latter a large text gives its beginning.
    """

    data: Data
    tokenizer: Tokenizer
    opening: str
    train: Tokens


def load_text(
    options: TextData, assets: Assets | None = None, tokenizer: Tokenizer | None = None
) -> Text:
    """Reads, splits and tokenizes a text.

    With the ``assets`` of a trained run all of it is the split ``test``, in that run's tokens. A
    ``tokenizer``, such as that of a trained model, is used instead of the options'.

    A training batch is ``batch_size`` windows that begin anywhere, a pure function of the
    seed and the step. An evaluation split is consecutive windows in which every token but
    the first is a target exactly once. Batches have ``tokens`` and ``targets`` int32
    ``[batch, context]``, targets being the next tokens, and ``weight`` float32 of the same
    shape, 0 where a window is padding.

    A text that is large, or in many files or documents, is prepared once; see
    :func:`bigmodel.data.texts.shards.prepared_text.load_prepared_text`.

    Raises:
        InputError: the file cannot be read as UTF-8 text, a part of it is shorter than a
            window, or an option is out of range.
    """
    if options.name == "dialogues":
        raise InputError("--data.name dialogues is for gpt.py, which learns answers; give a text")
    if options.path and (options.packing or is_prepared(options.path)):
        # Which builds on this module.
        from bigmodel.data.texts.shards.prepared_text import load_prepared_text

        return load_prepared_text(options, assets, tokenizer)
    mask = options.masking()
    source, text = read_corpus(options.name, options.path)
    text = mask(text)
    if assets is not None:
        parts = {"train": text, "test": text}
        tokenizer = load(assets[TOKENIZER])
    else:
        parts = split_corpus(text, validation=options.validation, test=options.test)
        others = [part for name, part in parts.items() if name != "train"]
        tokenizer = tokenizer or learn_tokenizer(
            options.tokenizer, train=[parts["train"]], others=others, size=options.vocab_size
        )
    tokens = {name: tokenizer.encode(part) for name, part in parts.items()}
    for name, part in tokens.items():
        if len(part) <= options.context:
            raise InputError(
                f"the {name} part of {source} has {len(part)} tokens, and a window needs "
                f"{options.context + 1}; use a longer text or a smaller --data.context"
            )
    train = tokens.pop("train")
    if assets is not None:
        options = options.with_batches_of(-(-(len(train) - 1) // options.context))
    steps_per_epoch = len(train) // (options.batch_size * options.context)
    if steps_per_epoch < 1 and assets is None:
        raise InputError(
            f"a batch of {options.batch_size} windows of {options.context} tokens is larger than "
            f"the {len(train)} training tokens of {source}; use a smaller "
            "--data.batch-size or --data.context"
        )

    def batch(seed: int, step: int, rows: slice = WHOLE) -> Batch:
        random = np.random.default_rng([seed, CROP_STREAM, step])
        starts = random.integers(len(train) - options.context, size=(options.batch_size, 1))[rows]
        crops = train[starts + np.arange(options.context + 1)]
        return _windows(crops, np.ones(len(crops), np.float32))

    # Apart from each other, so that each token is in one of them.
    cut = len(train) // (options.context + 1)
    apart = {"crop": train[: cut * (options.context + 1)].reshape(cut, -1)}

    def sampled(how: Poisson) -> Train:
        drawn = poisson(apart, how)

        def batch(seed: int, step: int, rows: slice = WHOLE) -> Batch:
            found = drawn(seed, step, rows)
            return _windows(found["crop"], found["weight"])

        return batch

    splits = {
        name: windows(part, size=options.batch_size, context=options.context)
        for name, part in tokens.items()
    }
    kept = {TOKENIZER: tokenizer.dump()}
    data = Data(
        train=batch,
        splits=splits,
        batch_size=options.batch_size,
        steps_per_epoch=max(1, steps_per_epoch),
        fingerprint=fingerprint({"train": train} | tokens, kept),
        assets=mask.with_counts(kept),
        examples=cut,
        sampled=sampled,
    )
    first, *_ = text.split(maxsplit=1) or [text]
    return Text(data, tokenizer, first[:OPENING], train)


def _windows(crops: Int[np.ndarray, "batch length"], weight: np.ndarray) -> Batch:
    time = crops.shape[1] - 1
    weight = np.repeat(weight[:, None], time, axis=1)
    return {"tokens": crops[:, :-1], "targets": crops[:, 1:], "weight": weight}


def with_prompts(data: Data, most: int) -> Data:
    """Windows of text, the first tokens of which are the inputs: up to ``most``."""

    def make(batch: Batch, row: int) -> Any:
        return batch["tokens"][row, :most][batch["weight"][row, :most] > 0].tolist()

    inputs = {name: windows_of(batches, make) for name, batches in data.splits.items()}
    return data._replace(inputs=inputs)


def windows_of(batches: Sequence[Batch], make: Callable[[Batch, int], Any]) -> Sequence[Any]:
    """What is made of each window of a split that is not padding, by its batch and row there."""
    size, last = len(batches[0]["weight"]), len(batches) - 1
    batch_of = lru_cache(maxsize=1)(batches.__getitem__)
    count = last * size + int(batches[last]["weight"].any(axis=1).sum())
    return Batches(count, lambda index: make(batch_of(index // size), index % size))


def windows(tokens: Tokens, *, size: int, context: int) -> Batches:
    """All of a text in consecutive windows, ``size`` of them in a batch."""
    area = size * context
    last = len(tokens) - 1

    def make(index: int) -> Batch:
        at = index * area + np.arange(area).reshape(size, context)
        return {
            "tokens": tokens[np.minimum(at, last)],
            "targets": tokens[np.minimum(at + 1, last)],
            "weight": (at < last).astype(np.float32),
        }

    return Batches(-(-last // area), make)
