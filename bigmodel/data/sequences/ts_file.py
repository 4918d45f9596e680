"""Sequences with labels from ``.ts`` files, the text format of the UEA and UCR archives."""

from __future__ import annotations

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
        InputError: The file cannot be read, or a line cannot be used.
    """
    return parse_ts(Stream(str(path), read_lines(path)))


def parse_ts(stream: Stream) -> list[Case]:
    """The sequences in lines of text.

    A line is one sequence: its channels, then its label, with ``:`` between them, and the
    values of a channel with commas between them.

    Raises:
        InputError: A line cannot be used: values are missing or not numbers, or channels differ
            in length or number. The message names the line.
    """
    path = stream.name
    cases: list[Case] = []
    declared: list[str] = []
    in_data = False
    for number, line in enumerate(stream.lines, start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if in_data:
            cases.append(_case(path, number, line, declared))
            channels, first = cases[-1].content.shape[1], cases[0]
            if channels != first.content.shape[1]:
                raise InputError(
                    f"{path}, line {number} has {channels} channels, and line {first.line} has "
                    f"{first.content.shape[1]}; all sequences need the same ones"
                )
            continue
        key, *values = line.split()
        match key.lower(), [value.lower() for value in values[:1]]:
            case "@classlabel", ["true"]:
                declared = [normalized(value) for value in values[1:]]
            case "@timestamps", ["true"]:
                raise InputError(f"{path}, line {number}: time stamps are not supported")
            case "@data", _:
                in_data = True
    if not declared:
        raise InputError(f"{path} declares no classes; it needs a line @classLabel true A B ...")
    if not cases:
        raise InputError(f"{path} has no sequences; they go on the lines after @data")
    return cases


def _case(path: str, number: int, line: str, declared: list[str]) -> Case:
    *channels, label = line.split(":")
    label = normalized(label)
    where = f"{path}, line {number}"
    if label not in declared:
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
