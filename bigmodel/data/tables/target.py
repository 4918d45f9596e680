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

    @property
    def key(self) -> str:
        """The name of its values in a batch."""
        return "label" if self.names else "target"


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
            f"{target.text(0)!r} is no number, and --data.task regression needs numbers; "
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
    (value,) = class_names(target.distinct()[0])
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
    classes, _ = target.distinct()
    if len(classes) < 2:
        raise constant(frame, target)
    labels = {}
    for part, (held, column) in parts.items():
        found, place = column.distinct()
        unseen = ~np.isin(found, classes)
        if unseen.any():
            row = int(unseen[place].argmax())
            raise InputError(
                f"{held.source}, line {held.lines[row]} of the {part} part has the class "
                f"{str(found[place[row]])!r} in {target.name!r}, which no training row has; "
                "remove it, or add such rows to the training data"
            )
        labels[part] = np.searchsorted(classes, found)[place].astype(np.int32)
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


def encode_target(frame: Frame, column: Column, target: Target) -> np.ndarray:
    """Other rows' values of the target of a trained run.

    Raises:
        InputError: If a row has a class that the run was not trained on.
    """
    if not target.names:
        if not column.numeric:
            raise InputError(f"{frame.source}: the target {column.name!r} has no numbers")
        return ((column.values - target.mean) / target.scale).astype(np.float32)
    number = {name: index for index, name in enumerate(target.names)}
    values, place = column.distinct()
    found = class_names(values)
    labels = np.array([number.get(name, -1) for name in found], np.int32)[place]
    if (labels < 0).any():
        row = int((labels < 0).argmax())
        raise InputError(
            f"{frame.source}, line {frame.lines[row]} has the class {found[place[row]]!r} in "
            f"{column.name!r}, which the run was not trained on; remove the row"
        )
    return labels
