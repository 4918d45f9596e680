"""Compares runs side by side: the options, code and machine that differ, and all results.

    python launch.py compare runs/a runs/b runs/c

Of options, code, packages and machine only the differences are shown; of the results everything.
Unfinished runs are shown with their latest results.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bigmodel.config import differences, flat
from bigmodel.experiment import InputError
from bigmodel.run_directory.changes import flags
from bigmodel.run_directory.same_run import LAYOUT_FIELDS
from bigmodel.studies.runs import SomeRun, read_run
from bigmodel.tracking.progress import say
from bigmodel.tracking.tables import ABSENT, number_text, option_text, show_table

PLACES = tuple(name for name in LAYOUT_FIELDS if name.startswith("run."))
"""Options that say only where a run is, or what else it writes."""
MACHINE = (
    "python", "platform", "processor", "device_kind", "device_count", "process_count", "cores",
    "seeds_by",
)  # fmt: skip
Values = Mapping[str, Any]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run directories")


def execute(parsed: argparse.Namespace, options: Sequence[str]) -> int:
    """Prints the tables; raises InputError for fewer than two runs, or a folder without one."""
    if options:
        raise InputError(f"compare takes no options after --; leave out {' '.join(options)}")
    if len(parsed.runs) < 2:
        raise InputError("compare needs two or more runs; launch.py list shows them")
    runs = [read_run(path) for path in parsed.runs]
    chosen = [{n: v for n, v in run.config.items() if n not in PLACES} for run in runs]
    _differing("options", runs, chosen, option_text)
    _differing("code", runs, list(map(_code, runs)), str)
    _differing("packages, machine and data", runs, list(map(_made_with, runs)), str)
    results = list(map(_result, runs))
    _table("result", dict.fromkeys(itertools.chain(*results)), runs, results, str)
    _say_digests(runs)
    return 0


def _differing(
    title: str, runs: Sequence[SomeRun], values: Sequence[Values], text: Callable[[Any], str]
) -> None:
    """Shows what not all have, or with other values."""
    first, *others = values
    names = {name for other in others for name in differences(first, other)}
    names |= {name for one in values for name in one if any(name not in each for each in values)}
    if names:
        _table(title, sorted(names), runs, values, text)
    else:
        say(f"{title}: the same")


def _table(
    title: str,
    names: Iterable[str],
    runs: Sequence[SomeRun],
    values: Sequence[Values],
    text: Callable[[Any], str],
) -> None:
    rows = [[name, *(text(v[name]) if name in v else ABSENT for v in values)] for name in names]
    show_table([title, *(str(run.path) for run in runs)], rows)
    say("")


def _code(run: SomeRun) -> Values:
    """The script and its code; a diff by its digest, for it may be long."""
    git = run.manifest.get("git")
    found = {"script": run.script or ABSENT, "code": run.manifest.get("code", ABSENT)}
    if git is None:
        return {**found, "commit": "no repository"}
    diff = git["diff"]
    found["commit"] = git["commit"][:10]
    found["diff"] = f"sha256 {hashlib.sha256(diff.encode()).hexdigest()[:10]}" if diff else "none"
    found["untracked files"] = str(len(git["untracked"].splitlines()))
    return found


def _made_with(run: SomeRun) -> Values:
    manifest = run.manifest
    found = {name: manifest[name] for name in MACHINE if name in manifest}
    found |= flat({"package": manifest.get("packages", {}), **manifest.get("jax_flags", {})})
    found["xla_flags"] = flags(manifest.get("xla_flags", "")) or "none"
    found["data"] = f"sha256 {manifest.get('data_fingerprint', ABSENT)[:10]}"
    return found


def _result(run: SomeRun) -> Values:
    found = {"status": run.state, "step": f"{run.step}", "seconds": f"{run.seconds:.1f}"}
    for name in ("reason", "parameters"):
        if name in run.summary:
            found[name] = str(run.summary[name])
    found |= {name: number_text(value, 6) for name, value in run.metrics.items()}
    if "params_digest" in run.summary:
        found["params_digest"] = run.summary["params_digest"][:10]
    return found


def _say_digests(runs: Sequence[SomeRun]) -> None:
    digests = [run.summary.get("params_digest") for run in runs]
    if None in digests:
        say("parameters: not all of these runs have finished")
    elif len(set(digests)) == 1:
        say("parameters: the same bits")
    else:
        say(f"parameters: {len(set(digests))} different digests")
