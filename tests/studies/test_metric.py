"""Which metric a report is about, its direction and its step."""

import json
from pathlib import Path

import pytest
from written import write_runs

from bigmodel.experiment import InputError
from bigmodel.studies.metric import choose_metric, larger_is_better
from bigmodel.studies.reporting.content import notes, read_report, warnings
from bigmodel.studies.study import Cell, directory_of

CELLS = ({"a": "1"}, {"a": "2"})


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["train/accuracy", "validation/accuracy", "test/loss", "test/accuracy"], "test/accuracy"),
        (["test/loss", "test/rmse", "test/r2"], "test/rmse"),
        (["train/loss", "validation/loss", "validation/bits_per_char"], "validation/bits_per_char"),
        (["validation/accuracy", "test/depth"], "test/depth"),
    ],
)
def test_metric_is_the_preferred_one_on_test_else_on_validation(names, chosen: str) -> None:
    assert choose_metric(None, names) == chosen
    with pytest.raises(InputError, match="evaluate nothing"):
        choose_metric(None, ["train/loss"])


def test_direction_is_what_the_manifests_say_whatever_the_name() -> None:
    runs = [{"maximize": ["error_score", "accuracy"]}] * 2
    assert larger_is_better(runs, "test/error_score")
    assert not larger_is_better(runs, "validation/likelihood")


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        ([{"maximize": ["accuracy"]}, {}], "an earlier version, which did not record whether more"),
        ([{"maximize": ["accuracy"]}, {"maximize": []}], "do not agree on whether more"),
    ],
)
def test_direction_that_is_not_known_is_asked_for(runs: list[dict], words: str) -> None:
    with pytest.raises(InputError, match=f"{words} test/accuracy is better; add --maximize or"):
        larger_is_better(runs, "test/accuracy")


def test_a_study_of_an_earlier_version_needs_the_direction(tmp_path: Path) -> None:
    before = {"run.maximize": False}
    write_runs(tmp_path, CELLS, config=before, manifest=lambda *_: {"maximize": None})
    with pytest.raises(InputError, match="an earlier version"):
        read_report(tmp_path)
    report = read_report(tmp_path, at="best", maximize=True)
    assert {score.step for score in report.scores} == {100}


def test_direction_is_that_of_the_runs_that_have_the_metric(tmp_path: Path) -> None:
    """As where data.target varies over a class and a number."""
    write_runs(tmp_path, CELLS, manifest=lambda cell, _: {"maximize": [] if cell else ["accuracy"]})
    file = directory_of(tmp_path, Cell(CELLS[1]), 0) / "summary.json"
    summary = json.loads(file.read_text())
    summary["test/rmse"] = summary.pop("test/accuracy")
    file.write_text(json.dumps(summary))
    report = read_report(tmp_path)
    assert (report.metric, report.maximize) == ("test/accuracy", True)
    assert [row.spread.count for row in report.rows] == [1, 0]
    assert "1 finished runs have no finite test/accuracy" in warnings(report)
    other = read_report(tmp_path, metric="test/rmse")
    assert not other.maximize
    assert "the baseline has no finite test/rmse, so nothing is compared with it" in warnings(other)


def test_best_step_is_the_one_of_validation_and_not_the_best_on_test(tmp_path: Path) -> None:
    """The validation loss is least at step 200, where test/accuracy is not at its best."""
    values = {100: 0.6, 200: 0.8, 300: 0.9}
    write_runs(tmp_path, CELLS, seeds=(0, 1), accuracy=lambda *at: values[at[2]])
    best = read_report(tmp_path, at="best")
    assert {(score.step, score.value) for score in best.scores} == {(200, 0.8)}
    assert "validation/loss was smallest" in dict(notes(best))["step"]
    last = read_report(tmp_path)
    assert {(score.step, score.value) for score in last.scores} == {(300, 0.9)}


def test_what_was_evaluated_at_the_best_step_alone_is_in_the_summary(tmp_path: Path) -> None:
    more = {"test/f1": 0.6, "best": {"step": 200, "validation/loss": 0.2, "test/f1": 0.7}}
    values = {100: 0.6, 200: 0.8, 300: 0.9}
    write_runs(tmp_path, CELLS, accuracy=lambda *at: values[at[2]], more=more)
    for at, expected in (("best", (200, 0.7)), ("last", (300, 0.6))):
        report = read_report(tmp_path, metric="test/f1", at=at, maximize=True)
        assert {(score.step, score.value) for score in report.scores} == {expected}


def test_study_says_metric_step_and_baseline_and_options_say_otherwise(tmp_path: Path) -> None:
    write_runs(tmp_path, CELLS, metric="validation/loss", at="best", baseline="a=2")
    report = read_report(tmp_path)
    assert (report.metric, report.maximize, report.at) == ("validation/loss", False, "best")
    assert report.baseline.name == "a=2"
    other = read_report(tmp_path, metric="test/accuracy", at="last", baseline="a=1", maximize=False)
    assert (other.metric, other.maximize, other.at) == ("test/accuracy", False, "last")
    assert other.baseline.name == "a=1"
