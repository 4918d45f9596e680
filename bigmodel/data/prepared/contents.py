"""Which content files have, by a sha256 that is kept as long as nobody has written to them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from bigmodel.data.prepared.progress import Progress
from bigmodel.data.prepared.threads import threads
from bigmodel.errors import StorageError, naming
from bigmodel.experiment import InputError
from bigmodel.files import user_cache, write_atomically

SOURCES = "sources.json"
"""The asset that says which files a run was made of."""
RECORDS = "contents"
"""The folder in which a cache notes the digests of files."""
CHUNK = 1 << 22
THREADS = 8
YOUNG_NS = 2 * 10**9
"""A file that was written so short before it was read may be written again within one tick of the
file system's clock, so what was read then counts once."""


class Content(NamedTuple):
    """A file as it was when it was read: its sha256, and by what one sees that it is still so."""

    path: Path
    size: int
    modified: int
    inode: int
    sha256: str


def cache_root(cache: str) -> Path:
    """The folder of prepared data: ``cache``, or one in the user's cache where it is empty.

    Raises:
        InputError: it is empty and the user has no home folder.
    """
    if cache:
        return Path(cache)
    folder = user_cache()
    if folder is None:
        raise InputError("this user has no home folder for prepared data; give --data.cache DIR")
    return folder / "bigmodel" / "prepared"


def contents(paths: Sequence[Path], *, cache: str) -> list[Content]:
    """What files contain, without reading those that have not changed since an earlier start.

    Args:
        paths: the files, in an order that is the same each time; the cache remembers them together.
        cache: ``--data.cache``; a cache that cannot be written remembers nothing.

    Raises:
        InputError: one changes while it is read.
        StorageError: one is missing or cannot be read.
    """
    whole = [Path(os.path.abspath(path)) for path in paths]
    known = {content.path: content for content in _remembered(whole, cache)}
    unread = [path for path in whole if not _is_same(path, known.get(path))]
    if unread:
        known |= {content.path: content for content in read_contents(unread)}
        remember([known[path] for path in whole], cache=cache)
    return [known[path] for path in whole]


def read_contents(paths: Sequence[Path]) -> list[Content]:
    """What files contain, all of which are read."""
    sizes = sum(_stat(path).st_size for path in paths)
    what = f"reading {paths[0].name}" + (f" and {len(paths) - 1} more" if paths[1:] else "")
    with Progress(what, sizes) as progress, ThreadPoolExecutor(threads(THREADS)) as pool:
        return list(pool.map(lambda path: _read(path, progress), paths))


def remember(read: Sequence[Content], *, cache: str) -> None:
    """Keeps what was read, so that :func:`contents` of the same files need not read them."""
    now = time.time_ns()
    kept = [
        [str(content.path), *content[1:]] for content in read if now - content.modified > YOUNG_NS
    ]
    if kept:
        with contextlib.suppress(StorageError):
            write_atomically(
                _record([each.path for each in read], cache), json.dumps(kept).encode()
            )


def check_unchanged(read: Iterable[Content]) -> None:
    """Raises InputError where a file is not the one that was read, which costs 2 us for each."""
    for content in read:
        if not _is_same(content.path, content):
            raise InputError(
                f"{content.path} has changed since this run has read it; start again with the data "
                "that it is to learn from"
            )


def digest_of(read: Iterable[Content]) -> str:
    """One sha256 of the contents of files in their order, wherever they are."""
    return hashlib.sha256("\n".join(content.sha256 for content in read).encode()).hexdigest()


def listed(read: Sequence[Content]) -> bytes:
    """The sha256 of each file by its name, as :data:`SOURCES` has them."""
    root = os.path.commonpath([content.path.parent for content in read])
    names = {content.path.relative_to(root).as_posix(): content.sha256 for content in read}
    return json.dumps(names).encode()


def what_changed(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """The first file in which two lists differ, and how; empty where they do not."""
    for name in sorted(before.keys() | now.keys()):
        if name not in now:
            return f"{name} is missing"
        if before.get(name) != now[name]:
            return f"{name} is {'another one' if name in before else 'new'}"
    return ""


def _remembered(paths: Sequence[Path], cache: str) -> list[Content]:
    with contextlib.suppress(OSError, ValueError, TypeError):
        kept = json.loads(_record(paths, cache).read_bytes())
        return [Content(Path(path), *rest) for path, *rest in kept]
    return []


def _record(paths: Sequence[Path], cache: str) -> Path:
    name = hashlib.sha256("\n".join(map(str, paths)).encode("utf-8", "surrogateescape"))
    return cache_root(cache) / RECORDS / f"{name.hexdigest()[:32]}.json"


def _stat(path: Path) -> os.stat_result:
    with naming(path, "read"):
        return path.stat()


def _is_same(path: Path, content: Content | None) -> bool:
    if content is None:
        return False
    try:
        now = path.stat()
    except OSError:
        return False
    return (now.st_size, now.st_mtime_ns, now.st_ino) == content[1:4]


def _read(path: Path, progress: Progress) -> Content:
    before = _stat(path)
    digest = hashlib.sha256()
    with naming(path, "read"), path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            progress.add(len(chunk))
    found = Content(path, before.st_size, before.st_mtime_ns, before.st_ino, digest.hexdigest())
    if not _is_same(path, found):
        raise InputError(f"{path} changes while it is read; wait until it is whole")
    return found
