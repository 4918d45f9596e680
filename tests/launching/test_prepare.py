"""``launch.py prepare``: what it makes is what the run with the same options reads."""

from pathlib import Path

import pytest

from launch import main


def test_a_run_finds_what_was_prepared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts, cache = tmp_path / "texts", tmp_path / "cache"
    texts.mkdir()
    for number in range(3):
        (texts / f"{number}.txt").write_text(f"{number} is a number. " * 400)
    options = ["--data.path", str(texts), "--data.cache", str(cache), "--data.context", "16"]
    command = ["prepare", "experiments/gpt.py", "--", *options]

    def made() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in cache.glob("*/data/*")}

    assert main(command) == 0
    first, before = capsys.readouterr().out, made()
    assert "the data is ready" in first
    assert before
    assert main(command) == 0
    assert made() == before
    (texts / "1.txt").write_text("something else " * 600)
    assert main(command) == 0
    assert made() != before


def test_a_missing_path_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "none"
    assert main(["prepare", "experiments/gpt.py", "--", "--data.path", str(path)]) != 0
    assert capsys.readouterr().err.splitlines() == [
        f"error: {path} does not exist; check --data.path"
    ]
