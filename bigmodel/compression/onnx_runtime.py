"""How fast a run and what was made of it are in ONNX Runtime, which has products of integers."""

from __future__ import annotations

import importlib.util
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bigmodel.compression.timing import seconds
from bigmodel.export import onnx
from bigmodel.export.program import Program, make_program, reason
from bigmodel.inference.trained import Trained
from bigmodel.output import note, warn
from bigmodel.quantized import is_stored, restored
from bigmodel.tree import named_leaves, nested

INTEGER = ("Conv", "Gemm", "MatMul")
"""The operations that become ones of integers; with all of them a ViT fell from 76 to 33 %."""


def seconds_in_onnx_runtime(
    run: Trained, made: Trained, inputs: Sequence[Any]
) -> tuple[float, float] | None:
    """The time that it takes to predict some inputs, before and after; None where it cannot.

    What has kernels of eight bits is computed by integers of eight bits, by ONNX Runtime's own
    static quantization: the same integers of each channel, and ranges of these inputs.
    """
    for module in ("jax2onnx", "onnxruntime"):
        if importlib.util.find_spec(module) is None:
            note(f"ONNX Runtime is not timed, for {module} is not installed: {onnx.INSTALL}")
            return None
    try:
        return _seconds(run, inputs), _seconds(made, inputs)
    # The converter and ONNX Runtime raise errors of many kinds for what they do not know.
    except Exception as error:
        warn(f"ONNX Runtime is not timed: {reason(str(error))}")
        return None


def _seconds(run: Trained, inputs: Sequence[Any]) -> float:
    import onnxruntime

    # What it warns of is said here, in one line.
    onnxruntime.set_default_logger_severity(4)
    program = make_program(run, inputs)
    stored = jax.tree.leaves(run.variables, is_leaf=is_stored)
    by_integers = any(is_stored(leaf) and "int8" in leaf for leaf in stored)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if by_integers:
            plain = named_leaves(restored(nested(program.variables)))
            program = program._replace(variables={p: np.asarray(a) for p, a in plain.items()})
        onnx.write(program, folder, layers_first=by_integers)
        model = folder / "model.onnx"
        session = onnxruntime.InferenceSession(_integers(model, program) if by_integers else model)
        return seconds(lambda: session.run(None, program.inputs))


def _integers(model: Path, program: Program) -> Path:
    """The model with products of integers, in a file beside it."""
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.left = [program.inputs]

        def get_next(self) -> Any:
            return self.left.pop() if self.left else None

    # It warns of what else could be done before.
    logging.getLogger().setLevel(logging.ERROR)
    made = model.with_name("int8.onnx")
    quantization.quantize_static(
        model,
        made,
        Reader(),
        op_types_to_quantize=list(INTEGER),
        per_channel=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
        # Its search for biases that overflow fails on those that are one number.
        extra_options={"QDQDisableWeightAdjustForInt32Bias": True},
    )
    return made
