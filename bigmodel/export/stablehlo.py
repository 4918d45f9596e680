"""StableHLO, which JAX alone runs on CPU, GPU and TPU; the variables are a file beside it."""

from __future__ import annotations

from pathlib import Path

import jax

from bigmodel.export.program import Program, write_arrays

INSTALL = "pip install -e '.[export]'"
NEEDS = ("flatbuffers",)
RUNTIME = "jax"
RESULT = "outputs"
LINES = """
import jax, jax.export, numpy as np
model = jax.export.deserialize(open("model.stablehlo", "rb").read())
variables, inputs = dict(np.load("variables.npz")), dict(np.load("sample_input.npz"))
outputs = jax.jit(model.call)(variables, inputs)
print(outputs)
"""
PLATFORMS = ("cpu", "cuda", "tpu")


def write(program: Program, folder: Path) -> Program:
    """Writes ``model.stablehlo`` and ``variables.npz``."""
    variables = {
        name: jax.ShapeDtypeStruct(array.shape, array.dtype)
        for name, array in program.variables.items()
    }
    exported = jax.export.export(jax.jit(program.apply), platforms=PLATFORMS)
    (folder / "model.stablehlo").write_bytes(exported(variables, program.specs()).serialize())
    write_arrays(folder / "variables.npz", program.variables)
    return program
