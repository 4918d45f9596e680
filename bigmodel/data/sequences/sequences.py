"""Labelled sequences of numbers by name: Japanese vowels, ``.ts`` files, the rows of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from bigmodel.data.batches import Batches
from bigmodel.data.images.images import Images
from bigmodel.data.labelled import LabelledData, all_to_test, divide, label_numbers, lines_of
from bigmodel.data.packaged import packaged
from bigmodel.data.parts import data_of, names_of_numbers
from bigmodel.data.sequences.reading import RowReader, SequenceReader, sequence_reader
from bigmodel.data.sequences.ts_file import Case, read_ts
from bigmodel.data.split import check_positive
from bigmodel.experiment import Assets, Batch, Data, InputError, Train

VOWELS = "datasets/data/JapaneseVowels/JapaneseVowels_{}.ts"


@dataclass(frozen=True)
class SequenceData(LabelledData):
    """Which labelled sequences, and how they are divided."""

    name: Literal["japanese_vowels", "ts"] = "japanese_vowels"
    """japanese_vowels: 640 utterances of 9 speakers, 7 to 29 steps of 12 channels (Kudo et al.,
    1999), from the package sktime, with its own test set unless there are folds; ts: the file in
    path"""
    path: str = ""
    """ts: a file in the .ts format of the UEA and UCR archives, which may be gzipped"""
    length: int = 1024
    """maximum number of steps of a sequence; a longer one is an error"""
    batch_size: int = 32
    """sequences in a batch"""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "length")
        if self.name == "ts" and not self.path:
            raise InputError("--data.name ts needs a file; give it as --data.path FILE")
        if self.name != "ts" and (self.path or self.test_path):
            raise InputError("--data.path is for --data.name ts; japanese_vowels is installed")


class Sequences(NamedTuple):
    """Batches of sequences, and what encodes them, with the names of the classes."""

    data: Data
    reader: SequenceReader | RowReader


def load_sequences(options: SequenceData, assets: Assets | None = None) -> Sequences:
    """Read the sequences, divide them, and make them into batches.

    Batches are ``sequence`` float32 ``[batch, time, channel]``, zeros after the end of each,
    ``length`` int32 ``[batch]``, ``label`` int32 ``[batch]`` and ``weight`` float32 ``[batch]``.
    Each channel is standardised by its mean and deviation over the training part. The splits
    are ``validation`` and ``test``, each absent where it is empty.

    Args:
        options: Which sequences.
        assets: Files of a trained run: all sequences are then the split ``test`` for it.

    Raises:
        InputError: A file cannot be used, a sequence is longer than ``options.length``, the
            test file has other channels or a label that training lacks, a trained run cannot
            read a sequence, or an option is out of range.
    """
    path, test_path = Path(options.path), Path(options.test_path) if options.test_path else None
    if options.name == "japanese_vowels":
        path, test_path = (packaged("sktime", VOWELS.format(part)) for part in ("TRAIN", "TEST"))
    own = bool(options.path)
    if assets is not None:
        reader = sequence_reader(assets)
        paths = [path] if test_path is None else [path, test_path]
        cases = [case for each in paths for case in _known_cases(each, reader)]
        parts = all_to_test(cases, reader.names, source=str(path))
        size = min(options.batch_size, len(cases))
        return _sequences(parts, reader, size, str(path), own=own)
    cases, test = _cases(path, options.length), None
    if test_path is not None and not options.folds:
        test = _cases(test_path, options.length)
        channels, others = cases[0].content.shape[1], test[0].content.shape[1]
        if others != channels:
            raise InputError(
                f"{test_path} has {others} channels, and {path} has {channels}; they must be the "
                "same"
            )
    parts, names = divide(options, cases, test, source=str(path))
    return _sequences(parts, _fit(parts, names), options.batch_size, str(path), own=own)


def _sequences(
    parts: dict[str, list[Case]],
    reader: SequenceReader,
    batch_size: int,
    source: str,
    *,
    own: bool,
) -> Sequences:
    arrays = {
        name: {
            **reader.padded([case.content for case in cases]),
            "label": label_numbers(cases, reader.names),
        }
        for name, cases in parts.items()
    }
    named = names_of_numbers(reader.names, own=own)
    data = data_of(arrays, batch_size, deciding=named, assets=reader.dump())
    inputs = {part: [case.content for case in parts[part]] for part in data.splits}
    column = lines_of(parts, source=source)
    return Sequences(data._replace(inputs=inputs, column=column), reader)


def image_rows(images: Images) -> Sequences:
    """Images as sequences of their rows from the top: a step a row, a channel a value in it."""
    reader = RowReader(images.reader)

    def as_sequence(batch: Batch) -> Batch:
        batch = receive(batch)
        rest = {"label": batch["label"], "weight": batch["weight"]}
        return {**reader.rows(batch["image"]), **rest}

    def all_as_sequences(batches: Sequence[Batch]) -> Batches:
        return Batches(len(batches), lambda index: as_sequence(batches[index]))

    def sequences(train: Train) -> Train:
        return lambda *which: as_sequence(train(*which))

    def sampled(how: Any) -> Train:
        assert images.data.sampled is not None
        return sequences(images.data.sampled(how))

    splits, receive = images.data.splits, images.data.receive
    data = images.data._replace(
        train=sequences(images.data.train),
        sampled=sampled,
        splits={name: all_as_sequences(batches) for name, batches in splits.items()},
        seen=all_as_sequences(images.data.seen),
        receive=dict,
    )
    return Sequences(data, reader)


def _cases(path: Path, length: int) -> list[Case]:
    cases = read_ts(path)
    for case in cases:
        if len(case.content) > length:
            raise InputError(
                f"{path}, line {case.line} has {len(case.content)} steps, more than --data.length "
                f"{length}; use a larger one, or cut the sequence"
            )
    return cases


def _known_cases(path: Path, reader: SequenceReader) -> list[Case]:
    """The sequences of a file, all of which a trained run can read."""
    cases = read_ts(path)
    for case in cases:
        try:
            reader.encode([case.content])
        except InputError as error:
            raise InputError(f"{path}, line {case.line}: {error}") from None
    return cases


def _fit(parts: dict[str, list[Case]], names: tuple[str, ...]) -> SequenceReader:
    """What the training part decides: the mean and the deviation of each channel."""
    seen = np.concatenate([case.content for case in parts["train"]]).astype(np.float64)
    mean, deviation = seen.mean(axis=0), seen.std(axis=0)
    # A channel that never changes says nothing, whatever it is divided by. The mean of equal
    # numbers is rounded, so that their deviation is not quite 0.
    deviation = np.where(np.ptp(seen, axis=0) == 0, 0.0, deviation)
    time = max(len(case.content) for cases in parts.values() for case in cases)
    return SequenceReader(names, time, tuple(mean.tolist()), tuple(deviation.tolist()))
