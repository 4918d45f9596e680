import json
from pathlib import Path
from typing import Any

from bigmodel.studies.ablation import sharing
from bigmodel.studies.ablation.sharing import SHARING, Job, Sharing
from bigmodel.studies.study import Cell


def job(program: str, cell: str, seed: int) -> Job:
    folder = Path(program, cell, str(seed))
    return Job(Cell({"rate": cell, "of": program}), seed, folder, (), program)


JOBS = [job(program, cell, seed) for program in "ab" for cell in "12" for seed in (0, 1)]
ALL = {job.directory for job in JOBS}


def decided(path: Path, asked: str = "vmap", **options: Any) -> Sharing:
    """The groups of the jobs, where a trial says what ``asked`` says."""
    trials = options.pop("trials", [])
    found = Sharing(path, asked, home=path)
    jobs = options.pop("jobs", JOBS)
    missing = options.pop("missing", {job.directory for job in jobs})
    answer = options.pop("answer", ("vmap", "side by side: quicker"))
    found.decide(jobs, missing, lambda jobs, count: trials.append((jobs, count)) or answer)
    return found


def test_in_turns_every_run_waits_for_itself_and_no_trial_is_made(tmp_path: Path) -> None:
    trials: list[Any] = []
    found = decided(tmp_path, "turns", trials=trials)
    assert found.waiting == [[job] for job in JOBS]
    assert (trials, found.alone) == ([], False)


def test_processes_are_turns_that_share_nothing(tmp_path: Path) -> None:
    found = decided(tmp_path, "processes")
    assert found.waiting == [[job] for job in JOBS]
    assert found.alone


def test_side_by_side_are_those_of_one_program(tmp_path: Path) -> None:
    assert decided(tmp_path).waiting == [JOBS[:4], JOBS[4:]]


