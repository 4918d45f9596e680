"""A table on disk is the table in memory, whatever happens while it is read."""

import gzip
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bigmodel.data import TableData, load_table
from bigmodel.data.tables import profiles
from bigmodel.data.tables.csv_table import CsvFormat
from bigmodel.data.tables.kinds import agree, profiles_of
from bigmodel.data.tables.large import blocks, kept
from bigmodel.errors import StorageError

ROWS = 300
MIXED = [
    "size,city,note,day,when,y",
    *(
        f"{'NA' if n % 50 == 7 else n * 1.5},{('Rome', 'Oslo', ' Lima', '')[n % 4]},"
        f'"{"two" if n % 3 else "a, b"}",2020-01-{n % 28 + 1:02d},'
        f"2020-03-04 05:{n % 60:02d}:07,{n % 3}"
        for n in range(ROWS)
    ),
]


@pytest.fixture
def both(write, monkeypatch, tmp_path):
    """Loads a table in memory and on disk."""

    def both(content, assets=None, **options):
        monkeypatch.setattr(blocks, "LARGE", 1 << 25)
        path = write(content, "table.csv")
        given = TableData("csv", path=path, batch_size=7, cache=str(tmp_path / "cache"), **options)
        small = load_table(given, assets)
        monkeypatch.setattr(blocks, "LARGE", -1)
        monkeypatch.setattr(blocks, "BYTES", 400)
        return given, small, load_table(given, assets)

    return both


def same(small, large) -> None:
    assert large.reader == small.reader
    assert large.data.assets == small.data.assets
    assert large.data.steps_per_epoch == small.data.steps_per_epoch
    for step in (0, 5, 40):
        np.testing.assert_equal(large.data.train(1, step), small.data.train(1, step))
        part = slice(2, 5)
        np.testing.assert_equal(large.data.train(1, step, part), small.data.train(1, step, part))
    assert list(large.data.splits) == list(small.data.splits)
    for name, split in small.data.splits.items():
        np.testing.assert_equal(list(large.data.splits[name]), list(split))


@pytest.mark.parametrize("options", [
    {}, {"fill": "drop"}, {"indicator": True, "fill": "median"}, {"target": "size", "fill": "drop"},
    {"task": "regression"}, {"folds": 3, "fold": 1}, {"ignore": ("city", "when")},
    {"categorical": ("day",), "target": "city", "fill": "drop"},
])  # fmt: skip
def test_batches_are_those_of_the_table_in_memory(both, options) -> None:
    _, small, large = both("\n".join(MIXED), **options)
    same(small, large)


def test_inputs_are_encoded_to_what_the_batches_have(both) -> None:
    _, small, large = both("\n".join(MIXED), validation=0.0)
    reader, inputs = large.reader, large.data.inputs["test"]
    encoded = reader.encode(list(inputs[:7]))["features"]
    np.testing.assert_allclose(encoded, large.data.splits["test"][0]["features"], atol=1e-6)
    np.testing.assert_allclose(encoded, reader.encode(small.data.inputs["test"][:7])["features"])


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
@pytest.mark.parametrize("header", ["x,y", "xx,y", "x" + 300 * "ä" + ",y", 300 * "ä" + ",y"])
def test_a_character_may_lie_over_the_end_of_a_block(both, end, header) -> None:
    lines = [header, *(f"{'ü' * 40}{n % 3},{n % 2}" for n in range(60))]
    _, small, large = both(end.join(lines))
    same(small, large)


