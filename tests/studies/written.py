"""Run directories and studies that nothing has made, for tests of what reads them."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bigmodel.files import write_json
from bigmodel.studies.runs import FAILED
from bigmodel.studies.study import Cell, Study, directory_of, write_study

CONFIG = {
    "seed": 0,
    "run": {"steps": 100, "epochs": None, "dir": "", "profile": ""},
    "model": {"widths": [32, 64], "dropout": 0.1},
    "optimizer": {"name": "adam", "learning_rate": 0.001},
}
MANIFEST = {
    "script": "/code/experiments/cnn.py",
    "started": 1_700_000_000.0,
    "seed": 0,
    "data_fingerprint": "d" * 64,
    "code": "c" * 16,
    "maximize": ["accuracy"],
    "git": {"commit": "1" * 40, "diff": "", "untracked": ""},
    "python": "3.11.9",
    "packages": {"jax": "0.10.2", "numpy": "2.3.0"},
    "platform": "Linux",
    "processor": "one",
    "device_kind": "cpu",
    "device_count": 1,
    "process_count": 1,
    "cores": 2,
    "xla_flags": "",
    "jax_flags": {"jax_enable_x64": "False", "jax_threefry_partitionable": "True"},
}
LINES = (
    {"step": 50, "time": 1.0, "seconds": 0.5, "train/loss": 0.5, "steps_per_second": 9.0},
    {"step": 100, "time": 2.0, "seconds": 1.0, "train/loss": 0.25, "steps_per_second": 8.0},
    {"step": 100, "time": 3.0, "seconds": 1.5, "test/loss": 0.3, "test/accuracy": 0.9},
)
SUMMARY = {
    "status": "completed",
    "step": 100,
    "seconds": 1.5,
    "params_digest": "a" * 64,
    "parameters": 10,
    "train/loss": 0.25,
    "test/loss": 0.3,
    "test/accuracy": 0.9,
}
STEPS = (100, 200, 300)
REASON = "loss is nan after step 7"


def changed(value: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A nested mapping with other values, by dotted names."""
    found = json.loads(json.dumps(value))
    for name, new in changes.items():
        *parts, last = name.split(".")
        inner = found
        for part in parts:
            inner = inner[part]
        inner[last] = new
    return found


def write_run(
    path: Path,
    *,
    config: Mapping[str, Any] | None = None,
    manifest: Mapping[str, Any] | None = None,
    lines: Sequence[Mapping[str, Any]] = LINES,
    summary: Mapping[str, Any] | None = SUMMARY,
) -> Path:
    """A run directory; ``config`` and ``manifest`` change values by dotted names."""
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps(changed(CONFIG, config or {})))
    (path / "manifest.json").write_text(json.dumps(changed(MANIFEST, manifest or {})))
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if summary is not None:
        (path / "summary.json").write_text(json.dumps(summary))
    return path


def write_runs(
    path: Path,
    cells: tuple[Mapping[str, str], ...],
    *,
    seeds: tuple[int, ...] = (0,),
    accuracy: Callable[[int, int, int], "float | str"] = lambda *_: 0.5,
    config: Mapping[str, Any] | None = None,
    manifest: Callable[[int, int], Mapping[str, Any]] = lambda *_: {},
    more: Mapping[str, Any] | None = None,
    slower: float = 1.0,
    **settings: Any,
) -> None:
    """Writes a study and its runs.

    ``accuracy(cell, seed, step)`` is test/accuracy; words are the state of a run that did not
    complete, ``missing`` and ``begun`` among them. The losses are one less that value, but that
    on validation is 9 at the last step. ``more`` is what all summaries have beside that.
    """
    study = Study(
        "experiments/cnn.py", ("--run.steps", "300"), tuple(map(Cell, cells)), seeds, **settings
    )
    write_study(path, study)
    for index, cell in enumerate(study.cells):
        for place, seed in enumerate(seeds):
            values = [accuracy(index, seed, step) for step in STEPS]
            state = next((value for value in values if isinstance(value, str)), "completed")
            if state != "missing":
                seconds = slower * (1.0 + index + place / 10)
                folder = directory_of(path, cell, seed)
                lines = [
                    _line(step, value, seconds)
                    for step, value in zip(STEPS, values, strict=True)
                    if not isinstance(value, str)
                ]
                write_run(
                    folder,
                    config={"run.best": "validation/loss", **(config or {})},
                    manifest=manifest(index, seed),
                    lines=lines,
                    summary=_summary(state, lines, seconds, more or {}),
                )
                if state == "failed":
                    write_json(folder / FAILED, {"reason": "out of memory"})


def _line(step: int, value: float, seconds: float) -> dict[str, float]:
    loss = 1 - value
    return {
        "step": step,
        "time": 1.7e9 + step,
        "seconds": seconds * step / STEPS[-1],
        "train/loss": loss,
        "validation/loss": 9.0 if step == STEPS[-1] else loss,
        "test/accuracy": value,
    }


def _summary(
    state: str, lines: list[dict[str, float]], seconds: float, more: Mapping[str, Any]
) -> dict[str, Any] | None:
    if state == "not finite":
        return {"status": state, "reason": REASON, "step": 7, "seconds": seconds}
    if state != "completed":
        return None
    last = {name: value for name, value in lines[-1].items() if "/" in name}
    kept = {name: SUMMARY[name] for name in ("params_digest", "parameters")}
    return {"status": state, "step": STEPS[-1], "seconds": seconds, **kept, **last, **more}
