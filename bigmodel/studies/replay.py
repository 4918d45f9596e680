"""Repeats a run from its directory alone, and says whether the results are the same.

    python launch.py replay runs/cnn-1a2b3c4d
    python launch.py replay runs/cnn-1a2b3c4d --checkout
    python launch.py replay --study studies/opt --sample 3

It first lists what has changed since (code, packages, machine, data) and what to expect: equal
bits, agreement to rounding, or another run. Then it trains in a temporary directory and compares
the digest of the parameters and every logged metric; the run itself is only read. The replay has
the run's number of CPU devices and processes, and its flags of XLA and JAX.

--checkout uses the recorded commit and its recorded uncommitted changes, in a temporary git
worktree, with the installed packages. Runs of a study that were trained side by side by vmap are
compared within 1e-5, because a run on its own does not have the same bits.

The exit status is 0 if everything is equal, 1 if something differs, and 2 if the run cannot be
replayed; one line says why.
"""

from __future__ import annotations

import argparse
import random
import signal
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bigmodel import errors
from bigmodel.experiment import InputError
from bigmodel.processes.signals import Interrupted, StopRequest
from bigmodel.run_directory.changes import SEVERITY, Change, Effect, changes, changes_on_the_way
from bigmodel.run_directory.recorded import COMPRESSED, Recorded
from bigmodel.studies.replaying.code import checkout, present_code
from bigmodel.studies.replaying.rebuild import Facts
from bigmodel.studies.replaying.repeat import read_facts, train
from bigmodel.studies.replaying.verdict import judge
from bigmodel.studies.runs import read_finished, read_results
from bigmodel.studies.study import read_study
from bigmodel.tracking.progress import say

SIDE_BY_SIDE = 1e-5
EQUAL, DIFFERENT, NOT_REPLAYED = 0, 1, 2
EFFECTS: dict[Effect, str] = {
    "none": "equal bits",
    "rounding": "agreement to rounding, which training can amplify",
    "another run": "another run",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    add = parser.add_argument
    add("run", nargs="?", type=Path, help="the run's directory")
    add("--checkout", action="store_true", help="use the recorded commit and its recorded changes")
    add("--script", type=Path, help="the experiment's script, if it has moved")
    add("--keep", type=Path, metavar="DIR", help="keep the new run in this new directory")
    add("--study", type=Path, help="replay runs of the study in this folder")
    add("--sample", type=int, default=3, help="number of runs of the study, at random; default 3")
    add("--seed", type=int, default=0, help="seed of the choice of runs; default 0")


def execute(parsed: argparse.Namespace, options: Sequence[str]) -> int:
    """Replays a run or some of a study; raises InputError if the run cannot be replayed."""
    if options:
        raise InputError(f"replay takes the options of the run; leave out {' '.join(options)}")
    if (parsed.run is None) == (parsed.study is None):
        raise InputError("name the directory of a run, or a study with --study (see --help)")
    if parsed.keep is not None and parsed.keep.exists():
        raise InputError(f"--keep {parsed.keep} already exists; choose a new directory")
    try:
        with StopRequest():
            return _study(parsed) if parsed.run is None else _replay(parsed.run, parsed)
    except errors.StorageError as error:
        raise InputError(str(error)) from None
    except Interrupted as interruption:
        say(f"stopped by {signal.Signals(interruption.number).name}")
        stopped = interruption.number == signal.SIGINT
        return errors.INTERRUPTED if stopped else errors.RESUME


def _study(parsed: argparse.Namespace) -> int:
    """Replays some runs of a study and prints a summary."""
    if parsed.keep is not None:
        raise InputError("--keep is for one run; leave it out with --study")
    if parsed.sample < 1:
        raise InputError(f"--sample is {parsed.sample}; it must be at least 1")
    study = read_study(parsed.study)
    ended = [result.directory for result in read_results(parsed.study, study) if result.summary]
    if not ended:
        raise InputError(f"{parsed.study} has no finished run; launch.py ablate trains them")
    chosen = random.Random(parsed.seed).sample(ended, min(parsed.sample, len(ended)))
    found = []
    for path in chosen:
        try:
            found.append(_replay(path, parsed))
        except (InputError, errors.StorageError) as error:
            say(f"cannot be replayed: {error}")
            found.append(NOT_REPLAYED)
        if found[-1] > NOT_REPLAYED:
            return found[-1]
    words = ((EQUAL, "equal"), (DIFFERENT, "different"), (NOT_REPLAYED, "not replayed"))
    counts = ", ".join(f"{found.count(status)} {word}" for status, word in words)
    say(f"{parsed.study}: {len(chosen)} of {len(ended)} runs: {counts}")
    return DIFFERENT if DIFFERENT in found else max(found)


def _replay(path: Path, parsed: argparse.Namespace) -> int:
    recorded = read_finished(path)
    if made := recorded.manifest.get(COMPRESSED):
        raise InputError(f"{path} was compressed and not trained; replay {made['from']}")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bigmodel-replay-")))
        say(f"{path}: {Path(recorded.manifest['script']).name}, seed {recorded.manifest['seed']}")
        if parsed.checkout:
            code = stack.enter_context(checkout(recorded, folder))
        else:
            code = present_code(recorded, parsed.script)
        _announce(recorded, read_facts(recorded, code, folder))
        into = folder / "run" if parsed.keep is None else parsed.keep
        status = train(recorded, code, folder, into=into)
        if status not in (errors.DONE, errors.NOT_FINITE):
            return status
        tolerance = SIDE_BY_SIDE if recorded.manifest.get("seeds_by") == "vmap" else None
        verdict = judge(recorded, read_finished(into), tolerance=tolerance)
    for line in verdict.lines:
        say(line)
    return EQUAL if verdict.equal else DIFFERENT


def _announce(recorded: Recorded, facts: Facts) -> None:
    """Lists what differs, each with its effect, and what to expect."""
    found = changes(recorded.manifest, facts["manifest"])
    found += [
        Change(f"the option {name}", "absent", f"{value}, its default,", "another run")
        for name, value in facts["added"].items()
    ]
    for change in found:
        say(f"  {change}: {EFFECTS[change.effect]}")
    later = changes_on_the_way(recorded.manifest)
    for what, before, now, effect in later:
        say(f"  {what}: {before} when it began, {now} when it went on: {EFFECTS[effect]}")
    found += later
    if recorded.manifest.get("seeds_by") == "vmap":
        say(f"  it was trained side by side with other runs: agreement within {SIDE_BY_SIDE:g}")
        return
    # Of what differs, the worst decides.
    worst = SEVERITY[max((SEVERITY.index(change.effect) for change in found), default=0)]
    say(f"  {'expected' if found else 'nothing differs, expected'}: {EFFECTS[worst]}")
