"""Sequences with labels from ``.ts`` files, the text format of the UEA and UCR archives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from bigmodel.data.labelled import Example
from bigmodel.data.texts.text_file import Stream, normalized, read_lines
from bigmodel.experiment import InputError

LARGEST = float(np.finfo(np.float32).max)

Case: TypeAlias = Example[Float[np.ndarray, "time channel"]]


def read_ts(path: Path) -> list[Case]:
    """The sequences of a file, which may be gzipped, as :func:`parse_ts` reads its lines.

    Raises:
        InputError: The file cannot be read, a line cannot be used, or there are no labels.
    """
    return parse_ts(Stream(str(path), read_lines(path)), labelled=True)


def parse_ts(stream: Stream, *, labelled: bool = False) -> list[Case]:
    """The sequences in lines of text.

    A line is one sequence: its channels, then its label, with ``:`` between them, and the
    values of a channel with commas between them. After ``@classLabel false`` there are no labels,
    and that of each sequence is empty, unless they have to be ``labelled``.

    Raises:
        InputError: A line cannot be used: values are missing or not numbers, or channels differ
            in length or number. The message names the line. Or no classes are declared.
    """
    path = stream.name
    cases: list[Case] = []
    lines = ((number, line.strip()) for number, line in enumerate(stream.lines, start=1))
    meant = ((number, line) for number, line in lines if line and not line.startswith("#"))
    declared = _declared(path, meant)
    if declared is None or (labelled and not declared):
        raise InputError(f"{path} declares no classes; it needs a line @classLabel true A B ...")
    for number, line in meant:
        cases.append(_case(path, number, line, declared))
        channels, first = cases[-1].content.shape[1], cases[0]
        if channels != first.content.shape[1]:
            raise InputError(
                f"{path}, line {number} has {channels} channels, and line {first.line} has "
                f"{first.content.shape[1]}; all sequences need the same ones"
            )
    if not cases:
        raise InputError(f"{path} has no sequences; they go on the lines after @data")
    return cases


def _declared(path: str, lines: Iterator[tuple[int, str]]) -> list[str] | None:
    """The labels that the lines up to @data declare: none where there are to be none.

    None where they say nothing of labels.
    """
    declared = None
    for number, line in lines:
        key, *values = line.split()
        match key.lower(), [value.lower() for value in values[:1]]:
            case "@classlabel", ["true"]:
                declared = [normalized(value) for value in values[1:]] or None
            case "@classlabel", ["false"]:
                declared = []
            case "@timestamps", ["true"]:
                raise InputError(f"{path}, line {number}: time stamps are not supported")
            case "@data", _:
                break
    return declared


def _case(path: str, number: int, line: str, declared: list[str]) -> Case:
    *channels, label = line.split(":") if declared else [*line.split(":"), ""]
    label = normalized(label)
    where = f"{path}, line {number}"
    if declared and label not in declared:
        raise InputError(f"{where} ends with {label[:40]!r}, which is no label of @classLabel")
    if not channels:
        raise InputError(f"{where} has a label and no values")
    values = [[_number(cell, where) for cell in channel.split(",")] for channel in channels]
    lengths = sorted({len(channel) for channel in values})
    if len(lengths) > 1:
        raise InputError(
            f"{where} has channels of {lengths[0]} and of {lengths[-1]} values; "
            "all channels of a sequence need the same number"
        )
    return Example(label, np.array(values, np.float32).T, number)


def _number(cell: str, where: str) -> float:
    try:
        number = float(cell)
    except ValueError:
        raise InputError(
            f"{where}: {cell.strip()[:40]!r} is no number; fill missing values in first"
        ) from None
    if not abs(number) < LARGEST:
        raise InputError(
            f"{where}: {cell.strip()} is no finite number of 32 bits; fill such values in first"
        )
    return number
