"""Makes the missing runs of one cell of an existing study; job arrays use it.

python launch.py work studies/opt "optimizer.name=adam model.dropout=0"

Other cells may be made at the same time, by other processes on any machine that sees the folder:
launch.py ablate --slurm writes a script that does so. With --seeds-by auto each cell decides for
itself how its seeds share a process, and keeps the decision in its folder. SIGTERM saves and stops;
under a scheduler the exit status is then 75, and the same command goes on.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from bigmodel import errors
from bigmodel.experiment import InputError
from bigmodel.files import locked
from bigmodel.script import check_script, load_script
from bigmodel.studies.ablation.worker import start_fork_server
from bigmodel.studies.study import directory_of, read_study


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    parser.add_argument("study", type=Path, help="folder of the study, such as studies/opt")
    parser.add_argument("cell", help="name of the cell, as launch.py ablate --dry-run prints it")
    parser.add_argument("--figures", action="store_true", help="let its runs draw their figures")


def execute(parsed: argparse.Namespace, options: Sequence[str]) -> int:
    """Makes the missing runs; returns the exit status: 0, 1 if a run failed, or 75."""
    if options:
        raise InputError(f"work takes no options after --: {' '.join(options)}")
    study = read_study(parsed.study)
    cells = {cell.name: cell for cell in study.cells}
    if parsed.cell not in cells:
        near = get_close_matches(parsed.cell, cells, n=1, cutoff=0.0)
        raise InputError(f"{parsed.study} has no cell {parsed.cell}; did you mean {near[0]}?")
    cell = cells[parsed.cell]
    script = Path(study.script)
    check_script(script)
    start_fork_server()
    # These bring JAX with them.
    from bigmodel.studies.ablation.runner import Runner
    from bigmodel.studies.definition.cells import resolve

    home = directory_of(parsed.study, cell, study.seeds[0]).parent
    default = load_script(script).Config()
    configs = resolve(default, study.options, [dict(cell.options)])
    part = dataclasses.replace(study, cells=(cell,))
    with locked(parsed.study, shared=True, otherwise="wait for it"):
        with errors.naming(home):
            home.mkdir(parents=True, exist_ok=True)
        with (
            locked(home, otherwise="wait for it"),
            Runner(script, jobs=1, drawing=parsed.figures) as runner,
        ):
            return runner.run(parsed.study, part, configs, home=home)
