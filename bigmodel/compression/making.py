"""From a trained run to one of fewer bits or channels, and what became of it."""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bigmodel.compression.channels import narrowed
from bigmodel.compression.comparing import compare
from bigmodel.compression.ranges import with_ranges
from bigmodel.compression.writing import write_measured, write_run
from bigmodel.config import flat, to_json
from bigmodel.experiment import InputError
from bigmodel.export.export import new_folder
from bigmodel.inference.trained import Trained, load_run
from bigmodel.output import warn
from bigmodel.quantized import quantized
from bigmodel.run_directory.recorded import COMPRESSED
from bigmodel.run_directory.sums import params_digest
from bigmodel.tracking.progress import say


def compress(parsed: argparse.Namespace) -> None:
    """Writes the run that the options of ``launch.py compress`` ask for, and prints both.

    Raises:
        InputError: for a run that cannot be compressed, or is compressed.
        StorageError: for files that cannot be read or written.
    """
    run = Trained(parsed.run, parsed.at, script=parsed.script)
    check_uncompressed(run)
    run = load_run(parsed.run, parsed.at, script=parsed.script)
    try:
        experiment = run.build()
    except InputError as error:
        if parsed.activations:
            raise InputError(f"{error}; without --activations no data is needed") from None
        warn(f"metrics are not measured, for the data cannot be used: {error}")
        experiment = None
    facts: dict[str, Any] = {
        "to": parsed.to,
        "from": str(run.path.resolve()),
        "step": run.step,
        "params_digest": params_digest(run.variables["params"]),
    }
    config, hint = dict(run.recorded.config), ""
    if parsed.to == "channels":
        if experiment is None:
            raise InputError("--to channels needs the data of the run")
        facts["keep"] = parsed.keep or 0.5
        smaller, variables, _ = narrowed(run, experiment, facts["keep"])
        config["model"] = to_json(smaller)["model"]
        hint = f"; train it further: {further(run, parsed.out, config)}"
    else:
        facts |= {"activations": parsed.activations, "keep_float": parsed.keep_float}
        variables = quantized(run.variables, parsed.to, keep=parsed.keep_float)
        if parsed.activations:
            assert experiment is not None
            seed, batches = run.config.seed, parsed.batches
            plain = run.variables
            variables = with_ranges(variables, plain, experiment, seed=seed, batches=batches)
    config["run"] = {**config["run"], "dir": str(parsed.out)}
    with new_folder(parsed.out.resolve()) as folder:
        started = time.time()
        write_run(folder, run, variables, config=config, facts={COMPRESSED: facts})
        made = load_run(folder, script=parsed.script or Path(run.script.__file__ or ""))
        metrics = compare(run, made, experiment)
        write_measured(folder, made, metrics, seconds=time.time() - started)
    say(f"wrote {parsed.out}{hint}")


def further(run: Trained, out: Path, smaller: Mapping[str, Any]) -> str:
    """The command that goes on with a network of fewer channels."""
    before = flat(run.recorded.config)
    words = ["python", str(run.script.__file__), "--init.from", str(out)]
    for name, value in flat(smaller).items():
        if name.startswith("model.") and value != before.get(name):
            values = value if isinstance(value, list) else [value]
            words += [f"--{name.replace('_', '-')}", *map(str, values)]
    return shlex.join(words)


def check_uncompressed(run: Trained) -> None:
    """Raises InputError where a run was made by this command."""
    made = run.recorded.manifest.get(COMPRESSED)
    if made:
        raise InputError(
            f"{run.path} is compressed already, to {made['to']} from {made['from']}; compress that"
        )
