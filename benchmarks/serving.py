"""What answering costs over the bare jitted ``apply`` of a trained run.

    python benchmarks/serving.py [RUN] [--batch-size 64] [--clients 32] [--inputs 1 64]

``predict`` gets arrays in memory, ``serve`` JSON or a ``.npy`` file over HTTP from clients of
another process, each of which sends its next request when the last one is answered. Both are
measured in turns with the bare ``apply`` on one encoded batch of the same size, which is waited for
each time. The best rounds are those that other programs disturbed least. Without a run, a network
is trained on digits first.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).parent.parent


class Measured(NamedTuple):
    """Inputs a second, and the seconds of each call or request."""

    rate: float
    seconds: list[float]


def timed(call: Callable[[], object], inputs: int, seconds: float) -> Measured:
    """Calls a function again and again."""
    ends = [time.perf_counter()]
    while ends[-1] - ends[0] < seconds:
        call()
        ends.append(time.perf_counter())
    each = np.diff(ends).tolist()
    return Measured(inputs * len(each) / (ends[-1] - ends[0]), each)


async def client(port: int, request: bytes, until: float) -> list[float]:
    """Sends a request over one connection until a time; the seconds of each."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found = []
    while (began := time.perf_counter()) < until:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        await reader.readexactly(length)
        found.append(time.perf_counter() - began)
    writer.close()
    return found


def ask(port: int, clients: int, inputs: int, body: bytes, seconds: float) -> Measured:
    """What many clients measure together, each of whose requests has so many inputs."""
    kind = "application/json" if body.startswith(b"{") else "application/octet-stream"
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    request = f"{head}Content-Type: {kind}\r\n\r\n".encode() + body

    async def all_clients() -> Measured:
        began = time.perf_counter()
        until = began + seconds
        found = await asyncio.gather(*(client(port, request, until) for _ in range(clients)))
        each = [second for one in found for second in one]
        return Measured(inputs * len(each) / (time.perf_counter() - began), each)

    return asyncio.run(all_clients())


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("run", nargs="?", type=Path)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--inputs", type=int, nargs="+", default=[1, 64], help="of each request")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    return parser.parse_args(arguments)


def main() -> None:
    """Prints the throughput of each, and what part of the bare ``apply``'s it is."""
    options = read_options(sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder:
        path = options.run or Path(folder) / "run"
        if options.run is None:
            script = str(ROOT / "experiments" / "cnn.py")
            command = [sys.executable, script, "--run.steps=200", f"--run.dir={path}"]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        command = [sys.executable, str(ROOT / "launch.py"), "serve", str(path), "--port=0"]
        command.append(f"--batch-size={options.batch_size}")
        command.append(f"--queue={options.clients * max(options.inputs)}")
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                port = int(server.stdout.readline().split()[1].rpartition(":")[2])
                measure(path, port, options)
            finally:
                server.terminate()


def measure(path: Path, port: int, options: argparse.Namespace) -> None:
    """Measures in turns."""
    import jax

    import bigmodel
    from bigmodel.data.samples import SAMPLES

    run = bigmodel.load(path)
    samples = json.loads(run.assets[SAMPLES])
    arrays = [np.asarray(each, np.float32) for each in samples]
    arrays = [arrays[n % len(arrays)] for n in range(32 * options.batch_size)]
    batch = run.predictor.encode(arrays[: options.batch_size])
    # Grey images need no list for each pixel.
    many = [each.squeeze().tolist() for each in arrays]

    def bare() -> Measured:
        return timed(
            lambda: jax.block_until_ready(run.apply(batch)), options.batch_size, options.seconds
        )

    def predict() -> Measured:
        call = lambda: run.predict(arrays, batch_size=options.batch_size)  # noqa: E731
        return timed(call, len(arrays), options.seconds)

    with get_context("spawn").Pool(1) as pool:

        def serve(inputs: int, body: bytes) -> Measured:
            return pool.apply(ask, (port, options.clients, inputs, body, options.seconds))

        ways: dict[str, Callable[[], Measured]] = {"predict": predict}
        for count in options.inputs:
            file = io.BytesIO()
            np.save(file, np.stack(arrays[:count]))
            bodies = {"JSON": json.dumps({"inputs": many[:count]}).encode(), "npy": file.getvalue()}
            for name, body in bodies.items():
                ways[f"serve, {count} a request, {name}"] = functools.partial(serve, count, body)
        for way in (bare, *ways.values()):
            way()
        found: dict[str, list[Measured]] = {name: [] for name in ("bare apply", *ways)}
        ratios: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(options.rounds):
            for name, way in ways.items():
                found["bare apply"].append(bare())
                found[name].append(way())
                ratios[name].append(found[name][-1].rate / found["bare apply"][-1].rate)
    print(f"batches of {options.batch_size}, {options.clients} clients: inputs a second")
    fastest = max(each.rate for each in found["bare apply"])
    for name, measured in found.items():
        rates = [each.rate for each in measured]
        p50, p99 = 1000 * np.percentile(
            [one for each in measured for one in each.seconds], [50, 99]
        )
        line = f"{name:27} median {statistics.median(rates):6.0f}, best {max(rates):6.0f}"
        if name in ratios:
            middle, best = statistics.median(ratios[name]), max(rates) / fastest
            line += f"; of the bare {100 * middle:.0f} %, best of the best {100 * best:.0f} %"
        print(f"{line}; p50 {p50:.1f} ms, p99 {p99:.1f} ms")


if __name__ == "__main__":
    main()
