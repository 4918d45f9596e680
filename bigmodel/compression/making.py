"""From a trained run to one of fewer bits or channels, and what became of it."""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bigmodel.compression.channels import narrowed
from bigmodel.compression.comparing import compare
from bigmodel.compression.ranges import with_ranges
from bigmodel.compression.writing import write_measured, write_run
from bigmodel.config import flat, to_json
from bigmodel.experiment import Experiment, InputError, Variables
from bigmodel.export.export import new_folder
from bigmodel.inference.trained import Trained, load_run
from bigmodel.output import warn
from bigmodel.quantized import quantized
from bigmodel.run_directory.recorded import COMPRESSED
from bigmodel.run_directory.sums import params_digest
from bigmodel.tracking.progress import say
from bigmodel.training.transfer.freezing import few, matches
from bigmodel.tree import named_leaves


def compress(parsed: argparse.Namespace) -> None:
    """Writes the run that the options of ``launch.py compress`` ask for, and prints both.

    Raises:
        InputError: for a run that cannot be compressed, or is compressed.
        StorageError: for files that cannot be read or written.
    """
    with new_folder(parsed.out.resolve()) as folder:
        run = load_run(parsed.run, parsed.at, script=parsed.script)
        check_uncompressed(run)
        private = run.config.privacy.epsilon is not None
        if private and parsed.activations:
            raise InputError(
                f"{run.path} is private, and the ends of what its layers read would tell of "
                "training examples; leave out --activations"
            )
        experiment = built(run, needed=parsed.activations or parsed.to == "channels")
        facts: dict[str, Any] = {
            "to": parsed.to,
            "from": str(run.path.resolve()),
            "step": run.step,
            "params_digest": params_digest(run.variables["params"]),
        }
        config, hint = dict(run.recorded.config), ""
        if parsed.to == "channels":
            assert experiment is not None
            facts["keep"] = parsed.keep or 0.5
            smaller, variables, _ = narrowed(run, experiment, facts["keep"])
            config["model"] = to_json(smaller)["model"]
            hint = f"; train it further: {further(run, parsed.out, config)}"
            if private:
                hint = "; being private, it is not trained further on the same examples"
        else:
            facts |= {"activations": parsed.activations, "keep_float": parsed.keep_float}
            variables = of_few_bits(run, experiment, parsed)
        config["run"] = {**config["run"], "dir": str(parsed.out)}
        started = time.time()
        write_run(folder, run, variables, config=config, facts={COMPRESSED: facts})
        made = load_run(folder, script=parsed.script or Path(run.script.__file__ or ""))
        metrics = compare(run, made, experiment)
        spent = {name: run.summary[name] for name in ("privacy",) if name in run.summary}
        write_measured(folder, made, metrics, spent, seconds=time.time() - started)
    say(f"wrote {parsed.out}{hint}")


def check_uncompressed(run: Trained) -> None:
    """Raises InputError where a run was made by this command."""
    made = run.recorded.manifest.get(COMPRESSED)
    if made:
        raise InputError(
            f"{run.path} is compressed already, to {made['to']} from {made['from']}; compress that"
        )


def built(run: Trained, *, needed: bool) -> Experiment | None:
    """The experiment of a run with its data; None, with a warning, where these cannot be read.

    Raises:
        InputError: they are needed and cannot be read, or have no held-out examples.
    """
    try:
        experiment = run.build()
    except InputError as error:
        if needed:
            raise InputError(
                f"{error}; --to channels and --activations need the data of the run"
            ) from None
        warn(f"metrics are not measured, for the data cannot be used: {error}")
        return None
    # By one of them the parts of the network are found, or what it reads.
    if needed and not len(next(iter(experiment.data.splits.values()), ())):
        raise InputError(
            f"{run.path} has no held-out examples, which --to channels and --activations need"
        )
    return experiment


def of_few_bits(
    run: Trained, experiment: Experiment | None, parsed: argparse.Namespace
) -> Variables:
    """The variables of a run as integers, with the ranges of inputs where they are asked for.

    Raises:
        InputError: a pattern of ``--keep-float`` finds nothing, or no layer's inputs have a range.
    """
    paths = [*named_leaves(run.variables["params"])]
    for pattern in parsed.keep_float:
        if not any(matches([pattern], path) for path in paths):
            raise InputError(f"--keep-float {pattern} finds no parameter; there are {few(paths)}")
    variables = quantized(run.variables, parsed.to, keep=parsed.keep_float)
    if not parsed.activations:
        return variables
    assert experiment is not None
    seed, batches = run.config.seed, parsed.batches
    return with_ranges(variables, run.variables, experiment, seed=seed, batches=batches)


def further(run: Trained, out: Path, config: Mapping[str, Any]) -> str:
    """The command that goes on with a network of fewer channels, on the data of the run."""
    options = {**config, "init": {"from": str(out)}, "run": {**config["run"], "dir": ""}}
    default = flat(to_json(run.script.Config()))
    changed = {name: value for name, value in flat(options).items() if value != default.get(name)}
    words = (word for name, value in changed.items() for word in written(name, value))
    return shlex.join(["python", str(run.script.__file__), *words])


def written(name: str, value: Any) -> Iterator[str]:
    """The words of an option of a command line."""
    head, dot, last = name.replace("_", "-").rpartition(".")
    yield f"--{head}{dot}{'no-' if value is False else ''}{last}"
    if not isinstance(value, bool):
        yield from map(str, value if isinstance(value, list) else [value])
