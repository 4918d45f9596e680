"""Pairs of a source and a target sequence: spelling and phonemes, or sentences of a file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Generic, Literal, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Int

from bigmodel.data.batches import Arrays
from bigmodel.data.parts import data_of
from bigmodel.data.personal.masking import Mask, Personal
from bigmodel.data.python_code.docstrings import read_docstrings
from bigmodel.data.split import check_held_out, check_positive, shuffled
from bigmodel.data.texts.pair_file import Pair, held_out_groups, read_cmudict, read_pairs
from bigmodel.data.texts.tokenizers import padded
from bigmodel.data.texts.vocabulary import (
    SOURCE,
    TARGET,
    PairReader,
    Unit,
    Vocabulary,
    learn_vocabulary,
    pair_reader,
)
from bigmodel.experiment import Assets, Data, InputError
from bigmodel.output import note
from bigmodel.predictor import Beginning

SYMBOL, SYMBOLS = 3, 256
"""Maximum length of a short symbol, and maximum number of different ones that are few."""
T = TypeVar("T")


@dataclass(frozen=True)
class PairData(Personal):
    """Which pairs, how they are divided, and what a token is."""

    name: Literal["cmudict", "docstrings", "tsv"] = "cmudict"
    """cmudict: English words and their phonemes (package cmudict); docstrings: the summaries of
    scientific packages' docstrings, from what follows them; tsv: the file in path"""
    path: str = ""
    """a UTF-8 file of lines with tabs between columns, perhaps gzipped (.gz); used if given"""
    source: int = 1
    """path: the column of the sources, counted from 1"""
    target: int = 2
    """path: the column of the targets"""
    group: int | None = None
    """path: the column of the groups, such as books, that held_out names"""
    held_out: tuple[str, ...] = ()
    """path: groups that are the test set, instead of a fraction"""
    source_unit: Unit | None = None
    """what a token of the source is; symbols are separated by spaces. By default symbols where
    these are short and few, as phonemes are, characters for single words, else a BPE"""
    target_unit: Unit | None = None
    """the same of the target; symbols are evaluated by error rates, all others by BLEU"""
    shared: bool = False
    """whether both sides have one vocabulary, learned from both"""
    vocab_size: int = 4096
    """size of a BPE's vocabulary, for each side"""
    max_source: int | None = None
    """maximum number of tokens of a source, including its end. By default what 99 of 100
    training pairs of the file need; 30 for cmudict"""
    max_target: int | None = None
    """maximum number of tokens of a target, including its end; the default is found likewise"""
    long: Literal["drop", "refuse", "cut"] = "drop"
    """whether longer pairs are left out of training, are an error, or are cut. In evaluation none
    is left out: the source is cut, and the whole target is the reference"""
    batch_size: int = 128
    """pairs in a batch"""
    validation: float = 0.02
    """fraction of the sources to validate on; 0 for none"""
    test: float = 0.1
    """fraction of the sources to test on; 0 for none"""
    split_seed: int = 0
    """decides which sources are held out, apart from the seed of the run"""

    def __post_init__(self) -> None:
        check_positive(self, "source", "target", "group", "batch_size")
        for name, value in (("source", self.max_source), ("target", self.max_target)):
            if value is not None and value < 2:
                raise InputError(
                    f"--data.max-{name} {value} has no room for a token and its end; use 2 or more"
                )
        check_held_out(self, of_one=True)
        if (self.group is None) != (not self.held_out):
            raise InputError(
                "--data.group COLUMN and --data.held-out NAME ... go together: which column "
                "has the groups, and which of them are the test set"
            )
        if self.shared and self.source_unit != self.target_unit:
            raise InputError("--data.shared needs one unit; give both sides the same or none")
        if self.name == "tsv" and not self.path:
            raise InputError("--data.name tsv needs --data.path, a file with tabs between columns")


class Pairs(NamedTuple):
    """Batches of pairs, and what reads them.

    ``examples[i]`` is the pair that has ``example`` i in the evaluation batches, with all its
    targets. ``units`` are the names of a symbol and a sequence of the target; None where it is
    text.
    """

    data: Data
    reader: PairReader
    examples: Sequence[Pair]
    units: tuple[str, str] | None


