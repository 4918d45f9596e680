r"""A folder as one encrypted file, which a passphrase opens.

    "bigmodel sealed 1\n"    18 bytes
    cost                     1 byte: the logarithm of scrypt's N; r is 8, p is 1 (RFC 7914)
    salt                     16 bytes
    check                    32 bytes: the second half of what scrypt makes of the passphrase
    chunks                   AES-256-GCM under the first half, each 1 MiB of text and a tag of 16
                             bytes, the last one shorter or as long

The nonce of a chunk is its number in 11 bytes, the highest first, and 1 for the last chunk or else
0: the STREAM construction (Hoang, Reyhanitabar, Rogaway and Vizar, 2015), by which chunks that are
cut off, added, changed or in another order are noticed. A salt, and so a key, is used once. What is
encrypted is a tar file.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import struct
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from bigmodel.errors import naming
from bigmodel.experiment import InputError
from bigmodel.output import note
from bigmodel.protection.secrets import check_installed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SEALED = "export.sealed"
MAGIC = b"bigmodel sealed 1\n"
HEADER = struct.Struct("<18sB16s32s")
CHUNK, TAG = 1 << 20, 16
COST, HIGHEST = 17, 20
"""128 MiB and a third of a second to try a passphrase; and what a file may ask for at most."""


def sealed_file(path: Path) -> Path | None:
    """The encrypted file that a path is, or that is in it; None where there is none."""
    if path.is_dir():
        return path / SEALED if (path / SEALED).is_file() else None
    if not path.is_file():
        return None
    with naming(path, "read"), path.open("rb") as file:
        return path if file.read(len(MAGIC)) == MAGIC else None


def check_plain(path: Path) -> None:
    """Raises InputError for an encrypted export, of what reads plain files only."""
    if sealed_file(path) is not None:
        raise InputError(
            f"{path} is encrypted; launch.py decrypt {path} --out DIR writes the folder DIR, which "
            "can be used in its place"
        )


def seal(folder: Path, out: Path, passphrase: bytes) -> None:
    """Writes all files of a folder into an encrypted one; raises StorageError where it cannot."""
    salt = os.urandom(16)
    cipher, check = _derived(passphrase, salt, COST)
    with naming(out), out.open("wb") as file:
        file.write(HEADER.pack(MAGIC, COST, salt, check))
        sealing = _Sealing(file, cipher)
        target: Any = sealing  # of which tarfile only writes
        with tarfile.open(fileobj=target, mode="w|", bufsize=CHUNK) as tar:
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    tar.add(path, path.relative_to(folder).as_posix(), filter=_anonymous)
        sealing.finish()


def unseal(path: Path, passphrase: bytes, make: Callable[[str], IO[bytes]]) -> None:
    """Decrypts a file into those that ``make`` opens by their names.

    Raises:
        InputError: the passphrase is another one, or the file was changed or cut.
        StorageError: the file cannot be read, or another cannot be written.
    """
    chunks = _chunks(path, passphrase)
    source: Any = _Opened(chunks)  # of which tarfile only reads
    try:
        with tarfile.open(fileobj=source, mode="r|", bufsize=CHUNK) as tar:
            for member in tar:
                content = tar.extractfile(member)
                inside = not (Path(member.name).is_absolute() or ".." in Path(member.name).parts)
                if content is None or not inside:
                    raise tarfile.ReadError(f"no file {member.name}")
                with naming(Path(member.name)), make(member.name) as file:
                    shutil.copyfileobj(content, file, CHUNK)
    except tarfile.TarError as error:
        raise InputError(f"{path} has something else than files in it: {error}") from None
    for _ in chunks:  # The last one says that nothing is cut off.
        pass


@contextlib.contextmanager
def opened(path: Path, passphrase: bytes) -> Iterator[Path]:
    """A folder of what is encrypted, for as long as it takes to read it.

    Its files are in memory, and the folder has links to them; what is mapped outlasts it. Where
    the system has no such files, a note says that they are in a private folder until they are read.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bigmodel-")))
        in_memory = hasattr(os, "memfd_create") and Path("/proc/self/fd").is_dir()
        if not in_memory:
            note(f"{path} is decrypted into {folder}, and removed from there when it is read")

        def make(name: str) -> IO[bytes]:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            if not in_memory:
                return (folder / name).open("xb")
            descriptor = os.memfd_create("bigmodel")
            stack.callback(os.close, descriptor)
            (folder / name).symlink_to(f"/proc/{os.getpid()}/fd/{descriptor}")
            return os.fdopen(descriptor, "wb", closefd=False)

        unseal(path, passphrase, make)
        yield folder


def _derived(passphrase: bytes, salt: bytes, cost: int) -> tuple[AESGCM, bytes]:
    """The cipher that a passphrase stands for, and what tells it from others."""
    check_installed("an encrypted export")
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    made = Scrypt(salt=salt, length=64, n=1 << cost, r=8, p=1).derive(passphrase)
    return AESGCM(made[:32]), made[32:]


def _chunks(path: Path, passphrase: bytes) -> Iterator[bytes]:
    from cryptography.exceptions import InvalidTag

    with naming(path, "read"), path.open("rb") as file:
        size = path.stat().st_size
        header = file.read(HEADER.size).ljust(HEADER.size, b"\0")
        magic, cost, salt, check = HEADER.unpack(header)
        if magic != MAGIC or not 1 <= cost <= HIGHEST:
            raise InputError(f"{path} is no encrypted export, or its first bytes were changed")
        cipher, known = _derived(passphrase, salt, cost)
        if known != check:
            raise InputError(
                f"the passphrase is not that of {path}, or its first {HEADER.size} bytes were "
                "changed"
            )
        for number in itertools.count():
            begin = file.tell()
            block = file.read(CHUNK + TAG)
            last = file.tell() == size
            try:
                yield cipher.decrypt(_nonce(number, last=last), block, None)
            except (InvalidTag, ValueError):
                raise InputError(
                    f"{path} was changed or cut between byte {begin} and {file.tell()} of {size}"
                ) from None
            if last:
                return


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    member.mode = 0o600
    return member


class _Sealing:
    """A file to write to, of which chunks are encrypted; the last one is at its end."""

    def __init__(self, file: IO[bytes], cipher: AESGCM) -> None:
        self._file, self._cipher = file, cipher
        self._number, self._held = 0, bytearray()

    def write(self, content: bytes) -> int:
        self._held += content
        while len(self._held) > CHUNK:
            self._emit(last=False)
        return len(content)

    def finish(self) -> None:
        self._emit(last=True)

    def _emit(self, *, last: bool) -> None:
        text = bytes(self._held[:CHUNK])
        self._file.write(self._cipher.encrypt(_nonce(self._number, last=last), text, None))
        self._number += 1
        del self._held[:CHUNK]


class _Opened:
    """A file to read from, of chunks."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks

    def read(self, size: int) -> Any:
        del size  # Each is as long as tarfile asks for, or shorter.
        return next(self._chunks, b"")
