"""Labelled sequences of numbers by name: Japanese vowels, ``.ts`` files, the rows of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Int

from bigmodel.data.batches import Arrays, Batches
from bigmodel.data.folds import Folds, hold_out_test
from bigmodel.data.images.images import Images
from bigmodel.data.packaged import packaged
from bigmodel.data.parts import data_of
from bigmodel.data.sequences.ts_file import Case, read_ts
from bigmodel.data.split import Split, check_held_out, stratified
from bigmodel.experiment import Batch, Data, InputError

VOWELS = "datasets/data/JapaneseVowels/JapaneseVowels_{}.ts"


@dataclass(frozen=True)
class SequenceData(Folds):
    """Which labelled sequences, and how they are divided."""

    name: Literal["japanese_vowels", "ts"] = "japanese_vowels"
    """japanese_vowels: 640 utterances of 9 speakers, 7 to 29 steps of 12 channels, with a test
    set of its own (Kudo et al., 1999), from the package sktime; ts: the file in path"""
    path: str = ""
    """ts: a file in the .ts format of the UEA and UCR archives, which may be gzipped (.gz)"""
    test_path: str = ""
    """ts: another such file for the test, in the place of a fraction of the first"""
    length: int = 1024
    """most steps of a sequence; a longer one is an error"""
    batch_size: int = 32
    """sequences in a batch"""
    validation: float = 0.1
    """fraction of the training sequences of each class that is held out to choose by"""
    test: float = 0.2
    """fraction of each class held out as test set, where there is no file for it; japanese_vowels
    have their own test set, unless there are folds, which then divide the training part"""
    split_seed: int = 0
    """decides which sequences are held out, apart from the seed of the run"""


class Sequences(NamedTuple):
    """Batches of sequences, and the names of their classes."""

    data: Data
    names: tuple[str, ...]


def load_sequences(options: SequenceData) -> Sequences:
    """Read the sequences, divide them, and make them into batches.

    Batches are ``sequence`` float32 ``[batch, time, channel]``, zeros after the end of each,
    ``length`` int32 ``[batch]``, ``label`` int32 ``[batch]`` and ``weight`` float32 ``[batch]``.
    Each channel is standardised by its mean and deviation over the training part. The splits
    are ``validation`` and ``test``, each absent where it is empty.

    Raises:
        InputError: A file cannot be used, a sequence is longer than ``options.length``, the
            test file has other channels or a label that training lacks, or an option is out of
            range.
    """
    _check(options)
    train, test, names = _read(options)
    labels, seed = _numbers(train, names), options.split_seed + 1
    train, validation = _take(train, stratified(labels, options.validation, names=names, seed=seed))
    parts = {"train": train, "validation": validation, "test": test}
    data = data_of(_arrays(parts, names), options.batch_size)
    return Sequences(data, names)


def rows(images: Images) -> Sequences:
    """Images read from top to bottom: a step for each row, a channel for each of its numbers."""
    height = images.shape[0]

    def as_sequence(batch: Batch) -> Batch:
        image = batch["image"]
        return {
            "sequence": image.reshape(len(image), height, -1),
            "length": np.full(len(image), height, np.int32),
            "label": batch["label"],
            "weight": batch["weight"],
        }

    def all_as_sequences(batches: Sequence[Batch]) -> Batches:
        return Batches(len(batches), lambda index: as_sequence(batches[index]))

    train, splits = images.data.train, images.data.splits
    data = images.data._replace(
        train=lambda seed, step: as_sequence(train(seed, step)),
        splits={name: all_as_sequences(batches) for name, batches in splits.items()},
    )
    return Sequences(data, images.names)


def _check(options: SequenceData) -> None:
    check_held_out(options)
    if options.length < 1:
        raise InputError(f"--data.length {options.length} is too small; use 1 or more")
    if options.name == "ts" and not options.path:
        raise InputError("--data.name ts needs a file; give it as --data.path FILE")
    if options.test_path and options.folds:
        raise InputError("--data.folds needs no test file; leave --data.test-path out")
    if options.name != "ts" and (options.path or options.test_path):
        raise InputError("--data.path is for --data.name ts; japanese_vowels is installed")


def _read(options: SequenceData) -> tuple[list[Case], list[Case], tuple[str, ...]]:
    path, test_path = Path(options.path), Path(options.test_path) if options.test_path else None
    if options.name == "japanese_vowels":
        path, test_path = (packaged("sktime", VOWELS.format(part)) for part in ("TRAIN", "TEST"))
    train = _cases(path, options.length)
    names = tuple(sorted({case.label for case in train}))
    if test_path is None or options.folds:
        labels, seed = _numbers(train, names), options.split_seed
        split = hold_out_test(options, labels, options.test, names=names, seed=seed)
        return *_take(train, split), names
    test = _cases(test_path, options.length)
    channels = train[0].values.shape[1]
    if test[0].values.shape[1] != channels:
        raise InputError(
            f"{test_path} has {test[0].values.shape[1]} channels, and {path} has {channels}; "
            "they must be the same"
        )
    for case in test:
        if case.label not in names:
            raise InputError(
                f"{test_path}, line {case.line} has the label {case.label!r}, which {path} has "
                "not: it was never trained on; add sequences or remove the line"
            )
    return train, test, names


def _cases(path: Path, length: int) -> list[Case]:
    cases = read_ts(path)
    for case in cases:
        if len(case.values) > length:
            raise InputError(
                f"{path}, line {case.line} has {len(case.values)} steps, more than --data.length "
                f"{length}; use a larger one, or cut the sequence"
            )
    return cases


def _numbers(cases: list[Case], names: tuple[str, ...]) -> Int[np.ndarray, " cases"]:
    return np.array([names.index(case.label) for case in cases], np.int32)


def _take(cases: list[Case], split: Split) -> tuple[list[Case], list[Case]]:
    return [cases[row] for row in split.kept], [cases[row] for row in split.held]


def _arrays(parts: dict[str, list[Case]], names: tuple[str, ...]) -> dict[str, Arrays]:
    seen = np.concatenate([case.values for case in parts["train"]]).astype(np.float64)
    mean, deviation = seen.mean(axis=0), seen.std(axis=0)
    # A channel that never changes says nothing, whatever it is divided by.
    deviation = np.where(deviation > 0, deviation, 1.0)
    time = max(len(case.values) for cases in parts.values() for case in cases)

    def padded(cases: list[Case]) -> np.ndarray:
        sequence = np.zeros((len(cases), time, len(mean)), np.float32)
        for row, case in zip(sequence, cases, strict=True):
            row[: len(case.values)] = (case.values - mean) / deviation
        return sequence

    return {
        name: {
            "sequence": padded(cases),
            "length": np.array([len(case.values) for case in cases], np.int32),
            "label": _numbers(cases, names),
        }
        for name, cases in parts.items()
    }
