"""Reports the results of a study: a page, tables, curves, and what can be concluded from them.

Writes report.html, results.csv, results.md, results.tex and figures/ into the study's folder.
Cells are compared with the baseline seed by seed. The default metric is the first of test/accuracy,
test/rmse, test/bits_per_char, ..., test/loss that the runs have, or of validation if nothing is
tested. With --at best it is taken at the step that each run's --run.best metric chose on
validation.

python launch.py report studies/opt
python launch.py report studies/opt --metric test/loss --baseline optimizer.name=adam --at best
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from bigmodel.errors import StorageError
from bigmodel.experiment import InputError
from bigmodel.files import write_atomically


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    add = parser.add_argument
    add("study", type=Path, help="the study's folder, such as studies/opt")
    add("--metric", help="metric to compare, such as test/accuracy; default: the study's")
    add("--at", choices=("last", "best"), help="step at which it is taken; default: the study's")
    add("--baseline", help="cell to compare the others with, such as a=1,b=2")
    direction = parser.add_mutually_exclusive_group()
    for name, better, size in (("--maximize", True, "larger"), ("--minimize", False, "smaller")):
        text = f"a {size} value is better; default: as the experiment says"
        direction.add_argument(name, dest="maximize", action="store_const", const=better, help=text)


def execute(parsed: argparse.Namespace, options: Sequence[str]) -> int:
    """Writes the report and prints a short table."""
    if options:
        raise InputError(f"report takes no options after --: {' '.join(options)}")
    names = ("metric", "at", "baseline", "maximize")
    make_report(parsed.study, **{name: getattr(parsed, name) for name in names})
    return 0


def load() -> None:
    """Imports what takes long, in a thread while runs are made."""
    for name in (
        "matplotlib.backends.backend_agg",
        "matplotlib.backends.backend_svg",
        "scipy.special",
        "bigmodel.studies.reporting.drawings",
    ):
        import_module(name)


def make_report(study: Path, **asked: Any) -> None:
    """Writes the report into the folder of a study, over an earlier one, and prints a short table.

    ``asked`` are the keywords of :func:`read_report`, whose InputErrors are raised.
    """
    # Imported here, for they bring JAX and matplotlib with them.
    from bigmodel.studies.reporting.content import read_report
    from bigmodel.studies.reporting.drawings import draw_all_curves, draw_effects, draw_means
    from bigmodel.studies.reporting.page import page
    from bigmodel.studies.reporting.text import latex, markdown, results_csv, show_report
    from bigmodel.tracking.progress import say

    try:
        report = read_report(study, **asked)
        means, effects = draw_means(report), draw_effects(report)
        curves = list(draw_all_curves(report))
        drawings = [means, *([effects] if effects else []), *curves]
        texts = {
            "report.html": page(report, means=means, effects=effects, curves=curves),
            "results.csv": results_csv(report),
            "results.md": markdown(report),
            "results.tex": latex(report),
        }
        files = {name: text.encode() for name, text in texts.items()}
        files |= {f"figures/{drawing.name}.png": drawing.png for drawing in drawings}
        for earlier in (study / "figures").glob("*.png"):
            if f"figures/{earlier.name}" not in files:
                earlier.unlink()
        for name, content in files.items():
            write_atomically(study / name, content)
    except StorageError as error:
        raise InputError(str(error)) from None
    show_report(report)
    say(f"written to {study}: {', '.join(texts)}, figures/ ({len(drawings)} pictures)")
