"""Pairs of a source and a target sequence: spelling and phonemes, or sentences of a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Int

from bigmodel.data.batches import Arrays
from bigmodel.data.cmudict import read_cmudict
from bigmodel.data.parts import data_of
from bigmodel.data.split import check_held_out, shuffled
from bigmodel.data.texts.pair_file import Pair, held_out_groups, read_pairs
from bigmodel.data.texts.vocabulary import Unit, Vocabulary, learn_vocabulary
from bigmodel.experiment import Data, InputError


@dataclass(frozen=True)
class PairData:
    """Which pairs, how they are divided, and what a token is."""

    name: Literal["cmudict", "tsv"] = "cmudict"
    """cmudict: English words and their phonemes (package cmudict); tsv: the file in path"""
    path: str = ""
    """a UTF-8 file of lines with tabs between columns, perhaps gzipped (.gz); used if given"""
    source: int = 1
    """path: the column that is read, counted from 1"""
    target: int = 2
    """path: the column that is written"""
    group: int | None = None
    """path: the column of groups, such as books, that held_out names"""
    held_out: tuple[str, ...] = ()
    """path: groups that are the test set, in the place of a fraction"""
    source_unit: Unit = "char"
    """what a token of the source is; a symbol is what stands between spaces"""
    target_unit: Unit = "symbol"
    """the same of the target; symbols are judged by error rates, all others by BLEU"""
    vocab_size: int = 4096
    """size of a BPE's vocabulary, for each side"""
    max_source: int = 30
    """most tokens of a source, its end included; fewer are faster"""
    max_target: int = 30
    """most tokens of a target, its end included"""
    long: Literal["refuse", "drop", "cut"] = "refuse"
    """longer pairs: an error; left out of the training; or cut. Evaluated ones are never left
    out: their source is cut, and they are judged against the whole target"""
    batch_size: int = 128
    """pairs in a batch"""
    validation: float = 0.02
    """fraction of the sources that is held out to choose by; 0 for none"""
    test: float = 0.1
    """fraction of the sources that is held out for the test; 0 for none"""
    split_seed: int = 0
    """decides which sources are held out, apart from the seed of the run"""

    def __post_init__(self) -> None:
        """Raises InputError for sizes and fractions that leave nothing, and lone options."""
        for name in ("source", "target", "group", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(
                    f"--data.{name.replace('_', '-')} {value} is too small; use 1 or more"
                )
        for name in ("max_source", "max_target"):
            value = getattr(self, name)
            if value < 2:
                raise InputError(
                    f"--data.{name.replace('_', '-')} {value} has no room for a token and its "
                    "end; use 2 or more"
                )
        check_held_out(self)
        if self.validation + self.test >= 1:
            raise InputError(
                f"--data.validation {self.validation} and --data.test {self.test} leave "
                "nothing to train on; their sum must be less than 1"
            )
        if (self.group is None) != (not self.held_out):
            raise InputError(
                "--data.group COLUMN and --data.held-out NAME ... go together: which column "
                "has the groups, and which of them are the test set"
            )
        if self.name == "tsv" and not self.path:
            raise InputError("--data.name tsv needs --data.path, a file with tabs between columns")


class Pairs(NamedTuple):
    """Batches of pairs, and what reads them.

    ``examples[i]`` is the pair that has ``example`` i in the evaluation batches, with all its
    targets. ``length`` is the most tokens of a target, its end included. ``units`` are what a
    symbol and a sequence of the target are called; None where it is text.
    """

    data: Data
    source: Vocabulary
    target: Vocabulary
    examples: Sequence[Pair]
    length: int
    units: tuple[str, str] | None


def load_pairs(options: PairData) -> Pairs:
    """Read the pairs, divide them, and make them into batches of ids.

    A source is its tokens and BOUNDARY, ``source`` int32 ``[batch, source]``, and its number of
    both ``source_length`` int32 ``[batch]``; the rest is 0. ``target_out`` int32
    ``[batch, target]`` and ``target_length`` are the same of the target, and ``target_in`` is
    the target before each of its tokens: BOUNDARY, then the tokens. ``example`` int32
    ``[batch]`` numbers the pair, ``weight`` float32 ``[batch]`` is 0 where a row is padding.

    A source stays on one side of the split, with all its targets (in a file with groups, its
    group does). Training sees each of them
    as a pair, evaluation the first one. The splits are ``validation`` and ``test``, each absent
    where it is empty.

    Raises:
        InputError: the data cannot be read or leaves nothing to train on, a pair is longer than
            the most and ``long`` refuses it, or an option does not fit the data.
    """
    pairs = _read(options)
    parts = _split(pairs, options)
    train = [pairs[row] for row in parts["train"]]
    others = [pairs[row] for name in ("validation", "test") for row in parts[name]]
    source = learn_vocabulary(
        options.source_unit,
        train=[pair.source for pair in train],
        others=[pair.source for pair in others],
        size=options.vocab_size,
    )
    target = learn_vocabulary(
        options.target_unit,
        train=[text for pair in train for text in pair.targets],
        others=[text for pair in others for text in pair.targets],
        size=options.vocab_size,
    )
    rows = {
        name: [
            _Row(source.encode(pairs[index].source), target.encode(text), int(index))
            for index in chosen
            for text in (pairs[index].targets if name == "train" else pairs[index].targets[:1])
        ]
        for name, chosen in parts.items()
    }
    rows, counts = _shorten(rows, options)
    arrays = {name: _arrays(part, options) for name, part in rows.items()}
    vocabularies = {
        "source_vocabulary.json": source.dump(),
        "target_vocabulary.json": target.dump(),
    }
    # What is right beside the first target is in no array, and counts in an evaluation.
    right = "\n".join("\t".join((pair.source, *pair.targets)) for pair in others).encode()
    data = data_of(
        arrays,
        options.batch_size,
        prepare=_prepare,
        deciding={**vocabularies, "right": right},
        assets={**vocabularies, "pairs.json": json.dumps(counts, indent=2).encode()},
    )
    return Pairs(data, source, target, pairs, options.max_target, _units(options))


def _units(options: PairData) -> tuple[str, str] | None:
    if options.target_unit != "symbol":
        return None
    return ("symbol", "sequence") if options.path else ("phoneme", "word")


class _Row(NamedTuple):
    """One pair in ids, without their ends, and the number of its example."""

    source: Int[np.ndarray, "tokens"]
    target: Int[np.ndarray, "tokens"]
    example: int


def _read(options: PairData) -> list[Pair]:
    if options.path:
        return read_pairs(
            options.path, source=options.source, target=options.target, group=options.group
        )
    if options.held_out:
        raise InputError("--data.held-out is for a file; give it as --data.path FILE")
    return [Pair(word, spoken, "") for word, spoken in read_cmudict().items()]


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
    rows: dict[str, list[_Row]], options: PairData
) -> tuple[dict[str, list[_Row]], dict[str, int]]:
    """The rows that fit, and how many there are and were too long in each part."""

    def too_long(row: _Row) -> bool:
        return len(row.source) >= options.max_source or len(row.target) >= options.max_target

    counts = {}
    for name, part in rows.items():
        counts[name], counts[f"{name}, too long"] = len(part), sum(map(too_long, part))
    number = sum(count for name, count in counts.items() if "too long" in name)
    if number and options.long == "refuse":
        longest = [
            1 + max(len(getattr(row, side)) for part in rows.values() for row in part)
            for side in ("source", "target")
        ]
        raise InputError(
            f"{number} of {sum(map(len, rows.values()))} pairs are longer than --data.max-source "
            f"{options.max_source} or --data.max-target {options.max_target}; the longest have "
            f"{longest[0]} and {longest[1]}: raise these, or use --data.long drop or cut"
        )
    kept = dict(rows)
    if options.long == "drop":
        kept["train"] = [row for row in rows["train"] if not too_long(row)]
    return kept, counts


def _arrays(rows: list[_Row], options: PairData) -> Arrays:
    source, source_length = _padded([row.source for row in rows], options.max_source)
    target, target_length = _padded([row.target for row in rows], options.max_target)
    return {
        "source": source,
        "source_length": source_length,
        "target_out": target,
        "target_length": target_length,
        "example": np.array([row.example for row in rows], np.int32),
    }


def _padded(
    encoded: Sequence[Int[np.ndarray, "tokens"]], time: int
) -> tuple[Int[np.ndarray, "rows time"], Int[np.ndarray, "rows"]]:
    """Ids in rows that end with at least one BOUNDARY, and their lengths with it."""
    ids = np.zeros((len(encoded), time), np.int32)
    for row, tokens in zip(ids, encoded, strict=True):
        cut = tokens[: time - 1]
        row[: len(cut)] = cut
    lengths = np.array([min(len(tokens), time - 1) + 1 for tokens in encoded], np.int32)
    return ids, lengths


def _prepare(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The batch with what the decoder reads: its targets, one step later."""
    target = batch["target_out"]
    return batch | {"target_in": np.pad(target[:, :-1], ((0, 0), (1, 0)))}
