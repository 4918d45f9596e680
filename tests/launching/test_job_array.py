"""Scripts of job arrays, whose tasks differ in one word. See ``tests/slurm`` for a real SLURM."""

import sys
from pathlib import Path

import pytest
from test_submit import ODD, answering, directives, started

from bigmodel.launching.job import Job
from bigmodel.launching.slurm import Array, Request, sbatch_script


def script(folder: Path, *, limit: int | None = None) -> str:
    """That of an array with a task for each of the odd words."""
    job = Job(
        name="opt",
        script=Path("one.py"),
        options=(),
        nodes=1,
        gpus_per_node=0,
        processes_per_node=1,
        cpus_per_task=None,
        mem=None,
        notice=120,
        retries=2,
        written_by="launch.py",
    )
    request = Request(
        directory=str(folder),
        logs="slurm",
        python=sys.executable,
        time=None,
        setup=(),
        others={},
        raw=(),
    )
    return sbatch_script(job, request, Array(command=("a b.py", "work"), words=ODD, limit=limit))


def test_there_is_a_task_and_a_log_for_each_word(tmp_path: Path) -> None:
    assert directives(script(tmp_path))["array"] == f"0-{len(ODD) - 1}"
    asked = directives(script(tmp_path, limit=3))
    assert asked["array"] == f"0-{len(ODD) - 1}%3"
    assert asked["output"] == "slurm/opt-%A_%a.log"


def test_each_task_gets_its_word_through_the_shell_unchanged(tmp_path: Path) -> None:
    answering(tmp_path, *[0] * len(ODD))
    for index, word in enumerate(ODD):
        *_, line, end = started(script(tmp_path), tmp_path, SLURM_ARRAY_TASK_ID=str(index))
        assert line[-4:] == [sys.executable, "a b.py", "work", word]
        assert end == ["exit", "0"]


def test_a_task_that_says_75_requeues_itself_alone(tmp_path: Path) -> None:
    answering(tmp_path, 75)
    own = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "2"}
    _, requeue, end = started(script(tmp_path), tmp_path, **own)
    assert requeue == ["scontrol", "requeue", "7_2"]
    assert end == ["exit", "75"]


@pytest.mark.parametrize(("statuses", "starts"), [([1], 1), ([2], 1), ([137, 0], 2)])
def test_a_task_is_tried_again_where_it_died_and_not_where_it_has_said_why(
    statuses: list[int], starts: int, tmp_path: Path
) -> None:
    answering(tmp_path, *statuses)
    *lines, end = started(script(tmp_path), tmp_path, SLURM_ARRAY_TASK_ID="0")
    assert [line[0] for line in lines] == ["srun"] * starts
    assert end == ["exit", str(statuses[-1])]
