"""A trained run as a pure function of arrays by name, and what every export of it has beside."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from bigmodel.config import to_json
from bigmodel.experiment import Batch, InputError
from bigmodel.files import write_atomically, write_json
from bigmodel.inference.answering import filled
from bigmodel.inference.trained import Trained
from bigmodel.predictor import Predictor
from bigmodel.run_directory.variables import VARIABLES
from bigmodel.tree import named_leaves, nested, widened

Arrays = Mapping[str, Any]
BATCH = "batch"
SAMPLE = 2
FEWEST = 3
"""Rows that are asked for at least, so that more than one batch size is."""
INPUT, OUTPUT = "sample_input.npz", "sample_output.npz"

ASK = f"""
import sys
import numpy
lines, result, *samples = sys.argv[1:]
for sample in samples:
    names = {{}}
    exec(lines.replace("{INPUT}", sample), names)
    answers = {{name: numpy.asarray(array) for name, array in names[result].items()}}
    # Files of NumPy have no bfloat16.
    answers = {{n: a.astype("float32") if a.dtype.kind == "V" else a for n, a in answers.items()}}
    numpy.savez(sample + ".answer.npz", **answers)
"""


class Program(NamedTuple):
    """What is exported.

    ``apply(variables, inputs)`` takes and gives arrays by name: variables by their paths, inputs
    and outputs with the batch on the first axis. ``outputs`` are those of the examples in
    ``inputs``. ``batch`` is the only size of a batch where a program does not take any. ``config``
    is that of ``run``, or what stands for it in the folder; ``lines`` are Python that runs the
    folder, where those of the format do not.
    """

    apply: Callable[[Arrays, Arrays], dict[str, Any]]
    variables: dict[str, np.ndarray]
    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]
    config: dict[str, Any]
    run: Trained
    batch: int | None = None
    lines: str = ""

    @property
    def rows(self) -> int:
        """The number of examples."""
        return len(next(iter(self.inputs.values())))

    @property
    def batches(self) -> list[slice]:
        """The rows of the examples that a runtime is asked for together."""
        if self.batch is None:
            return [slice(self.rows), slice(1)]
        return [slice(n, n + self.batch) for n in range(0, self.rows, self.batch)]

    def specs(self) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes and dtypes of the inputs, at a free batch size."""
        (batch,) = jax.export.symbolic_shape(BATCH)
        return {
            name: jax.ShapeDtypeStruct((batch, *array.shape[1:]), array.dtype)
            for name, array in self.inputs.items()
        }


def make_program(run: Trained, examples: Sequence[Any]) -> Program:
    """The program of a run, with the answers that it gives to a few inputs on the CPU."""
    batch = filled(encoded(run.predictor, examples), max(len(examples), FEWEST))
    inputs = {
        name: np.asarray(array, jax.dtypes.canonicalize_dtype(np.asarray(array).dtype))
        for name, array in batch.items()
    }
    variables = {name: np.asarray(leaf) for name, leaf in named_leaves(run.variables).items()}

    def apply(variables: Arrays, inputs: Arrays) -> dict[str, Any]:
        # By operations that every platform has.
        with jax.default_device(jax.devices("cpu")[0]):
            outputs = run.predictor.apply(nested(variables), dict(inputs))
        return by_name(outputs)

    with jax.default_device(jax.devices("cpu")[0]):
        outputs = jax.jit(apply)(variables, inputs)
    outputs = {name: np.asarray(array) for name, array in outputs.items()}
    return Program(apply, variables, inputs, outputs, to_json(run.config), run)


def encoded(predictor: Predictor, examples: Sequence[Any]) -> Batch:
    """The arrays of a few inputs, in the shapes that all others can have too.

    Of prompts, the shortest decides how many tokens all are read of at once. The first is
    therefore cut to one token, and a program takes prompts of any length.
    """
    if predictor.stream is not None:
        first = predictor.encode(examples[:1])["tokens"][0, :1].tolist()
        examples = [first, *examples[1:]]
    return predictor.encode(examples)


def by_name(outputs: Any) -> dict[str, Any]:
    """The arrays of the outputs by names that every runtime takes."""
    return {output_name(path): array for path, array in named_leaves(outputs).items()}


