"""Files of answers: every answer is in them, and nothing else has changed."""

import csv
import os
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bigmodel.errors import StorageError
from bigmodel.experiment import InputError
from bigmodel.inference.outputs import first_of, opened
from bigmodel.predictor import Best, Ranked

CLASSES = [
    {"class": "b", "scores": Ranked({"b": 0.6, "a": 0.3, "c": 0.1})},
    {"class": "a", "scores": Ranked({"a": 0.7, "c": 0.2, "b": 0.1})},
]


def write_all(answers: Iterable[Any], out: Path, top: int | None = None) -> None:
    with opened(out) as write:
        for answer in answers:
            write(first_of(answer, top))


def table_of(answers: list[Any], out: Path, top: int | None = None) -> list[dict[str, str]]:
    """What a table of these answers has in its rows."""
    write_all(answers, out, top)
    with out.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    return [dict(zip(header, row, strict=True)) for row in rows]


def test_all_classes_have_a_column_each_by_name(tmp_path: Path) -> None:
    assert table_of(CLASSES, tmp_path / "a.csv") == [
        {"class": "b", "scores.b": "0.6", "scores.a": "0.3", "scores.c": "0.1"},
        {"class": "a", "scores.b": "0.1", "scores.a": "0.7", "scores.c": "0.2"},
    ]


def test_the_best_of_more_have_columns_by_rank(tmp_path: Path) -> None:
    names = ["scores.1.name", "scores.1.score", "scores.2.name", "scores.2.score"]
    expected = [["b", "0.6", "a", "0.3"], ["a", "0.7", "c", "0.2"]]
    for row, cells in zip(table_of(CLASSES, tmp_path / "a.csv", top=2), expected, strict=True):
        assert [row[name] for name in names] == cells
        assert len(row) == 5
    items = [
        {"scores": Best()},
        {"scores": Best({"x, y": 5.0})},
        {"scores": Best({"\n": 4.5, "x, y": 4.0})},
    ]
    assert [list(row.values()) for row in table_of(items, tmp_path / "b.csv")] == [
        ["", "", "", ""],
        ["x, y", "5.0", "", ""],
        ["\n", "4.5", "x, y", "4.0"],
    ]


@pytest.mark.parametrize("long", [1, 200_000])
def test_columns_that_the_first_answer_lacks_are_added(tmp_path: Path, long: int) -> None:
    answers = [{"text": "ä" * long}, {"text": "b", "note": "new"}, {"note": "last"}]
    rows = [{"text": "ä" * long, "note": ""}, {"text": "b", "note": "new"}]
    limit = csv.field_size_limit(1 << 20)
    try:
        assert table_of(answers, tmp_path / "a.csv") == [*rows, {"text": "", "note": "last"}]
    finally:
        csv.field_size_limit(limit)
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


@pytest.mark.parametrize(
    "out", ["a.jsonl", "a.csv", "full/a.jsonl", "folder", "new/a.csv", "n/m/o"]
)
@pytest.mark.parametrize(
    "error", [InputError("bad"), OSError(36, "Long", "b.png"), SystemExit(143)]
)
def test_where_inputs_fail_nothing_is_changed_and_the_error_is_that_of_the_input(
    out: str, error: BaseException, tmp_path: Path
) -> None:
    for name in ("full", "folder"):
        (tmp_path / name).mkdir()
    (tmp_path / "full" / "1.png").touch()
    before = sorted(tmp_path.rglob("*"))
    answer = {"a": 1} if Path(out).suffix else {"image": np.zeros((2, 2), np.uint8)}

    def answers() -> Iterator[Any]:
        yield answer
        raise error

    with pytest.raises(type(error)) as raised:
        write_all(answers(), tmp_path / out)
    assert raised.value is error
    assert sorted(tmp_path.rglob("*")) == before


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"cannot write .*file"), opened(tmp_path / "file/a.csv"):
        pass
    with (
        pytest.raises(StorageError, match=r"cannot write .*long"),
        opened(tmp_path / ("long" * 99)),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_sigterm_leaves_nothing_half_made(tmp_path: Path) -> None:
    def answers() -> Iterator[Any]:
        yield {"a": 1}
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)

    with pytest.raises(SystemExit) as end:
        write_all(answers(), tmp_path / "new" / "a.jsonl")
    assert end.value.code == 143
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
