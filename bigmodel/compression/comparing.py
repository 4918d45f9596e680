"""A run beside what was made of it: size, metrics, speed."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import jax

from bigmodel.compression.onnx_runtime import seconds_in_onnx_runtime
from bigmodel.compression.timing import seconds
from bigmodel.compression.writing import write_variables
from bigmodel.experiment import Experiment, Variables
from bigmodel.files import PARTIAL
from bigmodel.inference.answering import filled
from bigmodel.inference.measuring import measure_run
from bigmodel.inference.trained import Trained
from bigmodel.runtime.evaluation import summarize
from bigmodel.tracking.tables import show_table

EXAMPLES = 64
"""Inputs of which a prediction is timed."""


def compare(run: Trained, made: Trained, experiment: Experiment | None) -> dict[str, float]:
    """Prints a table of both runs, and returns the metrics of the second; none without the data."""
    rows = [row("arrays, kB", *(bytes_of(each.variables) / 1e3 for each in (run, made)))]
    rows.append(row("on disk, kB", *(saved_bytes(each.variables) / 1e3 for each in (run, made))))
    values: dict[str, float] = {}
    if experiment is not None:
        other = experiment if same_model(run, made) else made.build()
        before, values = (
            summarize(each, measure_run(which, each, each.data.splits)).values
            for which, each in ((run, experiment), (made, other))
        )
        split = "test" if any(name.startswith("test/") for name in values) else "validation"
        names = [name for name in values if name.startswith(f"{split}/")]
        rows += [row(name, before[name], values[name], digits=4) for name in names]
        rows += speeds(run, made, experiment)
    header = ["", run.path.name, made.path.name.removeprefix(".").removesuffix(PARTIAL), "ratio"]
    show_table(header, rows, right=header[1:])
    return values


def row(name: str, before: float, after: float, *, digits: int = 1) -> list[str]:
    """A line of the table: both numbers, and the second as a share of the first."""
    share = f"{after / before:.3f}" if before else "-"
    return [name, f"{before:,.{digits}f}", f"{after:,.{digits}f}", share]


def speeds(run: Trained, made: Trained, experiment: Experiment) -> list[list[str]]:
    """The lines with the time of a prediction, here and in ONNX Runtime where it is installed."""
    splits = experiment.data.inputs
    held_out = (splits.get(name, ()) for name in ("test", "validation"))
    inputs = next((inputs for inputs in held_out if len(inputs)), ())
    if not len(inputs):
        return []
    inputs = list(inputs[:EXAMPLES])
    count = len(inputs)
    batch = {**filled(run.predictor.encode(inputs), count)}
    here = [seconds(partial(each.jitted, each.variables, batch)) * 1e3 for each in (run, made)]
    rows = [row(f"JAX, ms for {count}", *here)]
    there = seconds_in_onnx_runtime(run, made, inputs)
    if there is not None:
        rows.append(row(f"ONNX Runtime, ms for {count}", *(1e3 * each for each in there)))
    return rows


def same_model(run: Trained, made: Trained) -> bool:
    """Whether both have the same options of the model."""
    before, after = (each.recorded.config.get("model") for each in (run, made))
    return bool(before == after)


def bytes_of(variables: Variables) -> int:
    """The bytes of all arrays."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves(variables))


def saved_bytes(variables: Variables) -> int:
    """The bytes of a checkpoint of the variables alone."""
    with tempfile.TemporaryDirectory() as scratch:
        write_variables(Path(scratch), 0, variables)
        files = (path for path in Path(scratch).rglob("*") if path.is_file())
        return sum(path.stat().st_size for path in files)
