import json
from pathlib import Path

import pytest
from written import LINES, SUMMARY, write_run

import launch
from bigmodel.experiment import InputError
from bigmodel.studies import replay
from bigmodel.studies.study import Cell, Study, directory_of, write_study

STUDY = Study("cnn.py", (), (Cell({"model.width": "1"}), Cell({"model.width": "2"})), (0, 1, 2))


@pytest.fixture(autouse=True)
def _study(here: Path) -> None:
    """Five of six runs have ended."""
    folder = here / "studies" / "opt"
    folder.mkdir(parents=True)
    write_study(folder, STUDY)
    for cell in STUDY.cells:
        for seed in STUDY.seeds:
            ended = None if (cell, seed) == (STUDY.cells[0], 1) else SUMMARY
            write_run(directory_of(folder, cell, seed), summary=ended)


def replayed(monkeypatch: pytest.MonkeyPatch, *statuses: int) -> list[Path]:
    """The runs that are replayed, of which each ends with the next of the statuses."""
    paths: list[Path] = []

    def one(path: Path, _: object) -> int:
        paths.append(path)
        status = statuses[len(paths) - 1]
        if status == 2:
            raise InputError("its data is gone")
        return status

    monkeypatch.setattr(replay, "_replay", one)
    return paths


@pytest.mark.parametrize(
    ("statuses", "status", "said"),
    [
        ((0, 0, 0), 0, "3 equal, 0 different, 0 not replayed"),
        ((0, 2, 1), 1, "1 equal, 1 different, 1 not replayed"),
        ((0, 2, 0), 2, "2 equal, 0 different, 1 not replayed"),
        ((0, 130), 130, None),
    ],
)
def test_a_sample_of_a_study_is_replayed_and_summed_up(
    monkeypatch: pytest.MonkeyPatch, capsys, statuses: tuple[int, ...], status: int, said: str
) -> None:
    paths = replayed(monkeypatch, *statuses)
    assert launch.main(["replay", "--study", "studies/opt", "--sample", "3"]) == status
    assert len(set(paths)) == len(paths) == len(statuses)
    assert all((path / "summary.json").exists() for path in paths)
    last = capsys.readouterr().out.splitlines()[-1:]
    assert said is None or last == [f"studies/opt: 3 of 5 runs: {said}"]


def test_the_seed_decides_the_sample_which_never_has_more_than_there_is(monkeypatch) -> None:
    samples = []
    for seed in (0, 0, 1, 2):
        paths = replayed(monkeypatch, *6 * [0])
        options = ["--sample", "2", "--seed", str(seed)]
        assert launch.main(["replay", "--study", "studies/opt", *options]) == 0
        samples.append(tuple(paths))
    assert samples[0] == samples[1]
    assert len(set(samples)) > 1
    paths = replayed(monkeypatch, *6 * [0])
    assert launch.main(["replay", "--study", "studies/opt", "--sample", "9"]) == 0
    assert len(paths) == 5


@pytest.mark.parametrize(("seeds_by", "status"), [("vmap", 0), ("sequential", 1), ("processes", 1)])
def test_only_seeds_side_by_side_are_compared_within_a_tolerance(
    monkeypatch: pytest.MonkeyPatch, capsys, seeds_by: str, status: int
) -> None:
    Path("cnn.py").write_text("")
    script = {"script": str(Path("cnn.py").resolve()), "seeds_by": seeds_by}
    write_run(Path("run"), manifest=script)
    near = json.loads(json.dumps(LINES))
    near[0]["train/loss"] *= 1 + 1e-6

    def train(*_: object, into: Path) -> int:
        write_run(into, lines=near, summary=SUMMARY | {"params_digest": "b" * 64})
        return 0

    monkeypatch.setattr(replay, "train", train)
    facts = {"manifest": json.loads(Path("run/manifest.json").read_text()), "added": {}}
    monkeypatch.setattr(replay, "read_facts", lambda *_: facts)
    assert launch.main(["replay", "run"]) == status
    assert ("trained side by side" in capsys.readouterr().out) == (seeds_by == "vmap")