def load_pairs(options: PairData, assets: Assets | None = None) -> Pairs:
    """Read the pairs, divide them, and make them into batches of ids.

    A source is its tokens and BOUNDARY, ``source`` int32 ``[batch, source]``, and its number of
    both ``source_length`` int32 ``[batch]``; the rest is 0. ``target_out`` int32
    ``[batch, target]`` and ``target_length`` are the same of the target, and ``target_in`` is
    the target before each of its tokens: BOUNDARY, then the tokens. ``example`` int32
    ``[batch]`` numbers the pair, ``weight`` float32 ``[batch]`` is 0 where a row is padding.

    A source is in one part only, with all its targets (in a file with groups, its group is).
    Training has a pair for each target, evaluation one for the first. The splits are
    ``validation`` and ``test``, each absent where it is empty.

    Args:
        options: Which pairs.
        assets: Files of a trained run: all pairs are then the split ``test`` for it.

    Raises:
        InputError: the data cannot be read or leaves nothing to train on, a pair is longer than
            the most and ``long`` refuses it, or an option does not fit the data.
    """
    mask = options.masking()
    pairs = _read(options, mask)
    if assets is not None:
        return _to_test(pairs, options, pair_reader(assets), mask)
    parts = _split(pairs, options)
    train = [pairs[row] for row in parts["train"]]
    others = [pairs[row] for name in ("validation", "test") for row in parts[name]]
    known, unseen = _texts(train), _texts(others)
    if options.shared:
        known, unseen = (_Sides(*[texts.source + texts.target] * 2) for texts in (known, unseen))
    units = _Sides(
        options.source_unit or _unit_of(known.source), options.target_unit or _unit_of(known.target)
    )
    sides = [*zip(units, known, unseen, strict=True)][: 1 if options.shared else 2]
    learned = [
        learn_vocabulary(unit, train=texts, others=rest, size=options.vocab_size)
        for unit, texts, rest in sides
    ]
    source, target = learned[0], learned[-1]
    rows = {
        name: _rows(pairs, chosen, source, target, every=name == "train")
        for name, chosen in parts.items()
    }
    most = _most(rows["train"], options)
    rows, counts = _shorten(rows, most, options)
    if options.path:
        dropped = counts["train"] - len(rows["train"])
        left_out = f"; {dropped} longer training pairs are left out" if dropped else ""
        note(
            f"{options.path}: --data.source-unit {units.source} --data.max-source {most.source} "
            f"--data.target-unit {units.target} --data.max-target {most.target}{left_out}"
        )
    reader = PairReader(source, target, most.source, most.target)
    found = mask.with_counts({"pairs.json": json.dumps(counts, indent=2).encode()})
    return _pairs(rows, pairs, reader, options, symbols=units.target == "symbol", found=found)


def _to_test(pairs: list[Pair], options: PairData, reader: PairReader, mask: Mask) -> Pairs:
    """All pairs as the test split of a trained run."""
    every = np.arange(len(pairs))
    rows = _rows(pairs, every, reader.source, reader.target, every=False)
    options = replace(options, batch_size=min(options.batch_size, len(rows)))
    symbols = json.loads(reader.target.dump()).get("type") == "symbol"
    found = mask.with_counts({})
    parts = {"train": rows, "test": rows}
    return _pairs(parts, pairs, reader, options, symbols=symbols, found=found)


def _rows(
    pairs: Sequence[Pair],
    chosen: Int[np.ndarray, "rows"],
    source: Vocabulary,
    target: Vocabulary,
    *,
    every: bool,
) -> list[_Row]:
    """The chosen pairs in ids, with every target or the first."""
    return [
        _Row(source.encode(pairs[index].source), target.encode(text), int(index))
        for index in chosen
        for text in pairs[index].targets[: None if every else 1]
    ]


def _pairs(
    rows: dict[str, list[_Row]],
    pairs: Sequence[Pair],
    reader: PairReader,
    options: PairData,
    *,
    symbols: bool,
    found: Assets = MappingProxyType({}),
) -> Pairs:
    kept = reader.dump()
    # What is right beside the first target is in no array, and counts in an evaluation.
    held = [pairs[row.example] for name in ("validation", "test") for row in rows.get(name, ())]
    right = "\n".join("\t".join((pair.source, *pair.targets)) for pair in held).encode()
    data = data_of(
        {name: _arrays(part, reader) for name, part in rows.items()},
        options.batch_size,
        prepare=_prepare,
        deciding={SOURCE: kept[SOURCE], TARGET: kept[TARGET], "right": right},
        assets={**kept, **found},
    )
    inputs = {
        part: [Beginning(pairs[row.example].source) for row in rows[part]] for part in data.splits
    }
    names = ("symbol", "sequence") if options.path else ("phoneme", "word")
    return Pairs(data._replace(inputs=inputs), reader, pairs, names if symbols else None)


class _Sides(NamedTuple, Generic[T]):
    """Something of the source, and the same of the target."""

    source: T
    target: T


