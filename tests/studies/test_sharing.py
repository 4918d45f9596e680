from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest

from bigmodel.studies.ablation import sharing
from bigmodel.studies.ablation.sharing import SHARING, Job, Queue
from bigmodel.studies.study import Cell

VMAP, SEQUENTIAL = ("vmap", "side by side: quicker"), ("sequential", "")


def job(cell: str, seed: int) -> Job:
    return Job(Cell({"name": cell}), seed, Path(cell, str(seed)), ())


JOBS = [job(cell, seed) for cell in "ab" for seed in range(4)]
A, B = JOBS[:4], JOBS[4:]


def decided(
    path: Path,
    seeds_by: str = "vmap",
    *,
    jobs: list[Job] = JOBS,
    missing: list[Job] | None = None,
    trial: Callable[..., tuple[str, str] | None] = lambda *_: VMAP,
    home: Path | None = None,
) -> Queue:
    """The groups of the jobs, of which all are missing by default."""
    queue = Queue(path, seeds_by, home=home or path)
    queue.decide(jobs, {job.directory for job in (jobs if missing is None else missing)}, trial)
    return queue


def test_alone_every_run_waits_for_itself_and_no_trial_is_made(tmp_path: Path) -> None:
    trial = Mock()
    for seeds_by in ("sequential", "processes"):
        queue = decided(tmp_path / seeds_by, seeds_by, trial=trial)
        assert queue.waiting == [[job] for job in JOBS]
    trial.assert_not_called()


def test_side_by_side_are_the_seeds_of_a_cell(tmp_path: Path, monkeypatch) -> None:
    assert decided(tmp_path / "a").waiting == [A, B]
    monkeypatch.setattr(sharing, "WIDTH", 3)
    assert decided(tmp_path / "b").waiting == [A[:3], A[3:], B[:3], B[3:]]


def test_the_outcome_of_a_trial_is_kept_for_later_starts(tmp_path: Path) -> None:
    trial = Mock(side_effect=[VMAP, SEQUENTIAL])
    first, again = (decided(tmp_path, "auto", trial=trial) for _ in range(2))
    trial.assert_called_once_with(A, 8)
    assert first.said == "side by side: quicker"
    assert again.waiting == first.waiting


def test_after_a_trial_that_fails_each_run_is_made_alone(tmp_path: Path) -> None:
    assert decided(tmp_path, "auto", trial=lambda *_: None).waiting == [[job] for job in JOBS]


@pytest.mark.usefixtures("here")
def test_a_cell_keeps_what_it_chose_and_a_whole_study_goes_by_its_cells() -> None:
    study = Path("study")
    for of_cell, first, later in ((A, VMAP, SEQUENTIAL), (B, SEQUENTIAL, VMAP)):
        trial = Mock(side_effect=[first, later])
        for _ in range(2):
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
    trial = Mock()
    assert decided(tmp_path, "auto", missing=[], trial=trial).waiting == []
    trial.assert_not_called()
    assert not (tmp_path / SHARING).exists()


def test_runs_that_cannot_be_side_by_side_are_made_alone_now_and_later(tmp_path: Path) -> None:
    queue = decided(tmp_path)
    assert queue.next(None, (), ()) == A
    queue.separate(A[1:])  # one of them had ended
    assert queue.waiting == [B, *([job] for job in A[1:])]
    for _ in range(2):
        assert decided(tmp_path, missing=[*A[2:], *B]).waiting == [B, [A[2]], [A[3]]]


def test_a_worker_stays_with_its_cell_and_begins_one_that_no_other_makes(tmp_path: Path) -> None:
    a, b = A[0].cell.name, B[0].cell.name
    queue = decided(tmp_path, "sequential")
    assert queue.next(None, (), ()) == [A[0]]
    assert queue.next(None, {a}, ()) == [B[0]]
    assert queue.next(b, {a}, ()) == [B[1]]
    assert queue.next("name=c", {a, b}, ()) == [A[1]]


def test_the_last_cell_is_begun_before_all_runs_of_the_others_are_made(tmp_path: Path) -> None:
    a, b, c = A[0].cell.name, B[0].cell.name, "name=c"
    last = [job("c", seed) for seed in range(2)]
    queue = decided(tmp_path, "sequential", jobs=[*JOBS, *last])
    assert queue.next(None, (), ()) == [A[0]]
    assert queue.next(None, {a}, ()) == [B[0]]
    assert queue.next(a, {b}, ()) == [last[0]]
    assert queue.next(b, {c}, {c}) == [B[1]]
    assert queue.next(c, {b}, ()) == [last[1]]
    assert queue.next(c, {b}, ()) == [A[1]]


def test_no_worker_compiles_what_another_one_is_compiling(tmp_path: Path) -> None:
    queue = decided(tmp_path, "sequential", jobs=A)
    assert queue.next(None, (), ()) == [A[0]]
    a = A[0].cell.name
    assert queue.next(None, {a}, {a}) is None
    assert queue.next(None, {a}, ()) == [A[1]]


def test_one_worker_makes_the_cells_one_after_the_other(tmp_path: Path) -> None:
    queue, made = decided(tmp_path, "sequential"), [None]
    while queue.waiting:
        made += queue.next(made[-1] and made[-1].cell.name, (), ()) or ()
    assert made[1:] == JOBS
