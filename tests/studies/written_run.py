"""Run directories that no run has made, for tests of what reads them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
