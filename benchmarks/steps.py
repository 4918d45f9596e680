r"""A training step of this project beside PyTorch's and plain Flax's, of the same networks.

    python benchmarks/steps.py [--only cnn lstm] [--torch-python VENV/bin/python] [--rounds 12]

Each row is a network with random data of fixed shapes, in float32, trained by Adam with its
gradients' norm clipped to 1: forwards, backwards and the update. The project's column has the
compiled step of a run without options, with its metrics and checks. The twins under
``benchmarks/twins/`` have as many parameters, which is checked. PyTorch is eager or compiled by
``torch.compile``; it comes with ``pip install -e '.[benchmarks]'``, or is in the environment of
another Python, which is named. Without it there are no such columns. The last column is a floor:
the products and convolutions of plain Flax's step alone, by XLA.

Every column is a process of its own, which stays. They take turns of ``--seconds``: A B C D, then
B C D A. A figure is the median over the rounds and, in brackets, the quartiles; a ratio is
the median of those of the rounds. FLOPs are those of the products of plain Flax's step, by formula.
The peak is that of a product of two matrices of 2048x2048, the best of its samples between rounds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

TWINS = Path(__file__).parent / "twins"
GPT = {"kind": "gpt", "vocab": 65}
ROWS: Mapping[str, Mapping[str, Any]] = {
    "mlp": {"kind": "mlp", "batch": 128, "widths": [512, 512]},
    "cnn": {"kind": "cnn", "batch": 128, "widths": [32, 64]},
    "resnet": {"kind": "resnet", "batch": 64, "depth": 14},
    "lstm": {"kind": "rnn", "batch": 128, "cell": "lstm", "width": 128},
    "gru": {"kind": "rnn", "batch": 128, "cell": "gru", "width": 128},
    "gpt": {**GPT, "batch": 12, "layers": 4, "width": 128, "heads": 4, "context": 64},
    "gpt-6x384": {**GPT, "batch": 8, "layers": 6, "width": 384, "heads": 6, "context": 256},
    "bert": {
        "kind": "bert", "batch": 16, "layers": 4, "width": 128, "heads": 4, "context": 64,
        "vocab": 1000, "masks": 10,
    },
    "vit": {"kind": "vit", "batch": 64, "patch": 4, "layers": 4, "width": 128, "heads": 4},
    "translation": {
        "kind": "translation", "batch": 64, "layers": 3, "width": 128, "heads": 4, "context": 16,
        "vocab": 50,
    },
    "gan": {"kind": "gan", "batch": 64, "latents": 64, "widths": [32, 64]},
    "vae": {"kind": "vae", "batch": 128, "latents": 16, "widths": [512, 256]},
    "unet": {"kind": "unet", "batch": 32, "widths": [32, 64]},
}  # fmt: skip
"""Networks by name; images have 28x28 pixels, and sequences are their rows."""
COMPARED = ("eager", "compiled", "flax")


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS), help="rows")
    parser.add_argument("--rounds", type=int, default=12, help="turns of each column")
    parser.add_argument("--seconds", type=float, default=0.4, help="least length of a turn")
    parser.add_argument("--torch-python", default=sys.executable, help="Python that has PyTorch")
    return parser.parse_args(arguments)


class Twin:
    """A process that holds the step of a row."""

    def __init__(self, command: Sequence[str], row: Mapping[str, Any]) -> None:
        self._name = " ".join(command)
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        self._write(json.dumps(row))

    def __enter__(self) -> Twin:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def read(self) -> Any:
        """Its next answer."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"error: {self._name} ended early")
        return json.loads(line)

    def milliseconds(self, duration: float) -> float:
        """A step's, the mean over so many seconds."""
        self._write(str(duration))
        return float(self.read())


def commands(torch_python: str) -> dict[str, list[str]]:
    """The command of each column."""
    found = {"project": [sys.executable, str(TWINS / "project.py")]}
    has_torch = [torch_python, "-c", "import torch; print(torch.__version__)"]
    version = subprocess.run(has_torch, capture_output=True, text=True, check=False)
    if version.returncode:
        print(f"{torch_python} has no PyTorch, so its columns are left out: see --torch-python")
    else:
        print(f"PyTorch {version.stdout.strip()}")
        found["eager"] = [torch_python, str(TWINS / "pytorch.py")]
        found["compiled"] = [torch_python, str(TWINS / "pytorch.py"), "compile"]
    for name, file in (("flax", "linen"), ("products", "products")):
        found[name] = [sys.executable, str(TWINS / f"{file}.py")]
    return found


def peak() -> float:
    """GFLOP/s of a product of two matrices."""
    matrix = np.ones((2048, 2048), np.float32)
    started = time.perf_counter()
    matrix @ matrix
    return float(2e-9 * 2048**3 / (time.perf_counter() - started))


def measure(
    row: Mapping[str, Any], columns: Mapping[str, Sequence[str]], rounds: int, seconds: float
) -> tuple[dict[str, Any], dict[str, np.ndarray], float]:
    """What plain Flax says of a row, the milliseconds of each round by column, and the peak.

    Raises:
        SystemExit: where the networks have not as many parameters.
    """
    with ExitStack() as stack:
        twins = {name: stack.enter_context(Twin(command, row)) for name, command in columns.items()}
        built = {name: twin.read() for name, twin in twins.items()}
        counts = {name: said["parameters"] for name, said in built.items()}
        if len(set(counts.values())) > 1:
            raise SystemExit(f"error: the networks of {row} differ in their parameters: {counts}")
        peaks = []
        found: dict[str, list[float]] = {name: [] for name in twins}
        for turn in range(rounds):
            peaks += [peak() for _ in range(3)]
            first = turn % len(twins)
            for name in [*twins][first:] + [*twins][:first]:
                # Threads of whoever was before look for work a while before they sleep.
                time.sleep(0.1)
                found[name].append(twins[name].milliseconds(seconds))
    return built["flax"], {name: np.array(each) for name, each in found.items()}, max(peaks)


def line(name: str, said: Mapping[str, Any], found: Mapping[str, np.ndarray], most: float) -> str:
    """A row of the table."""
    cells = [name, f"{said['parameters']:,}", f"{said['flops'] / 1e9:.3g}"]
    for times in found.values():
        low, middle, high = (
            f"{x:.0f}" if x >= 100 else f"{x:.3g}" for x in np.percentile(times, (25, 50, 75))
        )
        cells.append(f"{middle} ({low} to {high})")
    project = found["project"]
    others = [found[column] for column in found if column in COMPARED]
    cells += [f"{np.median(project / times):.2f}" for times in others]
    speed = said["flops"] / 1e6 / np.median(project)
    return f"| {' | '.join([*cells, f'{speed:.0f}', f'{speed / most:.0%}'])} |"


def main() -> None:
    """Prints a line for each row as soon as it is measured."""
    options = read_options(sys.argv[1:])
    columns = commands(options.torch_python)
    others = [f"project / {name}" for name in columns if name in COMPARED]
    heads = ["row", "parameters", "GFLOP", *(f"{name}, ms" for name in columns), *others]
    heads += ["GFLOP/s", "of the peak"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}", flush=True)
    most = 0.0
    for name in options.only:
        said, found, highest = measure(ROWS[name], columns, options.rounds, options.seconds)
        most = max(most, highest)
        print(line(name, said, found, most), flush=True)
    print(f"peak: {most:.0f} GFLOP/s")


if __name__ == "__main__":
    main()
