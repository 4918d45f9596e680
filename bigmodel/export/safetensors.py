"""The variables alone, by their paths, as safetensors; the config is in the metadata."""

from __future__ import annotations

from pathlib import Path

from bigmodel.export.program import Program

INSTALL = "pip install -e '.[export]'"
NEEDS = ("safetensors",)
RUNTIME = "safetensors"
RESULT = "variables"
LINES = """
from safetensors import safe_open
file = safe_open("model.safetensors", framework="numpy")
config = file.metadata()["config"]
variables = {path: file.get_tensor(path) for path in file.keys()}
print({path: array.shape for path, array in variables.items()})
"""


def write(program: Program, folder: Path) -> None:
    """Writes ``model.safetensors``."""
    from safetensors.numpy import save

    config = (folder / "config.json").read_text(encoding="utf-8")
    content = save(program.variables, metadata={"config": config})
    (folder / "model.safetensors").write_bytes(content)
