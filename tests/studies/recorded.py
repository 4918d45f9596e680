"""Studies as ``launch.py ablate`` leaves them, written by hand, without a training."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bigmodel.runtime.files import write_json
from bigmodel.studies.results import FAILED
from bigmodel.studies.study import Cell, Study, directory_of, write_study

STEPS = (100, 200, 300)
MANIFEST = {
    "git": {"commit": "0123456789abcdef", "diff": "", "untracked": ""},
    "python": "3.11.7",
    "packages": {"jax": "0.10.2", "numpy": "2.4.6"},
    "platform": "Linux",
    "device_kind": "cpu",
    "device_count": 1,
    "process_count": 1,
    "cores": 2,
    "xla_flags": "",
    "jax_flags": {},
    "data_fingerprint": "aa",
}


def record_study(
    path: Path,
    cells: tuple[Mapping[str, str], ...],
    *,
    seeds: tuple[int, ...],
    accuracy: Callable[[int, int, int], "float | str | None"],
    run: Mapping[str, Any] | None = None,
    manifest: Callable[[int, int], Mapping[str, Any]] = lambda *_: {},
    more: Mapping[str, float] | None = None,
    slower: float = 1.0,
    **settings: Any,
) -> Study:
    """Writes a study and its runs.

    ``accuracy(cell, seed, step)`` is test/accuracy; words are the state of a run that did not
    complete, ``missing`` and ``begun`` among them. The validation loss is one less that value,
    and 9 at the last step. ``more`` is what all summaries have beside these metrics.
    """
    study = Study(
        "experiments/cnn.py", ("--run.steps", "300"), tuple(map(Cell, cells)), seeds, **settings
    )
    write_study(path, study)
    for index, cell in enumerate(study.cells):
        for seed in seeds:
            values = [accuracy(index, seed, step) for step in STEPS]
            record_run(
                directory_of(path, cell, seed),
                values,
                {"best": "validation/loss", "maximize": False, **(run or {})},
                {**MANIFEST, **manifest(index, seed)},
                more or {},
                seconds=slower * (1.0 + index + (seed - seeds[0]) / 10),
            )
    return study


def record_run(
    folder: Path,
    values: "list[float | str | None]",
    run: Mapping[str, Any],
    manifest: Mapping[str, Any],
    more: Mapping[str, float],
    *,
    seconds: float,
) -> None:
    """Writes one run directory, or as much of it as its state has."""
    state = next((value for value in values if isinstance(value, str)), "completed")
    if state == "missing":
        return
    write_json(folder / "config.json", {"run": run})
    write_json(folder / "manifest.json", manifest)
    lines = []
    for step, value in zip(STEPS, values, strict=True):
        if not isinstance(value, str):
            at = {"step": step, "time": 1.7e9 + step, "seconds": seconds * step / STEPS[-1]}
            loss = None if value is None else 9.0 if step == STEPS[-1] else 1 - value
            lines.append({**at, "train/loss": None if value is None else 1 - value})
            lines.append({**at, "validation/loss": loss, "test/accuracy": value})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if state == "failed":
        write_json(folder / FAILED, {"reason": "out of memory"})
    elif state == "not finite":
        reason = "loss is nan after step 7 | <b>"
        write_json(
            folder / "summary.json",
            {"status": state, "reason": reason, "step": 7, "seconds": seconds},
        )
    elif state == "completed":
        last = {name: value for line in lines for name, value in line.items() if "/" in name}
        write_json(
            folder / "summary.json",
            {
                "status": state,
                "step": STEPS[-1],
                "seconds": seconds,
                "first_step_seconds": 0.5,
                "params_digest": "d1",
                "parameters": 1234,
                "best": None,
                **last,
                **more,
            },
        )
