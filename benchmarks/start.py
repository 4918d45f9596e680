"""How long a command takes to its first step, with and without compiled programs from before.

    python benchmarks/start.py [SCRIPT] [--rounds 5] [-- OPTIONS]

Each round starts the script twice in empty folders, first with an empty compilation cache and then
with what that start has left in it, and ends it after the line of its first step. The script is by
default ``experiments/cnn.py``, which trains on the digits.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent


def first_step(command: Sequence[str], cache: Path) -> float:
    """Seconds from the command to the line of its first step, after which it is killed."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "PYTHONUNBUFFERED": "1"}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        run = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, encoding="utf-8"
        )
        assert run.stdout is not None
        line = next((line for line in run.stdout if line.startswith("step 1/")), None)
        seconds = time.perf_counter() - began
        run.kill()
        run.wait()
    if line is None:
        sys.exit(f"{command[1]} ended with status {run.returncode} before its first step")
    return seconds


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("script", nargs="?", default=str(ROOT / "experiments" / "cnn.py"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("options", nargs="*", help="of the script, after --")
    return parser.parse_args(arguments)


def main() -> None:
    """Prints the seconds of each round, and their medians."""
    given = read_options(sys.argv[1:])
    command = [sys.executable, str(Path(given.script).resolve()), *given.options]
    rounds = []
    for _ in range(given.rounds):
        with tempfile.TemporaryDirectory() as cache:
            rounds.append([first_step(command, Path(cache)) for _ in ("cold", "cached")])
        print("cold {:.2f} s, cached {:.2f} s".format(*rounds[-1]), flush=True)
    for name, seconds in zip(("cold", "cached"), zip(*rounds, strict=True), strict=True):
        print(f"{name}: median {statistics.median(seconds):.2f} s, least {min(seconds):.2f} s")


if __name__ == "__main__":
    main()
