from pathlib import Path
from typing import Any

import pytest

from bigmodel.studies.ablation import sharing
from bigmodel.studies.ablation.sharing import SHARING, Job, Queue
from bigmodel.studies.study import Cell

VMAP, SEQUENTIAL = ("vmap", "side by side: quicker"), ("sequential", "")


def job(cell: str, seed: int) -> Job:
    return Job(Cell({"name": cell}), seed, Path(cell, str(seed)), ())


def name(cell: str) -> str:
    return Cell({"name": cell}).name


JOBS = [job(cell, seed) for cell in "ab" for seed in range(4)]
A, B = JOBS[:4], JOBS[4:]


def directories(jobs: list[Job]) -> set[Path]:
    return {job.directory for job in jobs}


def decided(
    path: Path,
    seeds_by: str = "vmap",
    *,
    jobs: list[Job] = JOBS,
    missing: list[Job] | None = None,
    trial: tuple[str, str] | None = VMAP,
    trials: list[Any] | None = None,
    home: Path | None = None,
) -> Queue:
    """The groups of the jobs where a trial has this outcome; trials that are made are noted."""

    def try_out(alike: Any, count: int) -> tuple[str, str] | None:
        (trials if trials is not None else []).append((alike, count))
        return trial

    queue = Queue(path, seeds_by, home=home or path)
    queue.decide(jobs, directories(jobs if missing is None else missing), try_out)
    return queue


@pytest.mark.parametrize("seeds_by", ["sequential", "processes"])
def test_alone_every_run_waits_for_itself_and_no_trial_is_made(
    seeds_by: str, tmp_path: Path
) -> None:
    trials: list[Any] = []
    assert decided(tmp_path, seeds_by, trials=trials).waiting == [[job] for job in JOBS]
    assert not trials


def test_side_by_side_are_the_seeds_of_a_cell(tmp_path: Path, monkeypatch) -> None:
    assert decided(tmp_path / "a").waiting == [A, B]
    monkeypatch.setattr(sharing, "WIDTH", 3)
    assert decided(tmp_path / "b").waiting == [A[:3], A[3:], B[:3], B[3:]]


def test_the_outcome_of_a_trial_is_kept_for_later_starts(tmp_path: Path) -> None:
    trials: list[Any] = []
    first = decided(tmp_path, "auto", trials=trials)
    assert trials == [(A, 8)]
    assert first.said == "side by side: quicker"
    again = decided(tmp_path, "auto", trials=trials, trial=SEQUENTIAL)
    assert len(trials) == 1
    assert again.waiting == first.waiting


def test_after_a_trial_that_fails_each_run_is_made_alone(tmp_path: Path) -> None:
    assert decided(tmp_path, "auto", trial=None).waiting == [[job] for job in JOBS]


def test_a_cell_keeps_what_it_chose_and_a_whole_study_goes_by_its_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    study = Path("study")
    for of_cell, first, later in ((A, VMAP, SEQUENTIAL), (B, SEQUENTIAL, VMAP)):
        for trial in (first, later):
            home = of_cell[0].directory.parent
            queue = decided(study, "auto", jobs=of_cell, trial=trial, home=home)
            assert (len(queue.waiting) == 1) == (first is VMAP)
    # The runs of one cell were made alone, so no run of the study may go on side by side.
    assert decided(study, "auto").waiting == [[job] for job in JOBS]
    assert decided(study, "auto", jobs=A, home=Path("a")).waiting == [[job] for job in A]


def test_a_group_that_was_begun_is_made_again_as_it_was(tmp_path: Path) -> None:
    """The bits of a lane depend on how many there are, so those that ended keep their places."""
    decided(tmp_path)
    assert decided(tmp_path, missing=[A[0], A[2]]).waiting == [A]


def test_runs_that_are_added_are_groups_of_their_own(tmp_path: Path) -> None:
    decided(tmp_path)
    added = [job("a", 9), job("c", 0)]
    more = decided(tmp_path, jobs=[*JOBS, *added], missing=added)
    assert more.waiting == [[added[0]], [added[1]]]
    everything = decided(tmp_path, jobs=[*JOBS, *added])
    assert everything.waiting == [A, B, [added[0]], [added[1]]]


def test_nothing_is_decided_where_nothing_is_missing(tmp_path: Path) -> None:
    trials: list[Any] = []
    assert decided(tmp_path, "auto", missing=[], trials=trials).waiting == []
    assert not trials
    assert not (tmp_path / SHARING).exists()


def test_runs_that_cannot_be_side_by_side_are_made_alone_now_and_later(tmp_path: Path) -> None:
    queue = decided(tmp_path)
    assert queue.next(None, (), ()) == A
    queue.separate(A[1:])  # one of them had ended
    assert queue.waiting == [B, *([job] for job in A[1:])]
    for _ in range(2):
        assert decided(tmp_path, missing=[*A[2:], *B]).waiting == [B, [A[2]], [A[3]]]


def test_a_worker_stays_with_its_cell_and_begins_one_that_no_other_makes(tmp_path: Path) -> None:
    queue = decided(tmp_path, "sequential")
    assert queue.next(None, (), ()) == [A[0]]
    assert queue.next(None, {name("a")}, ()) == [B[0]]
    assert queue.next(name("b"), {name("a")}, ()) == [B[1]]
    assert queue.next(name("c"), {name("a"), name("b")}, ()) == [A[1]]


def test_no_worker_compiles_what_another_one_is_compiling(tmp_path: Path) -> None:
    queue = decided(tmp_path, "sequential", jobs=A)
    assert queue.next(None, (), ()) == [A[0]]
    assert queue.next(None, {name("a")}, {name("a")}) is None
    assert queue.next(None, {name("a")}, ()) == [A[1]]


def test_one_worker_makes_the_cells_one_after_the_other(tmp_path: Path) -> None:
    queue, made = decided(tmp_path, "sequential"), [None]
    while queue.waiting:
        made += queue.next(made[-1] and made[-1].cell.name, (), ()) or ()
    assert made[1:] == JOBS
