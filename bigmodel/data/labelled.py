"""Examples with labels, divided into training, validation and test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Int

from bigmodel.data.lookup import Lookup, lookup
from bigmodel.data.split import Folds, check_held_out, split_rows
from bigmodel.experiment import InputError
from bigmodel.output import note


@dataclass(frozen=True, kw_only=True)
class LabelledData(Folds):
    """Options that say how labelled examples are divided."""

    test_path: str = ""
    """your own data: another file or folder of the same kind to test on"""
    validation: float = 0.1
    """fraction of the training examples of each class to validate on; 0 for none"""
    test: float = 0.2
    """fraction of each class to test on, where the data has no test set; 0 for none"""
    split_seed: int = 0
    """decides which examples are held out, apart from the seed of the run"""

    def __post_init__(self) -> None:
        check_held_out(self)
        if self.test_path and self.folds:
            raise InputError("--data.folds makes its own test sets; leave --data.test-path out")


T = TypeVar("T")


class Example(NamedTuple, Generic[T]):
    """The name of a class, an example of it, and the line of its file, counted from 1."""

    label: str
    content: T
    line: int


def divide(
    options: LabelledData,
    examples: Sequence[Example[T]],
    test: Sequence[Example[T]] | None,
    *,
    source: str,
) -> tuple[dict[str, list[Example[T]]], tuple[str, ...]]:
    """The examples of ``train``, ``validation`` and ``test``, and the labels in their order.

    ``test`` is the data's own test set; ``source`` says in messages where the others come from.

    Raises:
        InputError: There is one label alone, a label has too few examples to divide, or the test
            has a label that is not in ``examples``.
    """
    names = tuple(sorted({example.label for example in examples}))
    if len(names) < 2:
        raise InputError(f"{source} has the label {names[0]!r} alone; it needs two or more")
    if test is not None:
        _check_labels(test, names, source, options.test_path)
    split = split_rows(
        options,
        len(examples),
        labels=label_numbers(examples, names),
        names=names,
        given=() if test is None else ("test",),
    )
    parts = {part: [examples[row] for row in rows] for part, rows in split.items()}
    return parts if test is None else parts | {"test": list(test)}, names


def all_to_test(
    examples: Sequence[Example[T]], names: Sequence[str], *, source: str
) -> dict[str, list[Example[T]]]:
    """All examples as ``test`` of a trained run, and as ``train``, which is not used then.

    Raises:
        InputError: An example has a label that the run was not trained on.
    """
    _check_labels(examples, names, "the run", source)
    return {"train": list(examples), "test": list(examples)}


def label_numbers(examples: Sequence[Example[T]], names: Sequence[str]) -> Int[np.ndarray, " rows"]:
    """The class of each example by its number in ``names``."""
    number = {name: index for index, name in enumerate(names)}
    return np.array([number[example.label] for example in examples], np.int32)


def lines_of(parts: Mapping[str, Sequence[Example[T]]], *, source: str) -> Lookup:
    """Looks up the ``line`` of a file on which an example stands."""
    lines = {part: np.array([each.line for each in found], float) for part, found in parts.items()}
    return lookup(source, ("line",), lambda split, _: lines[split])


def _check_labels(
    test: Sequence[Example[T]], names: Sequence[str], source: str, test_source: str
) -> None:
    for example in test:
        if example.label not in names:
            raise InputError(
                f"{test_source}, line {example.line} has the label {example.label!r}, which "
                f"{source} has not: it was never trained on; add examples or remove the line"
            )
    if missing := sorted(set(names) - {example.label for example in test}):
        note(f"{test_source} has no example of {len(missing)} labels, such as {missing[0]!r}")
