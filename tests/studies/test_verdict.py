import json
from pathlib import Path

import pytest
from written import LINES, SUMMARY, write_run

from bigmodel.studies.replaying.verdict import Verdict, judge
from bigmodel.studies.runs import read_finished

DIVERGED = {"status": "not finite", "reason": "not finite at step 7: loss", "step": 7}


def judged(path: Path, *, tolerance: float | None = None, lines=LINES, **summary):
    """The verdict on a run beside the one that all these tests have."""
    there = read_finished(write_run(path / "there"))
    here = read_finished(write_run(path / "here", lines=lines, summary=SUMMARY | summary))
    return judge(there, here, tolerance=tolerance)


def with_values(*changes: tuple[int, str, float | None]) -> list[dict]:
    """The lines of the run with other values, by their number and name."""
    lines = json.loads(json.dumps(LINES))
    for number, name, value in changes:
        lines[number][name] = value
    return lines


def test_times_and_speeds_are_not_compared(tmp_path: Path) -> None:
    lines = with_values((0, "seconds", 9.0), (0, "time", 9.0), (0, "steps_per_second", 1.0))
    verdict = judged(tmp_path, lines=lines, seconds=99.0)
    assert verdict.equal
    assert verdict.lines == (f"equal: params_digest {'a' * 64}; 4 values of 3 metrics",)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([(0, "train/loss", 0.5000000000000001)], "1 of 4 values differ"),
        ([(0, "train/loss", 0.5000001)], "first at step 50: train/loss is 0.5 there and 0.5000001"),
        (
            [(0, "train/loss", 0.5000001), (2, "test/loss", 0.2)],
            "2 of 4 values differ, relatively by 0.33 at most, test/loss of step 100",
        ),
        ([(0, "train/more", 1.0)], "1 values are not there, first train/more"),
        ([(0, "train/loss", None)], "train/loss is 0.5 there and None here"),
        ([(0, "train/loss", None)], "relatively by inf at most"),
    ],
)
def test_a_metric_that_differs_is_named(tmp_path: Path, changes: list, said: str) -> None:
    verdict = judged(tmp_path, lines=with_values(*changes))
    assert not verdict.equal
    assert said in "\n".join(verdict.lines)


def test_a_value_or_digest_that_only_one_run_has_is_a_difference(tmp_path: Path) -> None:
    lacking = judged(tmp_path / "lacking", lines=LINES[1:])
    assert "  1 values are not here, first train/loss of step 50" in lacking.lines
    other = judged(tmp_path / "other", params_digest="b" * 64)
    assert "params_digest is aaa" in other.lines[1]
    assert not lacking.equal
    assert not other.equal


def test_what_only_one_has_of_a_run_that_went_on_does_not_count(tmp_path: Path) -> None:
    """As one that was made longer, whose first end is no longer an end."""

    def judged_of(name: str, *starts: int, lines=LINES[1:], **summary) -> Verdict:
        manifest = {"starts": [{"step": step} for step in starts]}
        there = read_finished(write_run(tmp_path / name / "there", manifest=manifest))
        here = write_run(tmp_path / name / "here", lines=lines, summary=SUMMARY | summary)
        return judge(there, read_finished(here))

    verdict = judged_of("longer", 0, 50)
    assert verdict.equal
    said = "; 3 values of 3 metrics; 1 values are of one alone, for the run went on from a check"
    assert said in verdict.lines[0]
    assert not judged_of("whole", 0).equal
    other = judged_of("other", 0, 50, params_digest="b" * 64)
    assert len(other.lines) == 3
    assert "1 values are not here" in other.lines[1]
    changes = with_values((1, "train/loss", 0.5))[1:]
    assert not judged_of("values", 0, 50, lines=changes).equal
    assert not judged_of("nothing", 0, 50, lines=()).equal


def test_runs_that_diverge_alike_are_equal_and_elsewhere_are_not(tmp_path: Path) -> None:
    runs = [
        read_finished(write_run(tmp_path / str(step), lines=(), summary=DIVERGED | {"step": step}))
        for step in (7, 8)
    ]
    assert judge(runs[0], runs[0]).equal
    assert judge(runs[0], runs[1]).lines[1] == "  step is 7 there and 8 here"


def test_within_a_tolerance_only_metrics_are_compared(tmp_path: Path) -> None:
    near = with_values((1, "train/loss", 0.2500001))
    assert judged(tmp_path / "a", tolerance=1e-5, lines=near, params_digest="b" * 64).equal
    far = with_values((1, "train/loss", 0.251))
    assert not judged(tmp_path / "b", tolerance=1e-5, lines=far).equal
