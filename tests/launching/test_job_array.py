"""Scripts of job arrays, whose tasks differ in one word. See ``tests/slurm`` for a real SLURM."""

import argparse
import sys
from pathlib import Path

import pytest
from test_submit import ODD, answering, directives, started

from bigmodel.launching.job import add_resources, job_of
from bigmodel.launching.slurm import Array, add_slurm_options, sbatch_script


def script(*, limit: int | None = None) -> str:
    """That of an array with a task for each of the odd words."""
    parser = argparse.ArgumentParser()
    add_resources(parser)
    add_slurm_options(parser)
    parsed = parser.parse_args(["--retries=2"])
    job = job_of(parsed, name="opt", script=Path("one.py"), options=())
    array = Array(command=("a b.py", "work"), words=ODD, limit=limit)
    return sbatch_script(job, parsed, array)


def test_there_is_a_task_and_a_log_for_each_word() -> None:
    assert directives(script())["array"] == f"0-{len(ODD) - 1}"
    asked = directives(script(limit=3))
    assert asked["array"] == f"0-{len(ODD) - 1}%3"
    assert asked["output"] == "slurm/opt-%A_%a.log"


def test_each_task_gets_its_word_through_the_shell_unchanged(tmp_path: Path) -> None:
    answering(tmp_path, *[0] * len(ODD))
    for index, word in enumerate(ODD):
        *_, line, end = started(script(), tmp_path, SLURM_ARRAY_TASK_ID=str(index))
        assert line[-4:] == [sys.executable, "a b.py", "work", word]
        assert end == ["exit", "0"]


@pytest.mark.parametrize(("statuses", "starts"), [([75], 1), ([1], 1), ([2], 1), ([137, 0], 2)])
def test_a_task_is_tried_again_where_it_died_and_requeues_itself_alone_where_it_says_75(
    statuses: list[int], starts: int, tmp_path: Path
) -> None:
    answering(tmp_path, *statuses)
    own = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "2"}
    *lines, end = started(script(), tmp_path, **own)
    if statuses == [75]:
        assert lines.pop() == ["scontrol", "requeue", "7_2"]
    assert [line[0] for line in lines] == ["srun"] * starts
    assert end == ["exit", str(statuses[-1])]
