r"""Compares choices of an experiment's options, each under the same seeds.

    python launch.py ablate experiments/cnn.py --name opt --seeds 5 \
        --vary optimizer.name=sgd,momentum,adam --vary model.dropout=0,0.3 -- --run.steps 300

Every combination is a cell, and every cell is run under every seed, so that differences are
paired. --with moves an option together with the --vary before it; --one-at-a-time changes one
option of the baseline at a time; --random 20 draws cells, from lists or from ranges as
--vary optimizer.learning-rate=log:1e-4:1e-1 (log, uniform, int). A list of numbers, such as
widths, is one value: --vary model.widths='32 64,64 128'.

A study can be a file beside the experiment, TOML or Python with a STUDY: see docs/studies.md.

Runs go to studies/NAME/runs. Typed again, the command makes the runs that are missing; with more
seeds or cells it adds them. A run that fails is recorded with its reason and does not stop the
others. At the end it reports, as launch.py report does.

With --slurm each cell with missing runs is a task of a job array, which goes on after a preemption
or the end of its time; see docs/slurm.md. The report is then made by launch.py report.
"""

from __future__ import annotations

import argparse
import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bigmodel import errors
from bigmodel.errors import StorageError
from bigmodel.experiment import InputError
from bigmodel.launching.job import check_positive
from bigmodel.script import check_script, load_script
from bigmodel.studies.ablation.array import add_array_options, check_array_options, submit_array
from bigmodel.studies.ablation.worker import start_fork_server
from bigmodel.studies.definition.definition import AT, WAYS, Definition, read_axes, read_seeds
from bigmodel.studies.definition.study_file import is_study_file, read_study_file
from bigmodel.studies.study import Cell, Study, check_joins, held, write_study


class _InOrder(argparse.Action):
    """Keeps --vary and --with in the order in which they are typed."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: str | None = None) -> None:
        del parser
        words = [*(getattr(namespace, self.dest) or ()), (str(option).lstrip("-"), values)]
        setattr(namespace, self.dest, words)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    add = parser.add_argument
    add("script", type=Path, help="the experiment's script, or a study file")
    add(
        "--name", help="name of the study, whose folder is studies/NAME; default: the script's name"
    )
    axes = {
        "--vary": "values of an option, an axis of the grid",
        "--with": "values of an option that moves together with the --vary before it",
    }
    for name, text in axes.items():
        add(name, dest="words", action=_InOrder, metavar="OPTION=A,B", help=text)
    add("--seeds", help="number of seeds, or seeds with commas; default 5")
    add(
        "--baseline", metavar="OPTION=A,...", help="cell to compare with; default: the first values"
    )
    add("--one-at-a-time", action="store_true", help="change one option of the baseline at a time")
    add("--random", type=int, metavar="N", help="number of cells to draw at random")
    add("--sample-seed", type=int, help="seed of --random; default 0")
    add("--metric", help="metric that the report compares; default: the main one of the experiment")
    add("--at", choices=AT, help="which value counts: the last one, or that of the best validation")
    add(
        "--seeds-by",
        choices=WAYS,
        help="how runs share a process; default: auto, whatever is faster",
    )
    add("--jobs", type=int, help="number of worker processes; default: two on CPUs, else one")
    add("--figures", action="store_true", help="let each run draw its figures, which takes time")
    add("--retry-failed", action="store_true", help="make failed runs again")
    add("--dry-run", action="store_true", help="print the cells and write nothing")
    add_array_options(parser)


def execute(parsed: argparse.Namespace, options: Sequence[str]) -> int:
    """Makes or submits the missing runs and reports; returns the exit status, 1 if a run failed."""
    definition = define(parsed, options)
    check_positive("jobs", parsed.jobs)
    check_array_options(parsed)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", definition.name):
        raise InputError(
            f"--name is {definition.name}; it must be letters, digits, dots, hyphens and "
            "underscores, for it is a folder in studies/"
        )
    check_script(definition.script)
    choices, baseline = definition.cells()
    idle = parsed.dry_run or parsed.slurm
    if not idle:
        # It imports while the study is still being checked.
        start_fork_server()
    # These bring JAX with them.
    from bigmodel.studies.ablation.runner import Runner
    from bigmodel.studies.definition.cells import resolve
    from bigmodel.studies.metric import FINISHED, check_best
    from bigmodel.studies.report import load, make_report
    from bigmodel.studies.runs import read_results

    path = Path("studies") / definition.name
    default = load_script(definition.script).Config()
    configs = resolve(default, definition.options, choices)
    if definition.at == "best":
        for config in configs:
            check_best(config.run.best, "--run.best chooses")
    study = Study(
        script=str(definition.script),
        options=definition.options,
        cells=tuple(Cell(choice) for choice in choices),
        seeds=definition.seeds,
        baseline=None if baseline is None else Cell(baseline).name,
        metric=definition.metric,
        at=definition.at,
        seeds_by=definition.seeds_by,
    )
    if parsed.dry_run:
        runs = len(study.cells) * len(study.seeds)
        print(f"{path}: {len(study.cells)} cells under {len(study.seeds)} seeds, {runs} runs")
        for cell in study.cells:
            print(f"  {cell.name}{'  (baseline)' * (cell.name == study.baseline)}")
    if parsed.slurm:
        return submit_array(parsed, path, study)
    if idle:
        return errors.DONE
    with Runner(definition.script, jobs=parsed.jobs, drawing=parsed.figures) as runner:
        stopped = runner.check_metric(path, study, configs)
        if stopped is not None:
            return stopped
        with held(path):
            check_joins(path, study)
            write_study(path, study)
            threading.Thread(target=load, daemon=True).start()
            status = runner.run(path, study, configs, retry_failed=parsed.retry_failed)
    if runner.stopped:
        return status
    if all(result.state not in FINISHED for result in read_results(path, study)):
        print(f"no run of {path} has come to its end, so there is nothing to report")
        return status
    try:
        make_report(path)
    except InputError as error:
        # The runs are there, and 2 would say that nothing was written.
        raise StorageError(f"there is no report of {path}: {error}") from None
    return status


def define(parsed: argparse.Namespace, options: Sequence[str]) -> Definition:
    """Returns the study of a command line, whose options take precedence over a study file."""
    values: dict[str, Any] = {"script": parsed.script, "name": parsed.script.stem, "axes": ()}
    if is_study_file(parsed.script):
        values |= read_study_file(parsed.script)
    names = ("name", "seeds", "baseline", "random", "sample_seed", "metric", "at", "seeds_by")
    typed = {name: getattr(parsed, name) for name in names}
    values |= {name: value for name, value in typed.items() if value is not None}
    if parsed.one_at_a_time:
        values["one_at_a_time"] = True
    if parsed.words:
        values["axes"] = tuple(read_axes(parsed.words))
    values["options"] = (*values.get("options", ()), *options)
    values["seeds"] = read_seeds(values.get("seeds", "5"))
    return Definition(**values)
