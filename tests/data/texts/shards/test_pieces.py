"""The same documents come out of files of every format, and what is wrong with one is named."""

import gzip
from itertools import pairwise

import pytest

from bigmodel.data.texts.shards import pieces as module
from bigmodel.data.texts.shards.pieces import END, pieces

FORMATS = ("txt", "jsonl", "csv", "tsv", "parquet", "txt.gz", "jsonl.gz", "csv.zst", "txt.zst")
DOCUMENTS = ["Größe 12 €\r\nsecond 👩‍👩‍👧 line\n", 'one "line", quoted', "x" * 300, "\tend\n\n\n."]


def read(*paths, field=""):
    return "".join(piece.text for piece in pieces(paths, field))


@pytest.mark.parametrize("chunk", [5, 1 << 16])
@pytest.mark.parametrize("name", FORMATS)
def test_documents_are_the_same_in_every_format(shard, name, chunk, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", chunk)
    path = shard(f"a.{name}", DOCUMENTS)
    told: list[int] = []
    found = "".join(piece.text for piece in pieces([path, path], "", told.append))
    assert found == 2 * "".join(text + END for text in DOCUMENTS)
    assert sum(told) == 2 * path.stat().st_size


@pytest.mark.parametrize("name", ["jsonl", "csv", "parquet"])
def test_blank_documents_are_none(shard, name):
    assert read(shard(f"a.{name}", ["one", " \n", "", "two"])) == f"one{END}two{END}"


def test_a_text_file_that_ends_its_last_document_does_not_end_it_twice(shard):
    assert read(shard("a.txt", ["one", "two", "\n"])) == f"one{END}two{END}\n"


def test_a_text_file_is_read_in_whole_lines_or_words(shard, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 10)
    text = "some words\nin lines that are longer than a chunk\nx\n"
    *found, end = [piece.text for piece in pieces([shard("a.txt", [text])], "")]
    assert ("".join(found), end) == (text, END)
    assert len(found) > 4
    assert all(piece.endswith("\n") or after.startswith(" ") for piece, after in pairwise(found))


def test_half_of_a_surrogate_pair_is_replaced(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(r'{"text": "a\ud83d b\ud83d\ude00"}', encoding="utf-8")
    assert read(path) == "a\N{REPLACEMENT CHARACTER} b\N{GRINNING FACE}" + END


JSON = b'{"text": "one"}\n{"text": "two"}\n'


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", JSON[:-4], "line 2 is no JSON, and it is cut there"),
        ("a.jsonl", b"\n{]\n", "line 2 is no JSON: "),
        ("a.jsonl", b"[" * 200_000 + b"\n", "line 1 is no JSON: "),
        ("a.jsonl", b'{"body": "one"}\n', "line 1 has no field 'text'; --data.field is .* body"),
        ("a.jsonl", b'["one"]\n', "line 1 has no field 'text'"),
        ("a.jsonl", b'{"text": 1}\n', "line 1: text is no text: 1"),
        ("a.jsonl.gz", gzip.compress(JSON, mtime=0)[:-9], "cannot be read"),
        ("a.csv", b"a,b\n1,2\n", "has no field 'text'; --data.field is one of a, b"),
        ("a.csv", b"a,text\n1,two\n1,\xff\n", "after line 0, is not UTF-8 text: .* 0xff"),
        ("a.txt", b"one\ntwo\n\xff", "line 3 is not utf-8 text: it has the byte 0xff"),
        ("a.txt", b"PK\x03\x04", "is a ZIP archive"),
        ("a.txt", "some text".encode("utf-16-le"), "is UTF-16 or no text"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, name, content, message, refused):
    path = tmp_path / name
    path.write_bytes(content)
    with refused(f"{path}.*{message}"):
        read(path)


@pytest.mark.parametrize("name", ["a.txt.zst", "a.parquet"])
def test_a_shard_that_is_cut_is_named(shard, name, refused):
    path = shard(name, DOCUMENTS)
    path.write_bytes(path.read_bytes()[:-4])
    with refused(f"{path} cannot be read"):
        read(path)


def test_another_field_may_have_the_text(shard, refused):
    pytest.importorskip("pyarrow")
    for name in ("a.csv", "a.parquet"):
        with refused("has no field 'body'; --data.field is one of number, text"):
            read(shard(name, DOCUMENTS), field="body")
    assert read(shard("a.csv", DOCUMENTS), field="number") == "".join(f"{n}{END}" for n in range(4))
