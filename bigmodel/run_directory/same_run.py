"""Which options identify a run, and which may change when it is resumed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from bigmodel.config import differences, flat
from bigmodel.experiment import InputError

LAYOUT_FIELDS = ("mesh", "model.attention", "run.dir", "run.profile", "run.sinks")
"""Options that say where a run happens, by which kernels, and where it is shown; a name stands for
all options below it."""
FREE_FIELDS = (
    *LAYOUT_FIELDS,
    "data.cache",
    "run.keep",
    "run.log_every",
    "run.eval_every",
    "run.eval_every_epochs",
    "run.test_every",
    "run.checkpoint_every",
    "run.patience",
    "run.flags",
    "run.steps_per_call",
    "data.workers",
)
"""Options that no parameter of a step depends on."""
PATH_FIELDS = ("data.path", "data.test_path", "init.from", "teacher.run", "tokens.run")
"""Options that say where the data and what was learned are; the fingerprint says what they are."""
LENGTH_FIELDS = ("run.steps", "run.epochs")
OF_EACH_START = (
    "command",
    "started",
    "code",
    "python",
    "packages",
    "processor",
    "device_kind",
    "device_count",
    "process_count",
    "cores",
    "xla_flags",
    "accelerator",
)
"""Entries of the manifest that are recorded for each start of a run."""
EARLY = "stopped early"
"""The status of a run that its patience has ended."""


def is_among(name: str, fields: Collection[str]) -> bool:
    """Whether a dotted name is one of some fields, or below one."""
    return any(name == field or name.startswith(f"{field}.") for field in fields)


def default_directory(config: Mapping[str, Any], script: Path, fingerprint: str) -> Path:
    """``runs/<name>-<digest>``, the directory of a run for which none is chosen.

    The digest is a function of the data and of all options that decide what a step computes and
    how many there are. So the same command finds its run again, also under another mesh, with
    other intervals, and where the data has been moved.
    """
    fields = (*FREE_FIELDS, *PATH_FIELDS)
    computed = {name: value for name, value in flat(config).items() if not is_among(name, fields)}
    text = json.dumps([computed, fingerprint], sort_keys=True)
    return Path("runs") / f"{script.stem}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def check_config(
    path: Path,
    there: Mapping[str, Any],
    here: Mapping[str, Any],
    *,
    data_known: bool,
    total: int,
    reached: int,
) -> None:
    """Raises InputError where the config ``here`` is not that of the run in a directory, ``there``.

    ``data_known`` says that the fingerprint of its data is known, whatever the data's path is. The
    run has ``total`` steps as this start has it, of which ``reached`` are done.
    """
    old, new = flat(there), flat(here)
    if old.keys() != new.keys():
        words = [
            f"{word} {', '.join(sorted(names))}"
            for word, names in (("has", old.keys() - new), ("lacks", new.keys() - old))
            if names
        ]
        raise InputError(
            f"{path} holds a run of another version of the code: it {' and '.join(words)}; "
            "go on with that version, or choose another --run.dir"
        )
    free = (*FREE_FIELDS, *(PATH_FIELDS if data_known else ()))
    found = differences(there, here)
    differing = {name: words for name, words in found.items() if not is_among(name, free)}
    if not differing:
        return
    why = ""
    if all(is_among(name, LENGTH_FIELDS) for name in differing):
        schedules = {name: value for name, value in new.items() if name.endswith("schedule")}
        falling = [f"{name} {value}" for name, value in schedules.items() if value != "constant"]
        if new.get("prune.sparsity"):  # It is reached at a share of the run.
            falling.append(f"prune.sparsity {new['prune.sparsity']}")
        if new.get("privacy.epsilon") is not None:
            falling.append(f"the noise of privacy.epsilon {new['privacy.epsilon']}")
        if schedules and not falling and total >= reached:
            return
        if schedules and not falling:
            why = f", and {reached} steps are done"
        else:
            why = (
                f", on which {', '.join(falling) or 'it'} depends: only a run with a constant "
                "schedule can become longer, and a new one begins from its own initial parameters"
            )
    raise InputError(
        f"{path} holds a run with another config: {'; '.join(differing.values())}{why}; "
        "choose another --run.dir"
    )


def is_exhausted(best: tuple[int, float, int] | None, patience: int | None) -> bool:
    """Whether so many evaluations since the best one, the last of its entries, are too many."""
    return patience is not None and best is not None and best[2] >= patience


def is_over(
    summary: Mapping[str, Any],
    best: tuple[int, float, int] | None,
    total: int,
    patience: int | None,
) -> bool:
    """Whether a run that has a summary would make no further step.

    It would where it has diverged, has become longer (``total`` steps), or is given more patience.
    """
    if summary["status"] not in ("completed", EARLY):
        return False
    early = summary["status"] == EARLY and is_exhausted(best, patience)
    return summary["step"] >= total or early


def recorded_config(there: Mapping[str, Any] | None, here: Mapping[str, Any]) -> dict[str, Any]:
    """The config to keep in a run directory: this start's, on the mesh of the first one."""
    return {**here, "mesh": there["mesh"]} if there and "mesh" in there else dict(here)


def start_of(step: int, config: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What is recorded of a start at a step: what may differ from one start of a run to the next.

    These are entries of the manifest and, under ``options`` by dotted names, of the config.
    """
    fields = (*FREE_FIELDS, *PATH_FIELDS, *LENGTH_FIELDS)
    options = {name: value for name, value in flat(config).items() if is_among(name, fields)}
    facts = {name: manifest[name] for name in OF_EACH_START if name in manifest}
    return {"step": step, **facts, "options": options}