def _texts(pairs: Sequence[Pair]) -> _Sides[list[str]]:
    return _Sides(
        [pair.source for pair in pairs], [text for pair in pairs for text in pair.targets]
    )


def _unit_of(texts: Sequence[str]) -> Unit:
    """What a token is, as the training texts suggest."""
    pieces = Counter(piece for text in texts for piece in text.split())
    short = sum(count for piece, count in pieces.items() if len(piece) <= SYMBOL)
    if pieces.total() < 1.5 * len(texts):
        return "char"
    return "symbol" if len(pieces) <= SYMBOLS and short > 0.9 * pieces.total() else "bpe"


def _most(train: Sequence[_Row], options: PairData) -> _Sides[int]:
    """The maximum number of tokens of each side, including the end."""

    def enough(lengths: list[int]) -> int:
        if options.name == "cmudict" and not options.path:
            return 30
        return 1 + int(np.percentile(lengths, 99, method="higher"))

    return _Sides(
        options.max_source or enough([len(row.source) for row in train]),
        options.max_target or enough([len(row.target) for row in train]),
    )


class _Row(NamedTuple):
    """One pair in ids, without their ends, and the number of its example."""

    source: Int[np.ndarray, "tokens"]
    target: Int[np.ndarray, "tokens"]
    example: int


def _read(options: PairData, mask: Mask) -> list[Pair]:
    if options.path:
        return read_pairs(
            options.path,
            source=options.source,
            target=options.target,
            group=options.group,
            mask=mask,
        )
    if options.held_out:
        raise InputError("--data.held-out is for a file; give it as --data.path FILE")
    if options.name == "docstrings":
        pairs = read_docstrings()
    else:
        pairs = [Pair(word, spoken, "") for word, spoken in read_cmudict().items()]
    return [Pair(*map(mask.inside, pair)) for pair in pairs] if options.mask else pairs


def _split(pairs: list[Pair], options: PairData) -> dict[str, Int[np.ndarray, "rows"]]:
    """The numbers of the pairs in each part; the validation's fraction is of all pairs."""
    if len(pairs) < 3:
        raise InputError(f"{options.path} has {len(pairs)} pair(s); three are the fewest to divide")
    if options.held_out:
        test = held_out_groups(pairs, options.held_out)
        rest = np.setdiff1d(np.arange(len(pairs)), test)
        if len(rest) < 2:
            raise InputError("--data.held-out leaves nothing to train on; name fewer groups")
    else:
        rest, test = shuffled(len(pairs), options.test, seed=options.split_seed)
    share = options.validation * len(pairs) / len(rest)
    train, validation = shuffled(len(rest), share, seed=options.split_seed + 1)
    return {"train": rest[train], "validation": rest[validation], "test": test}


def _shorten(
    rows: dict[str, list[_Row]], most: _Sides[int], options: PairData
) -> tuple[dict[str, list[_Row]], dict[str, int]]:
    """The rows to use, and how many there were and were too long in each part."""

    def too_long(row: _Row) -> bool:
        return len(row.source) >= most.source or len(row.target) >= most.target

    counts = {}
    for name, part in rows.items():
        counts[name], counts[f"{name}, too long"] = len(part), sum(map(too_long, part))
    number = sum(count for name, count in counts.items() if "too long" in name)
    kept = dict(rows)
    if options.long == "drop":
        kept["train"] = [row for row in rows["train"] if not too_long(row)]
    if number and (options.long == "refuse" or not kept["train"]):
        longest = [
            1 + max(len(getattr(row, side)) for part in rows.values() for row in part)
            for side in ("source", "target")
        ]
        raise InputError(
            f"{number} of {sum(map(len, rows.values()))} pairs are longer than --data.max-source "
            f"{most.source} or --data.max-target {most.target}; the longest have {longest[0]} and "
            f"{longest[1]}: raise these, or use --data.long cut"
        )
    return kept, counts


def _arrays(rows: list[_Row], reader: PairReader) -> Arrays:
    """Ids that end with at least one BOUNDARY, and their lengths with it."""
    target = [row.target[: reader.length - 1] for row in rows]
    return {
        **reader.arrays([row.source for row in rows]),
        "target_out": padded(target, reader.length),
        "target_length": np.array([len(ids) + 1 for ids in target], np.int32),
        "example": np.array([row.example for row in rows], np.int32),
    }


def _prepare(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The batch with what the decoder reads: its targets, one step later."""
    target = batch["target_out"]
    return batch | {"target_in": np.pad(target[:, :-1], ((0, 0), (1, 0)))}
