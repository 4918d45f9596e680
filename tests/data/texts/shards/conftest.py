"""Documents in files of every format."""

import csv
import gzip
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest


def table(documents: Sequence[str], delimiter: str) -> bytes:
    rows = io.StringIO(newline="")
    writer = csv.writer(rows, delimiter=delimiter)
    writer.writerows([["number", "text"], *([str(n), text] for n, text in enumerate(documents))])
    return rows.getvalue().encode()


def parquet(documents: Sequence[str]) -> bytes:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    written = io.BytesIO()
    columns = {"number": range(len(documents)), "text": documents}
    parquet.write_table(pyarrow.table(columns), written, row_group_size=3)
    return written.getvalue()


CONTENT: dict[str, Callable[[Sequence[str]], bytes]] = {
    "txt": lambda documents: "<|endoftext|>".join(documents).encode(),
    "jsonl": lambda documents: "".join(
        json.dumps({"number": 1, "text": text}) + "\n" for text in documents
    ).encode(),
    "csv": lambda documents: table(documents, ","),
    "tsv": lambda documents: table(documents, "\t"),
    "parquet": parquet,
}


def packed(content: bytes, how: str) -> bytes:
    if how == "gz":
        return gzip.compress(content)
    if how == "zst":
        zstandard = pytest.importorskip("zstandard")
        half = len(content) // 2
        return b"".join(zstandard.compress(part) for part in (content[:half], content[half:]))
    return content


@pytest.fixture
def shard(tmp_path: Path) -> Callable[..., Path]:
    """Writes documents into a file, whose name says in which format."""

    def shard(name: str, documents: Sequence[str]) -> Path:
        _, kind, *pack = name.split(".")
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(packed(CONTENT[kind](documents), "".join(pack)))
        return path

    return shard