def output_name(path: str) -> str:
    """A name that every runtime takes: ``output`` where there is one array."""
    name = path.replace("/", "_")
    return name if name.isidentifier() else f"output_{name}".rstrip("_")


def write_beside(program: Program, run: Trained, folder: Path, form: str, *, lines: str) -> None:
    """Writes all that a folder has beside the model."""
    for name, content in run.assets.items():
        if name != VARIABLES:
            write_atomically(folder / "assets" / name, content)
    write_json(folder / "config.json", program.config)
    size = BATCH if program.batch is None else program.batch
    inputs, outputs = described(program.inputs, size), described(program.outputs, size)
    write_json(folder / "signature.json", {"format": form, "inputs": inputs, "outputs": outputs})
    sample = slice(program.batch or SAMPLE)
    write_arrays(folder / INPUT, rows_of(program.inputs, sample))
    write_arrays(folder / OUTPUT, rows_of(program.outputs, sample))
    free = "any size of a batch" if program.batch is None else f"a batch of {program.batch} alone"
    readme = f"""\
# {run.path.resolve().name}, step {run.step}

Inputs: {run.predictor.inputs}. Answers: {run.predictor.outputs}.

```python
{lines.strip()}
```

Run this in this folder. It takes {free}; `signature.json` has the names, shapes and dtypes of the
arrays. `{INPUT}` has examples and `{OUTPUT}` what the run answered to them.
`assets/` and `config.json` say what the numbers mean.
"""
    write_atomically(folder / "README.md", readme.encode())


def write_arrays(path: Path, arrays: Arrays) -> None:
    """Writes arrays by name, as ``numpy.load`` reads them."""
    np.savez(path, **arrays)


def rows_of(arrays: Mapping[str, np.ndarray], rows: slice) -> dict[str, np.ndarray]:
    """Some rows of each array."""
    return {name: array[rows] for name, array in arrays.items()}


def described(arrays: Mapping[str, np.ndarray], size: str | int) -> list[dict[str, Any]]:
    """Names, shapes and dtypes of arrays with a batch on the first axis."""
    return [
        {"name": name, "shape": [size, *array.shape[1:]], "dtype": str(array.dtype)}
        for name, array in arrays.items()
    ]


def largest_difference(program: Program, folder: Path, *, lines: str, result: str) -> float:
    """The largest difference of a runtime's answers from the program's, at two batch sizes.

    The lines run in a process of their own, on the CPU. The difference is relative to the largest
    magnitude of an output.

    Raises:
        InputError: they cannot be run.
    """
    with tempfile.TemporaryDirectory() as scratch:
        samples = {str(Path(scratch) / f"{n}.npz"): rows for n, rows in enumerate(program.batches)}
        for sample, rows in samples.items():
            write_arrays(Path(sample), rows_of(program.inputs, rows))
        command = [sys.executable, "-P", "-c", ASK, lines, result, *samples]
        environment = {**os.environ, "JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", check=False
        )
        if done.returncode:
            raise InputError(f"its runtime cannot run it: {reason(done.stderr)}")
        differences = []
        for sample, rows in samples.items():
            expected = program.outputs if result == "outputs" else widened(program.variables)
            expected = rows_of(expected, rows) if result == "outputs" else expected
            with np.load(f"{sample}.answer.npz") as answers:
                differences += [
                    relative_difference(answers[name], array) for name, array in expected.items()
                ]
    return max(differences)


def reason(said: str, most: int = 300) -> str:
    """The line of what a program or a converter has said that names an error."""
    lines = [line.strip() for line in said.splitlines() if line.strip()] or ["it says nothing"]
    line = next((line for line in lines if "error: " in line), lines[-1])
    return line if len(line) <= most else f"{line[:most]}..."


def relative_difference(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference over the largest magnitude; infinite where shapes or kinds differ."""
    if found.shape != expected.shape or found.dtype.kind != expected.dtype.kind:
        return float("inf")
    finite = np.isfinite(expected)
    if not np.array_equal(found[~finite], expected[~finite], equal_nan=True):
        return float("inf")
    a, b = found[finite].astype(np.float64), expected[finite].astype(np.float64)
    largest = np.max(np.abs(b), initial=0)
    return float(np.max(np.abs(a - b), initial=0) / (largest or 1))
