"""Random requests to a server, of which none may break it.

Every fifth request is a good one, whose answer must be that of the run. As a program this takes a
run directory, and sends it ten thousand.
"""

import argparse
import gzip
import io
import json
import random
import struct
import zlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from served import JSON, Served, serving

import bigmodel
from bigmodel.data.samples import SAMPLES
from bigmodel.serving.application import Limits

FORM = {"Content-Type": "multipart/form-data; boundary=b"}
REFUSED = {400, 413, 415, 422, 503}
TYPES = (
    "application/json", "image/png", "text/csv", "text/plain", "application/octet-stream", "", "x",
    "application/x-www-form-urlencoded", "multipart/form-data", "multipart/form-data; boundary=b",
    "application/json; charset=utf-16",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 0.5, 1e308, -1e308, 10**30, 10**400, float("nan"), float("inf"),
    "", " ", "x", "/etc/passwd", "../../etc/passwd", "\x00", "\ud800", "\N{SNOWMAN}" * 50,
    "a" * 100_000, "1,5", "NA", "AAAA", [], {}, [[]], [[1.0]], [None], [[[0.5] * 3] * 3],
    {"a": {"b": []}}, ["a"], [float("nan")] * 9, [1e300] * 40, list(range(3000)), {"": ""},
    [[0.1] * 64] * 64,
)  # fmt: skip


def png(width: int, height: int, lines: bytes) -> bytes:
    """A PNG whose head says any size, whatever follows."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    content = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + content


def picture(rng: random.Random) -> bytes:
    """An image file, most often of a strange kind or damaged."""
    mode = rng.choice(["L", "RGB", "RGBA", "P", "1", "I;16", "CMYK", "LA"])
    size = (rng.randint(1, 40), rng.randint(1, 40))
    kind = rng.choice(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
    buffer = io.BytesIO()
    try:
        Image.new(mode, size, rng.choice([0, 1])).save(buffer, kind)
    except (OSError, TypeError, ValueError):
        return png(*size, b"")
    content = bytearray(buffer.getvalue())
    for _ in range(rng.choice([0, 0, 1, 5, 50])):
        content[rng.randrange(len(content))] = rng.randrange(256)
    return bytes(content[: rng.choice([len(content), rng.randint(0, len(content))])])


def table(rng: random.Random, columns: Sequence[str]) -> bytes:
    """A CSV with some of the columns and some others."""
    names = [
        *rng.sample(columns, rng.randint(0, len(columns))),
        *rng.choice([[], ["b"], ["", "b"]]),
    ]
    cells = [str(value)[:40] for value in VALUES if isinstance(value, str | int | float | None)]
    lines = [rng.choices(cells, k=len(names) + rng.choice([0, 0, 0, 1])) for _ in range(3)]
    text = "\n".join(rng.choice(",;\t").join(line) for line in [names, *lines])
    return text.encode(rng.choice(["utf-8", "utf-16", "latin-1"]), "replace")


def spoilt(rng: random.Random, value: Any) -> Any:
    """A value with something else in one place."""
    if rng.random() < 0.3 or not isinstance(value, list | dict) or not value:
        return rng.choice(VALUES)
    if isinstance(value, dict):
        name = rng.choice([*value])
        rest = {other: inner for other, inner in value.items() if other != name}
        return rng.choice([rest, {**value, "more": 1}, {**value, name: spoilt(rng, value[name])}])
    at = rng.randrange(len(value))
    changed = [*value[:at], spoilt(rng, value[at]), *value[at + 1 :]]
    return rng.choice([changed, value[:at], value * 2])


def npy(rng: random.Random) -> bytes:
    """A file of an array, with other bytes in a few places."""
    file = io.BytesIO()
    shape = [rng.choice([0, 1, 8, 64]) for _ in range(rng.choice([1, 3, 4]))]
    np.save(file, np.full(shape, rng.choice([0.5, 2, np.nan, True, 1j])))
    content = bytearray(file.getvalue())
    for _ in range(rng.choice([0, 1, 3])):
        content[rng.randrange(len(content))] = rng.randrange(256)
    return bytes(content)


def request(rng: random.Random, samples: Sequence[Any]) -> tuple[bytes, dict[str, str]]:
    """The body and the headers of a bad request; now and then it is a good one after all."""
    sample = rng.choice(samples)
    columns = [*sample] if isinstance(sample, dict) else ["a", "b"]
    asked = {"inputs": [spoilt(rng, sample) for _ in range(rng.choice([1, 1, 3, 20]))]}
    asked |= rng.choice([{}, {}, {"top": rng.choice(VALUES)}, {"cut": rng.choice(VALUES)}])
    text = json.dumps(asked).encode()
    deep = rng.randint(1, 5000)
    content = rng.choice(
        [
            lambda: b"",
            lambda: rng.randbytes(rng.randint(1, 300)),
            lambda: picture(rng),
            lambda: png(60_000, 60_000, b"\0" * 9),
            lambda: png(7000, 7000, b""),
            lambda: table(rng, columns),
            lambda: gzip.compress(b"a\n" * 1000),
            lambda: npy(rng),
            lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
            lambda: b"\n".join([b"x" * rng.choice([1, 10, 10_000])] * rng.choice([1, 5, 1500])),
        ]
    )()
    form = b'--b\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n--b--\r\n' % (
        rng.choice([b"a", b"top", b"cut", b""]), rng.choice([b"", b'; filename="x"']), content
    )  # fmt: skip
    return rng.choice(
        [
            (text, JSON),
            (text, JSON),
            (text[: rng.randint(0, len(text))], JSON),
            (json.dumps(rng.choice(VALUES)).encode(), JSON),
            (b'{"inputs": ' + b"[" * deep + b"]" * deep + b"}", JSON),
            (b'{"inputs":[' + b'{"a":' * deep + b"1" + b"}" * deep + b"]}", JSON),
            (form, FORM),
            (
                form[: rng.randint(0, len(form))],
                {"Content-Type": "multipart/form-data; boundary=b"},
            ),
            (content, {"Content-Type": rng.choice(TYPES)}),
        ]
    )


def equal(one: Any, other: Any) -> bool:
    """Whether two answers are the same up to rounding."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[name], other[name]) for name in one)
    if isinstance(one, list | np.ndarray):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == (pytest.approx(other, abs=1e-4) if isinstance(other, float) else other)


