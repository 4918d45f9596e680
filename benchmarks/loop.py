"""What the loop costs over a bare ``for`` around the jitted step.

    python benchmarks/loop.py [gpt|mlp] [--rounds 25] [--steps 50]

The bare loop has its batches in memory, on the device, and does nothing else. The loop of the
runtime makes batches, checks every step, writes metrics and shows progress, but neither
evaluates nor saves here. Both use the same compiled step and take turns in one process; the
figure is the median of the ratios of the rounds.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import PartitionSpec as P

from bigmodel.data.batches import epochs
from bigmodel.data.texts.text import TextData, load_text
from bigmodel.experiment import Data, Experiment, Model
from bigmodel.models import Gpt
from bigmodel.processes.agreement import Agreement
from bigmodel.processes.heartbeat import Heartbeat
from bigmodel.processes.signals import StopRequest
from bigmodel.run_directory.checkpoints import Checkpoints
from bigmodel.run_directory.directory import RunDirectory
from bigmodel.runtime.compilation import Compiled, compile_experiment
from bigmodel.runtime.loop import init_key, step_key, train
from bigmodel.runtime.recorder import RunRecorder
from bigmodel.runtime.settings import Run, Settings
from bigmodel.sharding.mesh import MeshShape, make_mesh
from bigmodel.tracking.profile import Profile
from bigmodel.training.metrics import cross_entropy, next_token
from bigmodel.training.optimizers import Optimizer
from bigmodel.training.supervision import supervised


def gpt() -> Experiment:
    """GPT of 4 layers and width 128, batch 12x64, characters."""
    text = load_text(TextData(tokenizer="char", context=64, batch_size=12))
    model = Gpt(layers=4, width=128, heads=4).build(
        vocab_size=text.tokenizer.vocab_size, context=64
    )
    return supervised(model, next_token, {}, Optimizer(), text.data, steps=1000)


def mlp() -> Experiment:
    """The smallest network: 64 inputs, 32 hidden units, 10 classes, batch 32."""

    def init(key: jax.Array, batch: Any) -> dict[str, Any]:
        del batch
        first, second = jax.random.split(key)
        return {
            "params": {
                "hidden": 0.1 * jax.random.normal(first, (64, 32)),
                "out": 0.1 * jax.random.normal(second, (32, 10)),
            }
        }

    def apply(variables: Any, batch: Any, *, train: bool, key: Any) -> tuple[jax.Array, dict]:
        del train, key
        params = variables["params"]
        return jax.nn.relu(batch["image"] @ params["hidden"]) @ params["out"], {}

    rng = np.random.default_rng(0)
    arrays = {
        "image": rng.normal(size=(1024, 64)).astype(np.float32),
        "label": rng.integers(0, 10, 1024).astype(np.int32),
    }
    data = Data(epochs(arrays, 32), {}, 32, 32, "random")
    return supervised(
        Model(init, apply, ((".*", P()),)), cross_entropy, {}, Optimizer(), data, steps=1000
    )


def bare(experiment: Experiment, compiled: Compiled, steps: int) -> float:
    """Seconds a step of a plain ``for``."""
    key = compiled.place_scalar(step_key(0))
    batches = [compiled.place(experiment.data.train(0, step)) for step in range(steps)]
    index = compiled.place_scalar(np.int32(0))
    state = compiled.init(init_key(0))
    jax.block_until_ready((state, batches))
    started = time.perf_counter()
    for batch in batches:
        state, index, _ = compiled.step(state, batch, key, index)
    jax.block_until_ready(state)
    return (time.perf_counter() - started) / steps


def looped(experiment: Experiment, compiled: Compiled, steps: int) -> float:
    """Seconds a step of the runtime's loop, from its first metrics to its last."""
    options = Run(steps=steps, eval_every=10 * steps, log_every=max(1, steps // 4))
    config = Settings(mesh=MeshShape(1), run=options)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        directory = RunDirectory(Path(folder))
        directory.resume(0)
        checkpoints = Checkpoints(directory.checkpoints, warn=print)
        with RunRecorder(experiment, config, compiled, directory, checkpoints, 0) as recorder:
            train(
                compiled,
                jax.block_until_ready(compiled.init(init_key(0))),
                0,
                data=experiment.data,
                seed=0,
                key=step_key(0),
                plan=recorder.plan,
                recorder=recorder,
                agreement=Agreement(make_mesh(MeshShape(1)), StopRequest()),
                profile=Profile(range(0), directory.profile),
                heartbeat=Heartbeat(0),
            )
            first, last = directory.history[0], directory.history[-1]
    return (last["time"] - first["time"]) / (last["step"] - first["step"])


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model", nargs="?", choices=("gpt", "mlp"), default="gpt")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--steps", type=int, default=50)
    return parser.parse_args(arguments)


def main() -> None:
    """Prints the cost of the loop."""
    options = read_options(sys.argv[1:])
    experiment = {"gpt": gpt, "mlp": mlp}[options.model]()
    experiment = experiment._replace(data=experiment.data._replace(splits={}))
    compiled = compile_experiment(experiment, make_mesh(MeshShape(1)))
    bare(experiment, compiled, 5)
    pairs = []
    for index in range(options.rounds):
        order = (bare, looped) if index % 2 == 0 else (looped, bare)
        seconds = {f.__name__: f(experiment, compiled, options.steps) for f in order}
        pairs.append((seconds["bare"], seconds["looped"]))
        print(f"bare {1e3 * pairs[-1][0]:.3f} ms a step, loop {1e3 * pairs[-1][1]:.3f} ms")
    ratio = statistics.median(loop / plain for plain, loop in pairs)
    print(f"{options.model}: the loop costs {100 * (ratio - 1):+.1f} % (median of {len(pairs)})")


if __name__ == "__main__":
    main()
