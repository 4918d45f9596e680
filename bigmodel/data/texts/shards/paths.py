"""What ``--data.path`` names: a file, a folder or a pattern of shards, and their formats."""

from __future__ import annotations

import functools
import glob
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from bigmodel.data.prepared.written import is_written
from bigmodel.experiment import InputError
from bigmodel.output import note

Format: TypeAlias = Literal["text", "jsonl", "csv", "tsv", "parquet", "tokens"]

FORMATS: dict[str, Format] = {
    ".txt": "text",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".bin": "tokens",
}
PACKED = (".gz", ".zst")
SMALL = 1 << 24
"""Bytes of a text file that is still read at each start, as it is."""
SMALL_PACKED = SMALL // 4
NUMBERED = re.compile(r"(.*\D)?(\d+)-of-(\d+)")
"""How the name of a shard says how many there are: ``train-00002-of-00041.parquet``."""
PADDED = re.compile(r"(\D*)(\d{2,})(\D*)")
"""How it says which one it is, and no more: ``part-00002.jsonl``, where one begins with 0."""


def format_of(path: Path) -> Format:
    """The format that a file's name says; text, where it says none."""
    return FORMATS.get(_suffix(path), "text")


def is_packed(path: Path) -> bool:
    """Whether the name says that the file is packed."""
    return path.suffix.lower() in PACKED


def _suffix(path: Path) -> str:
    return Path(path.stem if is_packed(path) else path.name).suffix.lower()


def is_prepared(path: str) -> bool:
    """Whether a text is too large, or in too many documents, to be read anew at each start."""
    file = Path(path)
    try:
        if not file.is_file():
            return file.is_dir() or (not file.exists() and glob.has_magic(path))
    except OSError:  # such as a name that is too long
        return False
    small = SMALL_PACKED if is_packed(file) else SMALL
    zstd = file.suffix.lower() == ".zst"
    return zstd or format_of(file) != "text" or file.stat().st_size > small


def text_files(path: str) -> list[Path]:
    """The files of a text in the order of their names.

    A folder has those of known formats in it and below it, but in folders of runs, of studies and
    of prepared data.

    Raises:
        InputError: there are none, or one of a numbered series is missing.
    """
    file = Path(path)
    if file.is_dir():
        inside = sorted(each for each in file.rglob("*") if _suffix(each) in FORMATS)
        visible = [each for each in inside if each.is_file() and not _is_hidden(each, file)]

        @functools.cache
        def is_ours(folder: Path) -> bool:
            return folder != file and (is_written(folder) or is_ours(folder.parent))

        found = [each for each in visible if not is_ours(each.parent)]
    elif file.exists():
        found = [file]
    else:
        found = [
            each for each in map(Path, sorted(glob.glob(path, recursive=True))) if each.is_file()
        ]
    if not found:
        known = ", ".join(FORMATS)
        where = "has no file of" if file.is_dir() else "names no file; give one of"
        raise InputError(f"--data.path {path} {where} {known}, each also {' or '.join(PACKED)}")
    for each in found:
        if format_of(each) == "tokens":
            raise InputError(
                f"{each} is a token file, which is given alone, or as a folder with its train.bin"
            )
    _check_all_there(found)
    _tell_gaps(found)
    return found


def _is_hidden(path: Path, folder: Path) -> bool:
    return any(name.startswith(".") for name in path.relative_to(folder).parts)


def _check_all_there(files: Sequence[Path]) -> None:
    """Raises InputError where names say that there are more shards."""
    series: dict[tuple[Path, str, int], set[int]] = {}
    for path in files:
        if match := NUMBERED.match(path.name):
            name, number, count = match.groups()
            series.setdefault((path.parent, name or "", int(count)), set()).add(int(number))
    for (folder, name, count), there in series.items():
        first = min(min(there), 1)
        missing = sorted({*range(first, first + count)} - there)
        if missing and len(files) > 1:
            raise InputError(
                f"{folder} has {len(there)} of the {count} shards {name}*-of-{count}; number "
                f"{missing[0]} is missing"
            )


def _tell_gaps(files: Sequence[Path]) -> None:
    """Says which shards lack between others; nothing says whether they are to be there."""
    series: dict[tuple[Path, str, int, str], set[int]] = {}
    for path in files:
        if match := PADDED.fullmatch(path.name):
            name, number, end = match.groups()
            series.setdefault((path.parent, name, len(number), end), set()).add(int(number))
    for (folder, name, width, end), there in series.items():
        first, is_padded = min(there), min(there) < 10 ** (width - 1)
        lacking = max(there) - first + 1 - len(there)
        # Numbers that are far apart are no series, but ids or dates.
        if is_padded and 0 < lacking < len(there):
            missing = next(number for number in range(first, max(there)) if number not in there)
            more = f" and {lacking - 1} more" if lacking > 1 else ""
            note(f"{folder} lacks {name}{missing:0{width}}{end}{more} between its shards")
