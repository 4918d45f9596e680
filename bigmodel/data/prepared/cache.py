"""Folders of prepared data: made once by one process, found whole by all others."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bigmodel.data.prepared.contents import cache_root, contents, read_contents, remember
from bigmodel.errors import StorageError
from bigmodel.experiment import InputError
from bigmodel.files import LOCK, InUseError, locked, sync, user_cache, write_json
from bigmodel.output import RANK, note

LAYOUT = 1
"""Version of what is kept beside the files of prepared data."""
WHOLE = "whole.json"
"""File of a folder of prepared data that says what the others are; it is written last."""
WAIT_SECONDS = 0.5
HEAD_START = 3.0
"""Seconds in which the others leave it to the first process of a run to prepare: it shows how far
it is."""
READ_ONLY = 0o444


def prepared(
    kind: str, key: Mapping[str, Any], make: Callable[[Path], None], *, cache: str
) -> Path:
    """A folder with what ``make`` has written, now or at an earlier start; it is to be read only.

    Made beside its place and renamed when all of it has reached the disk, so it is whole or not
    there, wherever a process is killed. Of several processes one makes it and the others wait.

    Args:
        kind: what it is, in the name of the folder.
        key: all that decides the files, as JSON: digests of what they are made of, options and,
            as ``version``, a number that changes with the code of ``make``.
        make: writes files, not folders, into an empty folder. What it raises is raised here, after
            what it has written was removed.
        cache: ``--data.cache``; empty for the user's cache.

    Raises:
        InputError: a file is cut, missing or changed; the folder to remove is named.
        StorageError: the disk is full, or cannot be written.
    """
    place = _place(kind, key, cache)
    folder = place / "data"
    if not folder.exists():
        _tell_of_others(place)
        _leave_to_first(place)
        with _turn(place):
            if not folder.exists():
                _make(place, folder, key, make, cache)
    _check(folder, cache)
    return folder


def recorded(folder: Path) -> dict[str, str]:
    """The sha256 of each file of prepared data by its name."""
    files = json.loads((folder / WHOLE).read_bytes())["files"]
    return {name: sha256 for name, (_, sha256) in files.items()}


def find_prepared(kind: str, key: Mapping[str, Any], *, cache: str) -> Path | None:
    """The folder that :func:`prepared` has made for a key; None where there is none.

    Raises:
        InputError: a file in it is cut, missing or changed.
    """
    if not cache and user_cache() is None:
        return None
    place = _place(kind, key, cache)
    if not (place / "data").exists():
        _tell_of_others(place)
        return None
    _check(place / "data", cache)
    return place / "data"


def _place(kind: str, key: Mapping[str, Any], cache: str) -> Path:
    versions = f"{LAYOUT}.{key.get('version', 0)}"
    unversioned = {name: value for name, value in key.items() if name != "version"}
    digest = hashlib.sha256(json.dumps(unversioned, sort_keys=True).encode()).hexdigest()[:24]
    return cache_root(cache) / f"{kind}-{digest}-{versions}"


def _tell_of_others(place: Path) -> None:
    for other in sorted(place.parent.glob(f"{place.name.rpartition('-')[0]}-*/data")):
        note(f"{other.parent} is of another version of the code and is not used")


def _leave_to_first(place: Path) -> None:
    until = time.monotonic() + (HEAD_START if os.environ.get(RANK, "0") != "0" else 0)
    while time.monotonic() < until and not (place / LOCK).exists():
        time.sleep(WAIT_SECONDS / 10)


@contextlib.contextmanager
def _turn(place: Path) -> Iterator[None]:
    """Keeps other processes from making the same, and waits for one that does."""
    with contextlib.ExitStack() as stack:
        while True:
            try:
                place.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locked(place, otherwise="this one waits for what it prepares"))
                break
            except InUseError as error:
                note(str(error))
                time.sleep(WAIT_SECONDS)
            except OSError as error:
                raise _storage_error(place, error) from error
        yield


def _make(
    place: Path, folder: Path, key: Mapping[str, Any], make: Callable[[Path], None], cache: str
) -> None:
    partial = place / "partial"
    begun = time.monotonic()
    try:
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir()
        make(partial)
        files = sorted(path for path in partial.iterdir() if path.is_file())
        read = read_contents(files) if files else []
        kept = {each.path.name: [each.size, each.sha256] for each in read}
        write_json(partial / WHOLE, {"key": dict(key), "files": kept})
        for path in (*files, partial / WHOLE):
            path.chmod(READ_ONLY)
            sync(path)
        sync(partial)
        partial.rename(folder)
        sync(place)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise _storage_error(place, error) from error
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    remember([each._replace(path=folder.absolute() / each.path.name) for each in read], cache=cache)
    size, seconds = sum(each.size for each in read), time.monotonic() - begun
    print(f"prepared {size / 1e6:.1f} MB in {seconds:.0f} s: {folder}", file=sys.stderr, flush=True)


def _check(folder: Path, cache: str) -> None:
    """Raises InputError for files that are not what was made, and names one."""
    again = f"remove {folder.parent} and it is prepared again"
    try:
        files = json.loads((folder / WHOLE).read_bytes())["files"]
        expected = {folder / name: (size, sha256) for name, (size, sha256) in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{folder / WHOLE} is missing or damaged; {again}") from None
    for path, (size, _) in expected.items():
        if not path.is_file():
            raise InputError(f"{path} is missing; {again}")
        if path.stat().st_size != size:
            raise InputError(
                f"{path} has {path.stat().st_size} bytes and had {size} when it was prepared; "
                f"{again}"
            )
    for content in contents(list(expected), cache=cache) if expected else []:
        if content.sha256 != expected[folder / content.path.name][1]:
            raise InputError(f"{content.path} has changed since it was prepared; {again}")


def _storage_error(place: Path, error: OSError) -> StorageError:
    reason = error.strerror or error
    return StorageError(f"cannot prepare data in {place}: {reason}; --data.cache is another place")
