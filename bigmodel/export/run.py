"""The run itself, with one checkpoint, for this package on other machines."""

from __future__ import annotations

import shutil
from pathlib import Path

from bigmodel.export.program import Program
from bigmodel.files import write_json
from bigmodel.frozen import FROZEN
from bigmodel.run_directory.directory import ASSETS, CONFIG, MANIFEST, METRICS, SUMMARY

INSTALL = "pip install -e ."
NEEDS = ()
RUNTIME = "bigmodel"
RESULT = "outputs"
LINES = """
import bigmodel, numpy as np
from bigmodel.export.program import by_name
with np.load("sample_input.npz") as inputs:
    outputs = by_name(bigmodel.load(".").apply(dict(inputs)))
print({name: array.shape for name, array in outputs.items()})
"""


def write(program: Program, folder: Path) -> Program:
    """Copies what a run is loaded from, without the other checkpoints, its logs and its figures.

    Where its script has moved, the manifest of the copy says where it was found.
    """
    run = program.run
    for name in (CONFIG, MANIFEST, METRICS, SUMMARY):
        if (run.path / name).exists():
            shutil.copyfile(run.path / name, folder / name)
    manifest, script = run.recorded.manifest, Path(run.script.__file__ or "").resolve()
    if Path(manifest.get("directory", ""), manifest["script"]).resolve() != script:
        write_json(folder / MANIFEST, {**manifest, "script": str(script)})
    shutil.copytree(run.path / ASSETS, folder / ASSETS)
    for name in (str(run.step), FROZEN):
        if (run.path / "checkpoints" / name).exists():
            shutil.copytree(run.path / "checkpoints" / name, folder / "checkpoints" / name)
    return program
