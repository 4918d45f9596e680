"""What a table is to predict: a class or a number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from bigmodel.data.tables.columns import Column, Frame
from bigmodel.experiment import InputError

Task: TypeAlias = Literal["auto", "classification", "regression"]
Parts: TypeAlias = Mapping[str, tuple[Frame, Column]]
"""The rows of each part of the data, and their target."""

FEW = 20
"""Whole numbers of at most so many different values are classes, unless told."""


class Target(NamedTuple):
    """How the target ``column`` is told to the network.

    ``names`` are the classes in order, empty for regression, where the network is told
    ``(value - mean) / scale``.
    """

    column: str
    names: tuple[str, ...] = ()
    mean: float = 0.0
    scale: float = 1.0


def is_class(frame: Frame, target: Column, task: Task) -> bool:
    """Whether the target is a class rather than a number.

    Raises:
        InputError: If a row has no target, or a number is wanted and it is text.
    """
    if target.missing.any():
        line = frame.lines[target.missing.argmax()]
        raise InputError(
            f"{frame.source}, line {line} has no value in the target {target.name!r}; "
            "remove the row, or use --data.fill drop"
        )
    if task == "regression" and not target.numeric:
        raise InputError(
            f"{frame.source}, line {frame.lines[0]}, column {target.name!r}: "
            f"{str(target.values[0])!r} is no number, and --data.task regression needs numbers; "
            "choose another --data.target"
        )
    if task != "auto" or not target.numeric:
        return task != "regression"
    values = np.unique(target.values)
    return len(values) <= FEW and bool((values == values.round()).all())


def class_names(classes: np.ndarray) -> tuple[str, ...]:
    """Names of classes that are texts or numbers, whole ones without a decimal point."""
    if classes.dtype.kind != "f":
        return tuple(map(str, classes))
    return tuple(str(int(c)) if c == int(c) else repr(float(c)) for c in classes)


def constant(frame: Frame, target: Column) -> InputError:
    """The error for a target that is always the same."""
    (value,) = class_names(target.values[:1])
    return InputError(
        f"{frame.source}: the target {target.name!r} is {value!r} in every training row, and "
        "there is nothing to learn; choose another --data.target"
    )


def label_classes(parts: Parts) -> tuple[Target, dict[str, np.ndarray]]:
    """The classes in order, and int32 labels by part.

    Raises:
        InputError: If the training part has one class only, or another part has a class that
            the training part has not.
    """
    frame, target = parts["train"]
    classes = np.unique(target.values)
    if len(classes) < 2:
        raise constant(frame, target)
    for part, (held, column) in parts.items():
        unseen = ~np.isin(column.values, classes)
        if unseen.any():
            row = unseen.argmax()
            raise InputError(
                f"{held.source}, line {held.lines[row]} of the {part} part has the class "
                f"{str(column.values[row])!r} in {target.name!r}, which no training row has; "
                "remove it, or add such rows to the training data"
            )
    labels = {
        part: np.searchsorted(classes, column.values).astype(np.int32)
        for part, (_, column) in parts.items()
    }
    return Target(target.name, class_names(classes)), labels


def standardise(parts: Parts) -> tuple[Target, dict[str, np.ndarray]]:
    """The mean and the standard deviation of the training part, and float32 targets by part.

    Raises:
        InputError: If the target is the same in all training rows.
    """
    frame, target = parts["train"]
    if target.values.min() == target.values.max():
        raise constant(frame, target)
    mean, scale = float(target.values.mean()), float(target.values.std())
    standard = {
        part: ((column.values - mean) / scale).astype(np.float32)
        for part, (_, column) in parts.items()
    }
    return Target(target.name, (), mean, scale), standard
