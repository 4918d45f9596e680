"""A study beside as many separate runs: three optimizers under five seeds.

python benchmarks/study.py cnn mlp --steps 300 --seeds 5

Both sides begin with an empty compilation cache of their own, and the separate runs, which come
one after the other, find in it what the first run of their optimizer has compiled. The study
includes its report. Prints seconds, the share, and whether both came to the same parameters.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
OPTIMIZERS = ("sgd", "momentum", "adam")


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiments", nargs="+", help="names of experiments")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", help="of the study")
    parser.add_argument("--seeds-by", default="sequential", help="of the study")
    return parser.parse_args(arguments)


def main() -> None:
    """Measures each experiment and prints a line for it."""
    parsed = read_options(sys.argv[1:])
    for name in parsed.experiments:
        with tempfile.TemporaryDirectory() as folder:
            options = [f"--run.steps={parsed.steps}"]
            own = [f"--seeds={parsed.seeds}", *([f"--jobs={parsed.jobs}"] if parsed.jobs else [])]
            own += [f"--seeds-by={parsed.seeds_by}"]
            study, together = _study(Path(folder), name, options, own)
            digests, apart = _separate(Path(folder), name, options, parsed.seeds)
        same = sum(study[key] == digest for key, digest in digests.items())
        print(
            f"{name}: {len(digests)} separate runs {apart:.1f} s, the study {together:.1f} s, "
            f"that is {together / apart:.0%}; {same} of {len(digests)} digests are equal",
            flush=True,
        )


def _study(
    folder: Path, name: str, options: list[str], own: list[str]
) -> tuple[dict[tuple[str, int], str], float]:
    """The digests of a study's runs, and its seconds."""
    varied = f"--vary=optimizer.name={','.join(OPTIMIZERS)}"
    command = [str(ROOT / "launch.py"), "ablate", str(ROOT / f"experiments/{name}.py")]
    command += ["--name", name, varied, *own]
    seconds = _time([*command, "--", *options], folder, folder / "cache-study")
    digests = {}
    for path in (folder / "studies" / name / "runs").glob("*/seed-*/config.json"):
        config = json.loads(path.read_text(encoding="utf-8"))
        summary = json.loads((path.parent / "summary.json").read_text(encoding="utf-8"))
        digests[config["optimizer"]["name"], config["seed"]] = summary["params_digest"]
    return digests, seconds


def _separate(
    folder: Path, name: str, options: list[str], seeds: int
) -> tuple[dict[tuple[str, int], str], float]:
    """The digests of separate runs, and their seconds together."""
    digests, seconds = {}, 0.0
    for optimizer in OPTIMIZERS:
        for seed in range(seeds):
            run = folder / f"{optimizer}-{seed}"
            own = [f"--optimizer.name={optimizer}", f"--seed={seed}", f"--run.dir={run}"]
            command = [str(ROOT / f"experiments/{name}.py"), *options, *own]
            seconds += _time(command, folder, folder / "cache-separate")
            summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
            digests[optimizer, seed] = summary["params_digest"]
    return digests, seconds


def _time(command: list[str], folder: Path, cache: Path) -> float:
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(cache)}
    begin = time.perf_counter()
    subprocess.run(
        [sys.executable, *command],
        check=True,
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
