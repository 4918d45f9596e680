"""How many processes make the runs of a study."""

from pathlib import Path
from typing import Any

import pytest

from bigmodel.studies.ablation import runner
from bigmodel.studies.ablation.nursery import Nursery


class Process:
    """A worker that says which devices it has."""

    platform = "cpu"

    def __init__(self, nursery: Nursery) -> None:
        del nursery
        self.busy = self.used = self.ended = False
        self.asked: list[dict[str, Any]] = []

    def ask(self, question: dict[str, Any]) -> None:
        self.asked.append(question)

    def look(self) -> dict[str, Any]:
        return {"platform": self.platform}

    def release(self) -> None:
        pass

    def end(self, seconds: float) -> None:
        del seconds
        self.ended = True


@pytest.mark.parametrize(
    ("jobs", "cores", "platform", "runs", "kept"),
    [
        (None, 8, "cpu", 9, 2),
        (None, 8, "gpu", 9, 1),
        (None, 8, "cpu", 1, 1),
        (None, 1, "cpu", 9, 1),
        (3, 8, "gpu", 9, 3),
        (3, 8, "cpu", 2, 2),
    ],
)
def test_two_share_a_cpu_and_none_an_accelerator_unless_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
    jobs: int | None,
    cores: int,
    platform: str,
    runs: int,
    kept: int,
) -> None:
    monkeypatch.setattr(runner, "Worker", Process)
    monkeypatch.setattr(runner.os, "cpu_count", lambda: cores)
    monkeypatch.setattr(Process, "platform", platform)
    with runner.Runner(Nursery(Path("experiment.py")), jobs=jobs) as crew:
        begun = list(crew._workers)
        crew._keep(runs)
        assert len(crew._workers) == kept
        assert [process.ended for process in begun] == [n >= kept for n in range(len(begun))]
        assert bool(begun[0].asked) == (jobs is None and min(len(begun), runs) > 1)
