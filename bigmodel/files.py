"""Files that a reader never sees half written, and folders that one process has for itself."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import itertools
import json
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bigmodel.errors import naming
from bigmodel.experiment import InputError

PARTIAL = ".partial"
"""How the name of a file ends that is not yet whole."""
LOCK = ".lock"
"""File in a folder that names the process which has it for itself."""
JOB = "SLURM_JOB_ID"
TURN_SECONDS = 5.0


class InUseError(InputError):
    """Another process has a folder for itself."""


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all; raises StorageError where it cannot be written."""
    temporary = path.with_name(f".{path.name}{PARTIAL}")
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


def write_json(path: Path, value: Any) -> None:
    """Writes a value as indented JSON, whole or not at all."""
    write_atomically(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def free_folder(asked: Path | None, folder: Path) -> Path:
    """A folder to write to: the one that is asked for, else one in ``folder`` by the next number.

    Raises:
        InputError: the one that is asked for has files.
    """
    if asked is None:
        return next(path for n in itertools.count() if not (path := folder / str(n)).exists())
    if asked.exists() and (not asked.is_dir() or any(asked.iterdir())):
        raise InputError(f"--out {asked} is not empty; choose another folder")
    return asked


@contextlib.contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """Makes a folder and those above it; where the block fails, those that it made are removed.

    SIGTERM ends the block as an error does, so that nothing half-made stays.

    Raises:
        StorageError: it cannot be made.
    """
    new = [each for each in (folder, *folder.parents) if not each.exists()]
    with ended_by_sigterm():
        try:
            with naming(folder):
                folder.mkdir(parents=True, exist_ok=True)
            yield
        except BaseException:
            for each in new:
                # Another process may have put something there.
                with contextlib.suppress(OSError):
                    each.rmdir()
            raise


@contextlib.contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Raises SystemExit in the block where the process is told to end; of the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: object) -> None:
        del frame
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def sync(path: Path) -> None:
    """Returns when a file, or the entries of a folder, would outlast a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def user_cache() -> Path | None:
    """The user's cache folder, ``XDG_CACHE_HOME`` or ``~/.cache``; None for a user without one."""
    if chosen := os.environ.get("XDG_CACHE_HOME"):
        return Path(chosen)
    with contextlib.suppress(RuntimeError):
        return Path.home() / ".cache"
    return None


def sha256_of(path: Path) -> str:
    """The sha256 of a file's content."""
    with naming(path, "read"), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def locked(folder: Path, *, otherwise: str, shared: bool = False) -> Iterator[None]:
    """Keeps other processes, on any machine, out of a folder while entered.

    The file ``.lock`` names host, process and its start; holders of a shared lock have a file
    ``.lock-*`` each. A file whose process is gone is removed. That can be told on the same host,
    and where SLURM has started the same job again on another one. Where the file system locks
    files itself, that counts too. ``shared`` lets in others that say the same; ``otherwise`` is
    what the user is to do where another one is there.

    Raises:
        InUseError: another process has the lock; it is named.
        StorageError: the folder cannot be written.
    """
    with naming(folder), _one_at_a_time(folder, otherwise):
        _check_free(folder, otherwise, shared=shared)
        if shared:
            descriptor, name = tempfile.mkstemp(prefix=f"{LOCK}-", dir=folder)
            path = Path(name)
        else:
            path = folder / LOCK
            try:
                descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644)
            except FileExistsError:
                _check_free(folder, otherwise, shared=shared)
                raise
        try:
            os.write(descriptor, json.dumps(_this_process()).encode())
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Another host may have come in between.
            _check_free(folder, otherwise, shared=shared, own=path)
        except BaseException:
            path.unlink(missing_ok=True)
            os.close(descriptor)
            raise
    process = os.getpid()
    try:
        yield
    finally:
        # Not in a process that was forked meanwhile.
        if os.getpid() == process:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            os.close(descriptor)


@contextlib.contextmanager
def _one_at_a_time(folder: Path, otherwise: str) -> Iterator[None]:
    """Lets the processes of one host look for stale locks in turn, where the system can.

    A process that keeps this turn is of a version which had no other lock.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    until = time.monotonic() + TURN_SECONDS
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > until:
                    message = f"another process is running in {folder}; {otherwise}"
                    raise InUseError(message) from None
                time.sleep(0.05)
            except OSError:
                break  # This file system has no locks.
            else:
                break
        yield
    finally:
        os.close(descriptor)


def _check_free(
    folder: Path, otherwise: str, *, shared: bool = False, own: Path | None = None
) -> None:
    """Removes stale locks; raises InUseError for one that is not stale."""
    for path in sorted(folder.glob(f"{LOCK}*")):
        if path == own or (shared and path.name != LOCK):
            continue
        try:
            holder = _holder(path)
        except FileNotFoundError:
            continue
        if holder is None:
            path.unlink(missing_ok=True)
            continue
        here = holder["host"] == socket.gethostname()
        where = "this machine" if here else f"{holder['host']}; if that is gone, remove {path}"
        raise InUseError(
            f"another process is running in {folder}; {otherwise} "
            f"(it is process {holder['process']} on {where})"
        )


def _holder(path: Path) -> dict[str, Any] | None:
    """What a lock says of its process; None where that is gone."""
    with path.open("rb") as file:
        held = False
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            # By any other error the file system says that it has no locks.
            held = isinstance(error, BlockingIOError)
        holder = _parse(file.read())
    if holder is None and not held:
        # It may be about to be written by another host, or a power cut has emptied it.
        time.sleep(1.0)
        holder = _parse(path.read_bytes())
    if held:
        return holder or {"host": "a host", "process": "unknown"}
    if holder is None:
        return None
    this = _this_process()
    if holder["host"] != this["host"]:
        again = holder["job"] is not None and holder["job"] == this["job"]
        return None if again else holder
    return holder if holder["started"] == _start_of(holder["process"]) else None


def _parse(content: bytes) -> dict[str, Any] | None:
    with contextlib.suppress(ValueError):
        value = json.loads(content)
        if isinstance(value, dict) and {"host", "process", "started", "job"} <= set(value):
            return value
    return None


def _this_process() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "process": os.getpid(),
        "started": _start_of(os.getpid()),
        "job": os.environ.get(JOB),
    }


def _start_of(process: int) -> str | None:
    """When a process began, so that a later one of its number is not taken for it; None if gone."""
    system = Path("/proc")
    if not (system / "self/stat").exists():
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return None
        except PermissionError:
            pass
        return "some time"
    try:
        status = (system / str(process) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    state, *fields = status.rpartition(")")[2].split()
    return None if state == "Z" else fields[18]
