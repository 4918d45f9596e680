"""Runs in the files of Weights & Biases' offline mode: what ``wandb sync`` would send."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tracked
from recorded import read

from bigmodel.experiment import InputError

pytest.importorskip("wandb.sdk", reason="pip install -e '.[wandb]'")
import wandb
from wandb.proto import wandb_internal_pb2

BLOCK = 32768
FULL, FIRST, _, LAST = 1, 2, 3, 4


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package reads its environment once, and forgets it with a teardown."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    wandb.teardown()
    yield
    wandb.teardown()


def records(path: Path) -> Iterator[Any]:
    """The records of a file: a log as LevelDB writes it, of protocol buffers.

    https://github.com/google/leveldb/blob/main/doc/log_format.md
    """
    content, at, parts = path.read_bytes(), 7, b""
    while at < len(content):
        if BLOCK - at % BLOCK < 7:
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", content, at)
        parts = (b"" if kind in (FULL, FIRST) else parts) + content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (FULL, LAST):
            yield wandb_internal_pb2.Record.FromString(parts)


def values(items: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in items:
        *outer, name = item.nested_key or [item.key]
        inner = found.setdefault(outer[0], {}) if outer else found
        inner[name] = json.loads(item.value_json)
    return found


def starts() -> list[tuple[Any, dict[int, dict[str, Any]], dict[str, Any]]]:
    """Of each start of a run: what it is, its history and its summary."""
    found = []
    for path in sorted(Path("wandb").glob("offline-run-*/*.wandb")):
        all_of = list(records(path))
        (run,) = (record.run for record in all_of if record.HasField("run"))
        history = {
            record.history.step.num: values(record.history.item)
            for record in all_of
            if record.HasField("history")
        }
        summary: dict[str, Any] = {}
        for record in all_of:
            summary |= values(record.summary.update)
        found.append((run, history, summary))
    return found


def numbers(history: dict[int, dict[str, Any]]) -> dict[int, dict[str, float]]:
    return {
        step: {
            name: value
            for name, value in row.items()
            if not name.startswith("_") and not isinstance(value, dict)
        }
        for step, row in history.items()
    }


def test_the_offline_file_has_what_the_run_directory_has() -> None:
    assert tracked.run(Path("a"), ("wandb",)) == 0
    ((run, history, summary),) = starts()
    assert numbers(history) == tracked.rows(Path("a"))
    assert run.display_name == "a"
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    there = read(Path("a"), "config.json")
    assert {name: config[name] for name in there} == there
    written = read(Path("a"), "summary.json")
    for name in ("status", "params_digest", "step"):
        assert summary[name] == written[name]
    samples = history[10]["samples"]
    assert (samples["_type"], samples["width"], samples["height"]) == ("image-file", 4, 3)
    assert history[10]["text"]["_type"] == "html-file"
    (text,) = Path("wandb").glob(f"offline-run-*/files/{history[10]['text']['path']}")
    assert "<pre>a &lt;sample&gt;</pre>" in text.read_text()
    assert "curves" in history[40]


def test_a_run_that_goes_on_does_so_in_the_same_run_with_increasing_steps() -> None:
    tracked.crash(Path("a"), ("wandb",))
    assert tracked.run(Path("a"), ("wandb",)) == 0
    (before, first, _), (after, second, summary) = starts()
    assert before.run_id == after.run_id
    assert max(first) < min(second)
    found = tracked.computed(numbers({**first, **second}))
    assert found == tracked.computed(tracked.rows(Path("a")))
    assert summary["status"] == "completed"


def test_without_a_login_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    wandb.teardown()
    with pytest.raises(InputError, match=r"--run.sinks wandb: nobody is logged in"):
        tracked.run(Path("a"), ("wandb",))
    assert not Path("a").exists()
