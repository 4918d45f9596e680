import time
from pathlib import Path

import pytest
from written import LINES, SUMMARY, write_run

import launch

ADAM, SGD = {"optimizer.name": "adam"}, {"optimizer.name": "sgd"}


@pytest.fixture(autouse=True)
def _runs(here: Path) -> None:
    """Three runs: one of a study, one that goes on, one of another script that diverged."""
    better = SUMMARY | {"test/accuracy": 0.95}
    write_run(Path(here, "runs/b"), config=ADAM, manifest={"started": 3.0})
    write_run(Path(here, "runs/study/runs/cell/seed-0"), config=SGD, summary=better,
              manifest={"started": 2.0})  # fmt: skip
    write_run(Path(here, "runs/going"), config=ADAM, lines=LINES[:1], summary=None,
              manifest={"started": 1.0})  # fmt: skip
    diverged = {"status": "not finite", "reason": "not finite at step 7", "step": 7, "seconds": 0.1}
    write_run(Path(here, "runs/diverged"), lines=(), summary=diverged,
              config={"run.epochs": 2.5, "model.dropout": 0},
              manifest={"script": "gpt.py", "started": 4.0})  # fmt: skip


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[list[str]]:
    """The rows of the table as words, header and last line left out."""
    assert launch.main(["list", *arguments]) == 0
    return [line.split() for line in capsys.readouterr().out.splitlines()[1:-1]]


def names(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    return [Path(row[0]).name for row in listed(capsys, *arguments)]


def test_shows_every_run_below_a_folder_by_when_it_began(capsys) -> None:
    rows = listed(capsys)
    assert [row[0] for row in rows] == [
        "runs/going", "runs/study/runs/cell/seed-0", "runs/b", "runs/diverged"
    ]  # fmt: skip
    assert rows[0][1:7] == ["cnn", "begun", "50/100", "train/loss", "0.5", "0.5"]
    assert rows[1][1:7] == ["cnn", "completed", "100/100", "test/accuracy", "0.95", "1.5"]
    assert rows[3][1:6] == ["gpt", "not", "finite", "7/-", "-"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--where", "optimizer.name=sgd"], ["seed-0"]),
        (["--where", "optimizer.learning-rate=1e-3"], ["going", "seed-0", "b", "diverged"]),
        (["--where=model.widths=32,64", "--where=model.dropout=0.10"], ["going", "seed-0", "b"]),
        (["--where", "run.epochs=None", "--script", "experiments/gpt.py"], []),
        (["--where", "run.epochs=2.5"], ["diverged"]),
        (["--status", "not-finite"], ["diverged"]),
        (["--status", "completed", "--script", "cnn", "--sort", "run"], ["b", "seed-0"]),
        (["--sort", "test/accuracy", "--descending"], ["seed-0", "b", "diverged", "going"]),
        (["--sort", "test/accuracy"], ["b", "seed-0", "diverged", "going"]),
        (["--sort", "model.dropout"], ["diverged", "b", "going", "seed-0"]),
        (["--sort", "started", "--descending"], ["diverged", "b", "seed-0", "going"]),
        (["runs/study"], ["seed-0"]),
    ],
)  # fmt: skip
def test_filters_and_sorts(capsys, arguments: list[str], expected: list[str]) -> None:
    assert names(capsys, *arguments) == expected


def test_shows_the_metric_that_is_asked_for(capsys) -> None:
    rows = listed(capsys, "--metric", "test/loss", "--sort", "run")
    assert [row[4] for row in rows if row[1] == "cnn"] == ["0.3", "-", "0.3"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--where", "optimizer.nam=adam"], "optimizer.name"),
        (["--where", "dropuot=1"], "model.dropout"),
        (["--where", "optimizer.name"], "write it as"),
        (["--metric", "test/acuracy"], "test/accuracy"),
        (["--status", "complete"], "completed"),
        (["--script", "cmn"], "cnn"),
        (["--sort", "stepp"], "step"),
        (["nowhere"], "there is no folder nowhere"),
    ],
)
def test_what_is_misspelt_is_one_line_with_the_nearest(refused, arguments, said: str) -> None:
    assert said in refused("list", *arguments)


def test_a_damaged_run_does_not_hide_the_others(capsys) -> None:
    Path("runs/b/config.json").write_text("{")
    rows = listed(capsys, "--sort", "run")
    assert rows[0][:2] == ["runs/b", "unreadable"]
    assert len(rows) == 4


def test_nothing_is_cut_off_where_the_output_is_no_terminal(capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    name = "runs/" + 200 * "x"
    write_run(Path(name))
    assert [name] == [row[0] for row in listed(capsys) if row[0] == name]


def test_five_hundred_runs_take_less_than_two_seconds(capsys) -> None:
    for index in range(500):
        write_run(Path(f"runs/many/{index}"), config={"seed": index})
    start = time.monotonic()
    assert len(listed(capsys, "--where", "optimizer.name=adam", "--sort", "test/accuracy")) == 503
    assert time.monotonic() - start < 2.0