def test_a_trained_run_reads_another_large_table(both) -> None:
    _, small, _ = both("\n".join(MIXED))
    other = ["y,when,day,note,city,size", "1,2020-03-04 05:06:07,2020-01-05,two,Quito,3", "2,,,,,"]
    _, one, two = both("\n".join(other), assets=small.data.assets)
    np.testing.assert_equal(list(two.data.splits["test"]), list(one.data.splits["test"]))


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: [*lines[:-1], "1,2"], "line 301 has 2 cells"),
        (
            lambda lines: [*lines[:-1], lines[-1].replace("2020-01", "2020-13")],
            "line 301, column 'd",
        ),
        (lambda lines: [*lines[:-1], "big" + lines[-1][5:]], "line 301, column 'size': 'big"),
        (lambda lines: [*lines[:-1], lines[-1].replace("two", "\udcff")], "line 301 is not UTF-8"),
        (lambda lines: [*lines[:-1], lines[-1].replace('two"', "two")], "line 301 is not CSV"),
    ],
)
def test_a_wrong_last_row_is_named(write, monkeypatch, tmp_path, pack, change, message, refused):
    monkeypatch.setattr(blocks, "LARGE", -1)
    monkeypatch.setattr(blocks, "BYTES", 400)
    content = "\n".join(change(MIXED)).encode("utf-8", "surrogateescape")
    cache = tmp_path / "cache"
    with refused(message):
        load_table(TableData("csv", path=write(pack(content)), cache=str(cache)))
    assert not [*cache.rglob("*.npy")]


def test_a_cut_archive_and_a_column_of_identifiers_are_named(
    write, monkeypatch, tmp_path, refused
) -> None:
    monkeypatch.setattr(blocks, "LARGE", -1)
    options = TableData("csv", cache=str(tmp_path / "cache"), path="f")
    packed = gzip.compress("\n".join(MIXED).encode())
    with refused("cannot be read: Compressed file ended"):
        load_table(replace(options, path=write(packed[:-40])))
    monkeypatch.setattr(kept, "MOST_TEXTS", 100)
    ids = ["id,y", *(f"u{n},{n % 2}" for n in range(ROWS))]
    with refused("'id' is text with more than 100 different values .*--data.ignore 'id'"):
        load_table(replace(options, path=write(ids)))


def test_a_full_disk_leaves_nothing_and_a_changed_file_is_other_data(both, monkeypatch) -> None:
    options, _, large = both("\n".join(MIXED))
    lines = [*MIXED[:-1], MIXED[-1].replace("448.5", "449.5")]
    Path(options.path).write_text("\n".join(lines))
    before = {*Path(options.cache).rglob("*.npy")}

    def full(*_, **__):
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patched:
        patched.setattr(kept._Writer, "add_texts", full)
        with pytest.raises(StorageError, match="No space left on device"):
            load_table(options)
    assert {*Path(options.cache).rglob("*.npy")} == before
    assert load_table(options).data.fingerprint != large.data.fingerprint


@pytest.mark.parametrize(
    "cells",
    [
        ["1.5"] * 60 + ["1,5"] * 90,
        ["x"] * 60 + ["7"] * 90,
        ["7"] * 60 + ["x"] * 90,
        ["2020-01-02 03:04:05"] * 60 + ["4.5"] * 90,
        ["$3"] * 60 + ["5 %"] * 90,
        [str(2**53 + n) for n in range(150)],
    ],
)
def test_a_hasty_profile_knows_the_same_or_that_it_does_not(cells, monkeypatch) -> None:
    monkeypatch.setattr(profiles, "SLACK", 3)
    found = []
    for hasty in (True, False):
        profile = profiles_of(["a"], CsvFormat(), ("NA",), hasty=hasty)
        for at in range(0, len(cells), 10):
            profile["a"].add([*cells[at : at + 10], "NA", ""])
        if profile["a"].knows:
            found.append(agree("t", profile))
    assert found == [found[-1]] * len(found)
    assert profile["a"].words == {"NA"}


def test_what_is_kept_is_read_at_the_next_start_and_of_no_other_options(both) -> None:
    options, _, _ = both("\n".join(MIXED))

    def folders() -> int:
        return len([*Path(options.cache).glob("table-*")])

    assert folders() == 1
    load_table(replace(options, split_seed=1, target="note"))
    assert folders() == 1
    load_table(replace(options, ignore=("day",)))
    assert folders() == 2
    names = json.loads(next(Path(options.cache).glob("table-*/data/columns.json")).read_text())
    assert {column["name"] for column in names["columns"]} >= {"size", "city", "y"}
