"""What a path names, and which texts are prepared."""

import pytest

from bigmodel.data.texts.shards import paths
from bigmodel.data.texts.shards.paths import is_prepared, text_files


@pytest.fixture
def folder(tmp_path):
    for name in ("b.txt", "a.jsonl.gz", "deep/c.parquet", "README", ".d.txt", "deep/.e/f.txt"):
        path = tmp_path / "texts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("text", encoding="utf-8")
    return tmp_path / "texts"


def names(path):
    return [each.name for each in text_files(str(path))]


def test_a_path_names_a_file_a_folder_or_a_pattern(folder):
    assert names(folder) == ["a.jsonl.gz", "b.txt", "c.parquet"]
    assert names(folder / "README") == ["README"]
    assert names(folder / "*.txt") == ["b.txt"]
    assert names(folder / "**/*.parquet") == ["c.parquet"]


def test_paths_without_a_text_are_refused(folder, refused):
    (folder / "empty").mkdir()
    (folder / "tokens.bin").touch()
    for path, message in (
        ("empty", "has no file of .txt, .jsonl"),
        ("*.md", "names no file"),
        ("tokens.bin", "is a token file"),
    ):
        with refused(message):
            names(folder / path)


def test_a_missing_shard_of_a_numbered_series_is_named(folder, refused):
    for number in (0, 1, 3):
        (folder / f"train-0000{number}-of-00004.txt").touch()
    with refused("has 3 of the 4 shards train-.*; number 2 is missing"):
        names(folder)
    assert names(folder / "train-00003*") == ["train-00003-of-00004.txt"]


def test_a_gap_between_numbered_shards_is_told(folder, capsys):
    for number in (0, 1, 2, 5, 6):
        (folder / f"part-0{number}.jsonl.gz").touch()
        (folder / f"20{number}.txt").touch()
    assert len(names(folder / "part-*")) == 5
    assert "lacks part-03.jsonl.gz and 1 more between its shards" in capsys.readouterr().err
    for number in (1, 10**11 - 1, 10**12 - 1):
        (folder / f"20-{number:012}.txt").touch()
    assert len(names(folder / "20*")) == 8
    assert capsys.readouterr().err == ""


def test_small_texts_and_what_is_no_file_are_read_as_before(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "SMALL", 4)
    assert not any(map(is_prepared, map(str, (
        folder / "b.txt", folder / "README", tmp_path / "absent.txt", tmp_path / (300 * "x"),
    ))))  # fmt: skip
    assert all(map(is_prepared, map(str, (
        folder, folder / "*.txt", folder / "a.jsonl.gz", folder / "deep/c.parquet",
    ))))  # fmt: skip
    (folder / "b.txt").write_text("texts", encoding="utf-8")
    assert is_prepared(str(folder / "b.txt"))
