"""Files of answers: every answer is in them, and nothing else has changed."""

import csv
from pathlib import Path
from typing import Any

import pytest

from bigmodel.inference.outputs import first_of, opened
from bigmodel.predictor import Best, Ranked

CLASSES = [
    {"class": "b", "scores": Ranked({"b": 0.6, "a": 0.3, "c": 0.1})},
    {"class": "a", "scores": Ranked({"a": 0.7, "c": 0.2, "b": 0.1})},
]


def table_of(answers: list[Any], out: Path, top: int | None = None) -> list[dict[str, str]]:
    """What a table of these answers has in its rows."""
    with opened(out) as write:
        for answer in answers:
            write(first_of(answer, top))
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
