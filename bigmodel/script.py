"""An experiment's script: the file with a ``Config``, a ``build`` and a call of ``main``."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from bigmodel.experiment import InputError


def add_script(parser: argparse.ArgumentParser) -> None:
    """Adds the argument that names an experiment's script."""
    parser.add_argument("script", type=Path, help="the experiment's script")


def check_script(script: Path) -> None:
    """Raises InputError where there is no such script."""
    if not script.is_file():
        raise InputError(f"there is no script {script}; see experiments/")


def load_script(script: Path) -> ModuleType:
    """The script as a module, whose ``main`` is not called.

    Raises:
        InputError: where there is no such file, or no ``Config`` and ``build`` in it.
    """
    check_script(script)
    spec = importlib.util.spec_from_file_location(f"experiment_{script.stem}", script)
    if spec is None or spec.loader is None:
        raise InputError(f"{script} is no Python file; see experiments/")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look up the names of their annotations there.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    if not (hasattr(module, "Config") and hasattr(module, "build")):
        raise InputError(f"{script} has no Config and no build; see experiments/")
    return module