def fuzz(served: Served, count: int, seed: int) -> Counter[int]:
    """How often a status was the answer to so many requests; each has to be a right one."""
    samples = json.loads(served.run.assets[SAMPLES])
    expected = served.ask({"inputs": samples, "cut": True}).value["predictions"]

    def once(number: int) -> int:
        rng = random.Random(f"{seed} {number}")
        if number % 5 == 0:
            at = rng.randrange(len(samples))
            answer = served.ask({"inputs": [samples[at]], "cut": True})
            if answer.status != 503:
                assert answer.status == 200, answer
                assert equal(answer.value["predictions"], [expected[at]]), number
            return answer.status
        body, headers = request(rng, samples)
        try:
            answer = served.ask(body, headers)
        except ConnectionError:
            # No server reads a body of any size to its end.
            assert len(body) > 4 * Limits().body
            return 413
        assert answer.status in {200, *REFUSED}, (number, answer, headers, body[:300])
        if answer.status != 200:
            assert answer.value["error"], number
            assert "\n" not in answer.value["error"], number
        return answer.status

    with ThreadPoolExecutor(8) as pool:
        return Counter(pool.map(once, range(count)))


def read_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


def main() -> None:
    """Prints how often each status was the answer."""
    options = read_options()
    with serving(bigmodel.load(options.run), Limits()) as served:
        found = fuzz(served, options.count, options.seed)
        compiled = served.run.jitted._cache_size()
    print(f"{options.count} requests: {dict(sorted(found.items()))}; {compiled} sizes compiled")


if __name__ == "__main__":
    main()
