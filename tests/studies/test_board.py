import io
import json
import re
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from bigmodel.run_directory.directory import METRICS
from bigmodel.studies.ablation.board import Board, last_step
from bigmodel.studies.runs import Result
from bigmodel.studies.study import Cell, Study


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    @property
    def text(self) -> str:
        """What was written, without what moves the cursor and makes letters bold."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.getvalue())


def study(cells: int, seeds: int = 2) -> tuple[Study, list[SimpleNamespace]]:
    names = tuple(Cell({"model.width": str(number)}) for number in range(cells))
    config = SimpleNamespace(run=SimpleNamespace(steps=300, epochs=None))
    return Study("a.py", (), names, tuple(range(seeds))), [config] * cells


def result(cell: Cell, seed: int, state: str = "completed", reason: str = "") -> Result:
    return Result(cell, seed, Path("none"), state, reason, {})


def write_steps(directory: Path, *steps: int, rest: str = "") -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps({"step": step, "train/loss": 0.5}) + "\n" for step in steps)
    (directory / METRICS).write_text(lines + rest)
    return directory


def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal of a hundred columns in the place of the standard output."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    for name, value in {"COLUMNS": "100", "LINES": "60", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    return stream


def test_the_last_step_is_that_of_the_last_whole_line_or_0(tmp_path: Path) -> None:
    assert last_step(write_steps(tmp_path, 1, 50, 100)) == 100
    assert last_step(write_steps(tmp_path, 1, 50, rest='{"step": 100, "tra')) == 50
    assert last_step(write_steps(tmp_path, *range(1, 2000))) == 1999
    assert last_step(tmp_path / "none") == 0
    assert last_step(write_steps(tmp_path)) == 0
    assert last_step(write_steps(tmp_path, rest='{"step": 1')) == 0
    assert last_step(write_steps(tmp_path, rest="[]\nnull\n")) == 0


def test_a_table_shows_state_seeds_progress_and_what_is_left(monkeypatch, tmp_path: Path) -> None:
    screen = terminal(monkeypatch)
    plan, configs = study(3)
    first, second, _ = plan.cells
    with Board(plan, configs) as board:
        board.begun(first, 0, tmp_path)
        board.ended(result(first, 0))
        board.ended(result(first, 1))
        board.ended(result(second, 0, "failed", "out of memory: [/x] f32[batch,8]"))
        board.begun(second, 1, write_steps(tmp_path / "a", 1, 150))
        time.sleep(0.01)
    shown = [line.rstrip() for line in screen.text.splitlines()]
    at = next(n for n, line in enumerate(shown) if line.startswith("cell "))
    assert "3 of 6 runs, 0:00 left" in shown[at - 1]
    rows = shown[at + 1 : at + 4]
    assert rows[0].split() == ["model.width=0", "done", "2/2"]
    assert "running, 1 failed: out of memory: [/x] f32[batch,8]" in " ".join(rows)
    assert "seed 1: 150/300" in rows[1]
    assert rows[2].split() == ["model.width=2", "0/2"]


def test_of_many_cells_those_that_are_being_made_are_shown(monkeypatch, tmp_path: Path) -> None:
    screen = terminal(monkeypatch)
    plan, configs = study(200)
    with Board(plan, configs) as board:
        board.begun(plan.cells[137], 1, write_steps(tmp_path, 7))
        board.refresh()
    for words in ("model.width=137", "seed 1: 7/300", "199 other cells"):
        assert words in screen.text
    assert "model.width=138" not in screen.text


def test_a_cell_without_options_has_a_table_too(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = terminal(monkeypatch)
    plan = Study("a.py", (), (Cell({}),), (0,))
    with Board(plan, study(1)[1]):
        pass
    assert "default" in screen.text


def test_without_a_terminal_each_run_that_ends_now_is_a_line(capsys, tmp_path: Path) -> None:
    plan, configs = study(2)
    with Board(plan, configs) as board:
        board.ended(result(plan.cells[0], 0))
        board.begun(plan.cells[0], 1, tmp_path)
        board.begun(plan.cells[1], 0, tmp_path)
        board.ended(result(plan.cells[0], 1, "not finite", "loss at step 3"))
        board.ended(result(plan.cells[1], 0, "failed", "out of memory"))
        assert board.failures == 1
    assert capsys.readouterr().out.splitlines() == [
        "2/4  model.width=0 seed 1: not finite (loss at step 3) in 0:00, 0:00 left",
        "3/4  model.width=1 seed 0: failed (out of memory) in 0:00, 0:00 left",
    ]


def test_what_is_left_takes_as_long_as_what_was_made(monkeypatch, capsys, tmp_path: Path) -> None:
    """Four runs of ten seconds each: one was there, so after one more 20 s are left."""
    now = [100.0]
    monkeypatch.setattr("bigmodel.studies.ablation.board.time.monotonic", lambda: now[0])
    plan, configs = study(2)
    with Board(plan, configs) as board:
        board.ended(result(plan.cells[0], 0))
        for seed in (0, 1):
            board.begun(plan.cells[1], seed, tmp_path)
            now[0] += 10
            board.ended(result(plan.cells[1], seed))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("in 0:10, 0:20 left")
    assert lines[1].endswith("in 0:10, 0:10 left")
