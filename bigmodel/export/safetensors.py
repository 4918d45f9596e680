"""The variables alone, by their paths, as safetensors; the config is in the metadata."""

from __future__ import annotations

import json
from pathlib import Path

from bigmodel.export.program import Program

INSTALL = "pip install -e '.[export]'"
NEEDS = ("safetensors",)
RUNTIME = "safetensors"
RESULT = "variables"
LINES = """
import ml_dtypes  # which teaches NumPy bfloat16; float32 does without
from safetensors import safe_open
file = safe_open("model.safetensors", framework="numpy")
config = file.metadata()["config"]
variables = {path: file.get_tensor(path) for path in file.keys()}
print({path: array.shape for path, array in variables.items()})
"""


def write(program: Program, folder: Path) -> Program:
    """Writes ``model.safetensors``."""
    from safetensors.numpy import save

    content = save(program.variables, metadata={"config": json.dumps(program.config)})
    (folder / "model.safetensors").write_bytes(content)
    return program
