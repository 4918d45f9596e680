"""LiteRT (TensorFlow Lite), for phones and microcontrollers, by TensorFlow's converter."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bigmodel.export.program import Program
from bigmodel.export.savedmodel import quiet, write_model

INSTALL = "pip install -e '.[litert]'"
NEEDS = ("tensorflow",)
RUNTIME = "ai_edge_litert"
RESULT = "outputs"
LINES = """
import numpy as np
from ai_edge_litert.interpreter import Interpreter
model = Interpreter("model.tflite").get_signature_runner()
outputs = model(**np.load("sample_input.npz"))
print(outputs)
"""


def write(program: Program, folder: Path) -> Program:
    """Writes ``model.tflite``, of LiteRT's own operations alone.

    It takes batches of one row where it has no such operation for a free size: a part of an axis,
    for example, is then gathered.
    """
    try:
        (folder / "model.tflite").write_bytes(convert(program))
    except Exception:
        program = program._replace(batch=1)
        (folder / "model.tflite").write_bytes(convert(program))
    return program


def convert(program: Program) -> bytes:
    """The content of the file, at the program's batch size."""
    with tempfile.TemporaryDirectory() as scratch, quiet():
        write_model(program, Path(scratch))
        import tensorflow as tf

        return tf.lite.TFLiteConverter.from_saved_model(scratch).convert()
