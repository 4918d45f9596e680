"""Files that may be packed, as streams of what is in them."""

from __future__ import annotations

import contextlib
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from bigmodel.experiment import InputError

CHUNK = 1 << 18
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


class Opened(NamedTuple):
    """A file as it lies there, whose position says how far one is, and what is in it."""

    raw: BinaryIO
    content: io.BufferedReader


@contextlib.contextmanager
def unpacked(path: Path) -> Iterator[Opened]:
    """Opens a file, which is unpacked where its first bytes say that it is packed.

    Raises:
        InputError: it is missing, damaged or cut, or its packer is not installed.
    """
    try:
        with path.open("rb", buffering=0) as raw:
            start = raw.read(4)
            raw.seek(0)
            stream: Any = raw
            if start.startswith(GZIP):
                stream = gzip.GzipFile(fileobj=raw)
            elif start.startswith(ZSTD):
                stream = _Zstd(raw)
            yield Opened(cast(BinaryIO, raw), io.BufferedReader(stream, CHUNK))
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be read: {reason}") from None


class _Zstd(io.RawIOBase):
    """The content of zstd frames; unlike the library's reader, it tells where one is cut."""

    def __init__(self, raw: io.FileIO) -> None:
        try:
            import zstandard
        except ImportError:
            raise InputError(f"{raw.name} is packed by zstd; pip install -e '.[zstd]'") from None
        self._unpacker = zstandard.ZstdDecompressor()
        self._error = zstandard.ZstdError
        self._raw = raw
        self._frame: Any = None
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            chunk = self._raw.read(CHUNK)
            if not chunk:
                if self._frame is not None:
                    raise EOFError("it is cut, for its last frame has no end")
                return 0
            self._ready = memoryview(self._unpack(chunk))
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _unpack(self, data: bytes) -> bytes:
        found = []
        try:
            while data:
                self._frame = self._frame or self._unpacker.decompressobj()
                found.append(self._frame.decompress(data))
                data = b""
                if self._frame.eof:
                    data, self._frame = self._frame.unused_data, None
        except self._error as error:
            raise OSError(f"zstd: {error}") from None
        return b"".join(found)