def test_no_group_is_wider_than_the_limit(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(sharing, "WIDTH", 3)
    assert decided(tmp_path).waiting == [JOBS[:3], JOBS[3:4], JOBS[4:7], JOBS[7:]]


def test_what_a_trial_says_is_kept_for_later_starts(tmp_path: Path) -> None:
    trials: list[Any] = []
    first = decided(tmp_path, "auto", trials=trials)
    assert trials == [(JOBS[:4], 8)]
    assert first.said == "side by side: quicker"
    again = decided(tmp_path, "auto", trials=trials, answer=("turns", ""))
    assert len(trials) == 1
    assert again.waiting == first.waiting


def test_a_trial_that_fails_leaves_it_at_turns(tmp_path: Path) -> None:
    assert decided(tmp_path, "auto", answer=None).waiting == [[job] for job in JOBS]


def test_a_group_that_was_begun_is_made_again_as_it_was(tmp_path: Path) -> None:
    """The bits of a lane depend on how many there are, so those that ended keep their places."""
    decided(tmp_path)
    left = decided(
        tmp_path, missing=ALL - {JOBS[1].directory} - {job.directory for job in JOBS[4:]}
    )
    assert left.waiting == [JOBS[:4]]


def test_runs_that_are_added_are_groups_of_their_own(tmp_path: Path) -> None:
    decided(tmp_path)
    added = [job("a", "1", 2), job("b", "3", 0)]
    more = decided(tmp_path, jobs=[*JOBS, *added], missing={job.directory for job in added})
    assert more.waiting == [[added[0]], [added[1]]]
    everything = decided(tmp_path, jobs=[*JOBS, *added])
    assert everything.waiting == [JOBS[:4], JOBS[4:], [added[0]], [added[1]]]


def test_nothing_is_decided_where_nothing_is_missing(tmp_path: Path) -> None:
    trials: list[Any] = []
    assert decided(tmp_path, "auto", missing=set(), trials=trials).waiting == []
    assert not trials
    assert not (tmp_path / SHARING).exists()


def chosen(
    found: Sharing, last: Job | None = None, *, busy: Any = (), compiling: Any = (), crew: int = 2
) -> list[Job] | None:
    """What a worker is to make that made ``last`` before, while others make others."""
    programs = [job.program for job in busy]
    return found.next(
        last.program if last else None, programs, [job.program for job in compiling], crew=crew
    )


def test_a_worker_begins_with_a_program_that_is_not_in_use(tmp_path: Path) -> None:
    found = decided(tmp_path, "turns")
    assert chosen(found) == [JOBS[0]]
    assert chosen(found, busy=[JOBS[0]], compiling=[JOBS[0]]) == [JOBS[4]]


def test_a_worker_stays_with_its_program(tmp_path: Path) -> None:
    found = decided(tmp_path, "turns")
    assert [chosen(found), chosen(found)] == [[JOBS[0]], [JOBS[4]]]
    assert chosen(found, JOBS[4], busy=[JOBS[0], JOBS[4]]) == [JOBS[5]]
    assert chosen(found, JOBS[0], busy=[JOBS[5]]) == [JOBS[1]]


def test_nobody_compiles_what_another_process_is_compiling(tmp_path: Path) -> None:
    found = decided(tmp_path, "turns")
    assert [chosen(found), chosen(found)] == [[JOBS[0]], [JOBS[4]]]
    first, second, waiting = JOBS[0], JOBS[4], list(found.waiting)
    assert chosen(found, busy=[first, second], compiling=[first, second]) is None
    assert found.waiting == waiting
    assert chosen(found, busy=[first, second], compiling=[second]) == [JOBS[1]]


def test_a_program_that_is_left_over_is_compiled_while_others_have_work(tmp_path: Path) -> None:
    jobs = [job(program, "1", seed) for program in "abc" for seed in (0, 1)]
    found = decided(tmp_path, "turns", jobs=jobs)
    assert chosen(found) == [jobs[0]]
    assert chosen(found, busy=[jobs[0]], compiling=[jobs[0]]) == [jobs[2]]
    assert chosen(found, jobs[0], busy=[jobs[2]]) == [jobs[4]]
    assert chosen(found, jobs[2], busy=[jobs[4]], compiling=[jobs[4]]) == [jobs[3]]


def test_one_worker_goes_through_the_programs_one_after_another(tmp_path: Path) -> None:
    found = decided(tmp_path, "turns")
    made: list[Job] = []
    while found.waiting:
        made += chosen(found, made[-1] if made else None, crew=1) or ()
    assert made == JOBS


def test_runs_that_cannot_be_side_by_side_are_made_in_turns(tmp_path: Path) -> None:
    found = decided(tmp_path)
    group = chosen(found)
    assert group is not None
    found.separate(group)
    assert found.waiting == [JOBS[4:], *([job] for job in JOBS[:4])]


def test_runs_that_could_not_be_side_by_side_stay_in_turns_when_the_study_goes_on(
    tmp_path: Path,
) -> None:
    found = decided(tmp_path)
    group = chosen(found)
    assert group == JOBS[:4]
    found.separate(group[1:])  # one of them had ended
    missing = ALL - {JOBS[0].directory, JOBS[1].directory}
    assert decided(tmp_path, missing=missing).waiting == [JOBS[4:], [JOBS[2]], [JOBS[3]]]
    assert decided(tmp_path, missing=missing).waiting == [JOBS[4:], [JOBS[2]], [JOBS[3]]]


def test_configs_share_a_program_where_they_differ_in_numbers_that_stay_on_one_side_of_0() -> None:
    def program(**values: Any) -> str:
        return json.dumps(sharing._without_numbers({"a": values}), sort_keys=True)

    assert program(rate=0.1, steps=3) == program(rate=0.2, steps=3)
    assert program(rate=0.1) != program(rate=0.0)
    assert program(rate=0.1) != program(rate=-0.1)
    assert program(steps=3) != program(steps=4)
    assert program(norm=True) != program(norm=False)
    assert program(name="sgd") != program(name="adam")
