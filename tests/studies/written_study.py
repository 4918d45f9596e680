"""Studies as ``launch.py ablate`` leaves them, for tests of what reads them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from written_run import SUMMARY, write_run

from bigmodel.files import write_json
from bigmodel.studies.runs import FAILED
from bigmodel.studies.study import Cell, Study, directory_of, write_study

STEPS = (100, 200, 300)
REASON = "loss is nan after step 7"


def write_runs(
    path: Path,
    cells: tuple[Mapping[str, str], ...],
    *,
    seeds: tuple[int, ...] = (0,),
    accuracy: Callable[[int, int, int], "float | str"] = lambda *_: 0.5,
    config: Mapping[str, Any] | None = None,
    manifest: Callable[[int, int], Mapping[str, Any]] = lambda *_: {},
    more: Mapping[str, float] | None = None,
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
    state: str, lines: list[dict[str, float]], seconds: float, more: Mapping[str, float]
) -> dict[str, Any] | None:
    if state == "not finite":
        return {"status": state, "reason": REASON, "step": 7, "seconds": seconds}
    if state != "completed":
        return None
    last = {name: value for name, value in lines[-1].items() if "/" in name}
    kept = {name: SUMMARY[name] for name in ("params_digest", "parameters")}
    return {"status": state, "step": STEPS[-1], "seconds": seconds, **kept, **last, **more}
