"""Answers as lines of JSON, as a table, or as image files."""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from PIL import Image

from bigmodel.data.texts.text_file import csv_rows
from bigmodel.errors import naming
from bigmodel.experiment import InputError
from bigmodel.files import PARTIAL, made_folder
from bigmodel.predictor import Best, Ranked

Write = Callable[[Any], None]


def first_of(answer: Any, count: int | None) -> Any:
    """The answer with no more than the first ``count`` of all that is ranked."""
    if count is None:
        return answer
    match answer:
        case Ranked():
            return Best(list(answer.items())[:count])
        case Mapping():
            return {name: first_of(value, count) for name, value in answer.items()}
        case list():
            return [first_of(each, count) for each in answer]
    return answer


@contextlib.contextmanager
def opened(out: Path | None) -> Iterator[Write]:
    """A function that writes answers, one after another.

    Without a path it prints lines of JSON. A path that ends in ``.csv`` becomes a table, one that
    ends in ``.jsonl`` or ``.json`` lines of JSON; a file is there when all is written, or not at
    all. Any other path is a folder for images, ``0.png`` and so on, with the lines of JSON in
    ``answers.jsonl``.

    Raises:
        InputError: an answer has an image, and there is no folder for it; or the path is there.
        StorageError: it cannot be written.
    """
    if out is None:
        yield lambda answer: print(json.dumps(plain(answer, no_folder)), flush=False)
        sys.stdout.flush()
        return
    folder = out.suffix not in (".csv", ".json", ".jsonl")
    with naming(out):
        if folder and out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise InputError(f"--out {out} is not empty; choose another folder")
        if not folder and out.is_dir():
            raise InputError(f"--out {out} is a folder; give a file")
    file = out / "answers.jsonl" if folder else out
    with made_folder(file.parent):
        try:
            with _partial(file, out) as stream:
                if out.suffix == ".csv":
                    table = _Table(stream)
                    yield _naming(out, table.write)
                    with naming(out):
                        table.end()
                else:
                    yield _naming(out, _json(stream, out, folder))
        except BaseException:
            # Nothing half-made stays.
            for each in out.glob("*.png") if folder else ():
                each.unlink()
            raise


@contextlib.contextmanager
def _partial(file: Path, out: Path) -> Iterator[TextIO]:
    """A file that is there when all is written, or not at all; errors of writing name ``out``."""
    partial = file.with_name(f".{file.name}{PARTIAL}")
    try:
        with naming(out):
            stream = partial.open("w+", encoding="utf-8", newline="")
        try:
            yield stream
            with naming(out):
                stream.close()
                partial.replace(file)
        finally:
            # What is still to be written cannot be, or no longer matters.
            with contextlib.suppress(OSError):
                stream.close()
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _naming(out: Path, write: Write) -> Write:
    """The function, whose errors of writing name ``out``; those of inputs do not."""

    def named(answer: Any) -> None:
        with naming(out):
            write(answer)

    return named


def no_folder(pixels: np.ndarray) -> str:
    """Refuses an image."""
    del pixels
    raise InputError("the answers are images; give a folder for them with --out DIR")


def plain(value: Any, save: Callable[[np.ndarray], Any]) -> Any:
    """The value with each image in it replaced by what ``save`` returns."""
    match value:
        case np.ndarray():
            return save(value)
        case Mapping():
            return {name: plain(inner, save) for name, inner in value.items()}
        case list():
            return [plain(inner, save) for inner in value]
    return value


def _json(stream: TextIO, out: Path, folder: bool) -> Write:
    count = 0

    def save(pixels: np.ndarray) -> str:
        nonlocal count
        name = f"{count}.png"
        pixels = pixels[..., 0] if pixels.shape[-1:] == (1,) else pixels
        Image.fromarray(pixels).save(out / name)
        count += 1
        return name

    def write(answer: Any) -> None:
        stream.write(json.dumps(plain(answer, save if folder else no_folder)) + "\n")

    return write


class _Table:
    """Writes answers as rows of a table, whose columns are those of all."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._writer = stream, csv.writer(stream)
        self._columns: dict[str, None] = {}
        self._written: int | None = None

    def write(self, answer: Any) -> None:
        cells = dict(_cells("", answer))
        self._columns.update(dict.fromkeys(cells))
        if self._written is None:
            self._written = len(self._columns)
            self._writer.writerow(self._columns)
        self._writer.writerow([cells.get(name, "") for name in self._columns])

    def end(self) -> None:
        """Adds the columns that the first answer did not have."""
        if self._written is not None and len(self._columns) > self._written:
            _widen(self._stream, list(self._columns))


def _widen(stream: TextIO, columns: Sequence[str]) -> None:
    """Writes a table anew with more columns, which earlier rows do not have."""
    folder = Path(stream.name).parent
    with tempfile.TemporaryFile("w+", encoding="utf-8", newline="", dir=folder) as whole:
        writer = csv.writer(whole)
        writer.writerow(columns)
        stream.seek(0)
        for row in itertools.islice(csv_rows(stream, ","), 1, None):
            writer.writerow(row + [""] * (len(columns) - len(row)))
        whole.seek(0)
        stream.seek(0)
        shutil.copyfileobj(whole, stream)


def _cells(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The values of an answer by the name of their column; the best of more by their rank."""
    begin = f"{name}." if name else ""
    match value:
        case Best():
            for rank, (key, score) in enumerate(value.items(), start=1):
                yield f"{begin}{rank}.name", key
                yield f"{begin}{rank}.score", score
        case Mapping():
            for key, inner in value.items():
                yield from _cells(f"{begin}{key}", inner)
        case _:
            value = plain(value, no_folder)
            yield name or "answer", json.dumps(value) if isinstance(value, list) else value
