"""What each source of data delivers, beside what the step eats.

    python benchmarks/data.py [cnn gpt] [--seconds 2] [-- --data.batch-size 64]

For each experiment, by default all that need no file, the batches that the thread of a run makes in
a second with nothing else to do, and the steps that its devices make in a second of one batch that
they have. Where less is delivered than the step eats, a run waits for data, as its ``input_wait``
says. On a CPU both use the same cores.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bigmodel.data.ahead import Ahead
from bigmodel.experiment import Data, Experiment, InputError
from bigmodel.runtime.command_line import parse
from bigmodel.runtime.compilation import compile_experiment
from bigmodel.runtime.loop import init_key, step_key
from bigmodel.script import load_script
from bigmodel.sharding.cores import mesh_of
from bigmodel.tracking.progress import thousands

EXPERIMENTS = Path(__file__).parent.parent / "experiments"


def rate(take: Callable[[], object], seconds: float) -> float:
    """How often something can be done in a second, once it has been done."""
    take()
    started = time.perf_counter()
    for count in itertools.count(1):
        take()
        passed = time.perf_counter() - started
        if passed >= seconds:
            return count / passed
    raise AssertionError


def delivered(data: Data, seconds: float) -> float:
    """Batches that are made in a second."""
    with closing(Ahead(lambda step: data.train(0, step), itertools.count())) as made:
        return rate(lambda: next(made), seconds)


def eaten(experiment: Experiment, config: Any, seconds: float) -> float:
    """Steps that the devices make in a second of one batch."""
    compiled = compile_experiment(experiment, mesh_of(experiment, config.mesh))
    batch, key = compiled.place(experiment.data.train(0, 0)), compiled.place_scalar(step_key(0))
    state, index = compiled.init(init_key(0)), compiled.place_scalar(np.int32(0))

    def step() -> None:
        nonlocal state, index
        state, index, _ = compiled.step(state, batch, key, index)
        jax.block_until_ready(index)

    return rate(step, seconds)


def rows(options: argparse.Namespace) -> Iterator[list[str]]:
    """The cells of each experiment."""
    for name in options.experiments:
        script = load_script(EXPERIMENTS / f"{name}.py")
        try:
            config = parse(script.Config(), options.options, description="")
            experiment = script.build(config)
        except InputError as error:
            print(f"{name}: {error}", file=sys.stderr)
            continue
        data = experiment.data
        megabytes = sum(a.nbytes for a in data.train(0, 0).values()) / 1e6
        rates = delivered(data, options.seconds), eaten(experiment, config, options.seconds)
        cells = [f"{thousands(each)} ({thousands(each * data.batch_size)})" for each in rates]
        size = [str(data.batch_size), f"{megabytes:.3g}"]
        yield [name, *size, *cells, f"{rates[0] / rates[1]:.3g}"]


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    every = sorted(path.stem for path in EXPERIMENTS.glob("*.py"))
    parser.add_argument("experiments", nargs="*", help=f"of {', '.join(every)}; default: all")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each figure")
    at = arguments.index("--") if "--" in arguments else len(arguments)
    parsed = parser.parse_args(arguments[:at])
    if unknown := sorted({*parsed.experiments} - {*every}):
        parser.error(f"there is no experiment {unknown[0]}; there are {', '.join(every)}")
    parsed.experiments = parsed.experiments or every
    parsed.options = list(arguments[at + 1 :])
    return parsed


def main() -> None:
    """Prints a line for each experiment as soon as it is measured."""
    options = read_options(sys.argv[1:])
    heads = ["experiment", "batch", "MB", "batches/s (examples/s)", "the step eats"]
    heads += ["delivered / eaten"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}", flush=True)
    for cells in rows(options):
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
