"""ONNX, by jax2onnx, with the variables inside."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
from jax.extend.core import jaxpr_as_fun

from bigmodel.export.program import Program

INSTALL = "pip install -e '.[onnx]' && pip install --no-deps jax2onnx==0.17.1"
NEEDS = ("jax2onnx",)
RUNTIME = "onnxruntime"
RESULT = "outputs"
LINES = """
import numpy as np, onnxruntime
model = onnxruntime.InferenceSession("model.onnx")
names = [output.name for output in model.get_outputs()]
outputs = dict(zip(names, model.run(names, dict(np.load("sample_input.npz")))))
print(outputs)
"""


def write(program: Program, folder: Path, *, layers_first: bool = False) -> Program:
    """Writes ``model.onnx``, and ``model.onnx.data`` beside it where it is large.

    What is converted is the program's jaxpr. Functions that the converter sees through, such as
    layers of Flax, it replaces by its own, and some of these know no free batch size. Where an
    operation of the jaxpr is what it does not know, it gets the functions; with ``layers_first`` it
    gets them first, for ONNX Runtime has integers for its layers and not for a jaxpr's products.
    """
    # They warn of plugins for packages that are not there, and of shapes inside of loops.
    for name in ("jax2onnx", "onnx_ir"):
        logging.getLogger(name).setLevel(logging.ERROR)
    from jax2onnx import to_onnx

    specs = program.specs()
    # What NumPy's arrays are computed to is a constant; integers would no longer be ones.
    variables = {path: jnp.asarray(array) for path, array in program.variables.items()}

    def apply(*inputs: Any) -> list[Any]:
        named = dict(zip(specs, inputs, strict=True))
        return list(program.apply(variables, named).values())

    def convert(function: Callable[..., list[Any]]) -> None:
        to_onnx(
            function,
            list(specs.values()),
            input_names=list(specs),
            output_names=list(program.outputs),
            return_mode="file",
            output_path=folder / "model.onnx",
        )

    # The converter knows no choice by platform. ONNX gets what needs no way of its own.
    with mock.patch.object(jax.lax, "platform_dependent", _default):
        ways = [lambda: jaxpr_as_fun(jax.make_jaxpr(apply)(*specs.values())), lambda: apply]
        if layers_first:
            ways.reverse()
        try:
            convert(ways[0]())
        except Exception as error:
            try:
                convert(ways[1]())
            except Exception:
                raise error from None
    return program


def _default(*arrays: Any, default: Callable[..., Any], **platforms: Any) -> Any:
    del platforms
    return default(*arrays)
