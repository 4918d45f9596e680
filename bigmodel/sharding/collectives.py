"""The communication between devices of a compiled program, read from its text.

``collectives(compiled.as_text())`` of a step, where ``compiled`` is what
``jax.jit(step).lower(...).compile()`` gave.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias, cast, get_args

import numpy as np

Kind: TypeAlias = Literal[
    "all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute"
]

_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{$")
_COLLECTIVE = re.compile(
    rf"^\s*(?:ROOT )?%?[\w.\-]+ = (.*?) ({'|'.join(get_args(Kind))})(-start)?\("
)
_CALLED = re.compile(
    r"(?:calls|to_apply|body|condition|true_computation|false_computation)=%?([\w.\-]+)"
)
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
_CONDITION = re.compile(r"\bcondition=%?([\w.\-]+)")
_BOUND = re.compile(r" constant\((\d+)\)")
_PART = re.compile(r"\bchannel_id=(\d+).*async_collective_fusion_config")
_SCATTERING = "all-reduce-scatter"
_ARRAY = re.compile(r"\b([a-z]+\d*\w*)\[([\d,]*)\]")
_LISTED = re.compile(r"replica_groups=\{\{([\d,]+)\}")
_IOTA = re.compile(r"replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?")
_MESH = re.compile(
    r"replica_groups=mesh\[([^\]]*)\]"
    r"(?:, device_ids=\(\[([\d,]+)\](?:T\(([\d,]+)\))?\))? \{([^}]*)\}"
)
_SUB_AXIS = re.compile(r"'(\w+)'(?::\((\d+)\)(\d+))?")
_PAIR = re.compile(r"\{(\d+),(\d+)\}")


class Collective(NamedTuple):
    """An exchange between devices.

    ``bytes`` is the size of the whole array that a device of a group has before or after it: the
    operand of an all-reduce, a reduce-scatter, an all-to-all or a permutation, the result of an
    all-gather. ``devices`` is the first group of devices among which it happens (of a
    permutation, the first chain), ``times`` how often one execution of the program does it.
    """

    kind: Kind
    bytes: int
    devices: tuple[int, ...]
    times: int

    @property
    def group_size(self) -> int:
        """Devices that take part together."""
        return len(self.devices)

    @property
    def sent(self) -> float:
        """Bytes that each device sends, over all times, where the group is a ring.

        ``2 (n - 1) / n`` of the array for an all-reduce, ``(n - 1) / n`` for its two halves
        and an all-to-all (Thakur et al., 2005), all of it for a permutation.
        """
        share = (self.group_size - 1) / self.group_size
        factor = {"all-reduce": 2 * share, "collective-permute": 1.0}.get(self.kind, share)
        return factor * self.bytes * self.times


def collectives(hlo: str) -> list[Collective]:
    """The collectives of a compiled program, in the order of its text.

    The body of a loop counts as often as it runs if XLA knows that, else once; each branch
    counts. Groups of one device exchange nothing and are left out. An exchange that a TPU splits
    into several fusions counts once; what it writes as the fusion of an all-reduce and slices, but
    runs as a reduce-scatter, is one.
    """
    entry, bodies = _computations(hlo)
    devices = math.prod(int(n) for n in re.findall(r"(?:num_partitions|replica_count)=(\d+)", hlo))
    times = dict.fromkeys(bodies, 0)
    for name, count in _runs(bodies, entry, 1):
        times[name] += count
    result: dict[object, Collective] = {}
    for name, lines in bodies.items():
        for line in lines if times[name] else ():
            found = _collective(line, devices)
            if found and found.group_size > 1:
                if name.startswith(_SCATTERING):
                    found = found._replace(kind="reduce-scatter")
                part = _PART.search(line)
                result.setdefault(
                    part[1] if part else len(result), found._replace(times=times[name])
                )
    return list(result.values())


def _computations(hlo: str) -> tuple[str, dict[str, list[str]]]:
    """The name of the entry, and the lines of each computation."""
    entry, bodies, lines = "", dict[str, list[str]](), list[str]()
    for line in hlo.splitlines():
        header = _COMPUTATION.match(line)
        if header:
            lines = bodies.setdefault(header[2], [])
            entry = header[2] if header[1] else entry
        else:
            lines.append(line)
    return entry, bodies


def _runs(bodies: dict[str, list[str]], name: str, times: int) -> Iterator[tuple[str, int]]:
    """Every computation that this one runs, itself included, and how often."""
    yield name, times
    for line in bodies.get(name, ()):
        trips = _trips(line, bodies)
        called = _CALLED.findall(line)
        for branches in _BRANCHES.findall(line):
            called += re.findall(r"[\w.\-]+", branches)
        for other in called:
            if other in bodies:
                yield from _runs(bodies, other, times * trips)


def _trips(line: str, bodies: dict[str, list[str]]) -> int:
    """How often a line's loop runs; 1 for other lines, or if it is unknown.

    The compiler of TPUs does not state it. There it is the bound in the condition of a loop that
    counts from 0, as scans do.
    """
    known = _TRIPS.search(line)
    if known:
        return int(known[1])
    condition = _CONDITION.search(line)
    lines = bodies.get(condition[1], []) if condition else []
    counts = any("ROOT" in one and "direction=LT" in one for one in lines)
    bounds = [bound for one in lines for bound in _BOUND.findall(one)]
    return int(bounds[0]) if counts and len(bounds) == 1 else 1


def _collective(line: str, devices: int) -> Collective | None:
    found = _COLLECTIVE.match(line)
    if not found:
        return None
    kind = cast("Kind", found[2])
    group = _chain(line) if kind == "collective-permute" else _first_group(line, devices)
    # The result of a start also has its operands, and two counters if it permutes.
    total = sum(_bytes(*array) for array in _ARRAY.findall(found[1].replace("u32[]", "")))
    if found[3] and kind == "all-gather":
        total = total * len(group) // (len(group) + 1)
    elif found[3] and kind in ("collective-permute", "all-to-all"):
        total //= 2
    if kind == "reduce-scatter":
        total *= len(group)
    return Collective(kind, total, group, 1)


def _bytes(dtype: str, shape: str) -> int:
    digits = re.search(r"\d+", dtype)
    bits = int(digits[0]) if digits else 8
    return -(-bits * math.prod(_numbers(shape)) // 8)


def _numbers(text: str | None) -> tuple[int, ...]:
    return tuple(int(number) for number in (text or "").split(",") if number)


def _first_group(line: str, devices: int) -> tuple[int, ...]:
    listed, iota, mesh = _LISTED.search(line), _IOTA.search(line), _MESH.search(line)
    if listed:
        return _numbers(listed[1])
    if iota:
        groups = _ids(iota[2], iota[3]).reshape(_numbers(iota[1]))
        return tuple(groups[0].tolist())
    if not mesh:
        return tuple(range(devices))
    sizes = {name: int(size) for name, size in re.findall(r"'(\w+)'=(\d+)", mesh[1])}
    ids = _ids(mesh[2], mesh[3]) if mesh[2] else np.arange(math.prod(sizes.values()))
    strides, stride = {}, ids.size
    for name, size in sizes.items():
        stride //= size
        strides[name] = stride
    places = np.zeros(1, int)
    for name, before, part in _SUB_AXIS.findall(mesh[4]):
        # Of an axis of 8, 'a':(2)4 is the part of 4 inside two outer ones.
        size = int(part) if part else sizes[name]
        step = strides[name] * (sizes[name] // (int(before) * size) if part else 1)
        places = (places[:, None] + step * np.arange(size)).reshape(-1)
    return tuple(ids.reshape(-1)[places].tolist())


def _ids(shape: str, order: str | None) -> np.ndarray:
    sizes = _numbers(shape)
    ids = np.arange(math.prod(sizes)).reshape(sizes)
    return ids.transpose(_numbers(order)) if order else ids


def _chain(line: str) -> tuple[int, ...]:
    pairs = line.partition("source_target_pairs={")[2].partition("}}")[0] + "}"
    targets = {int(source): int(target) for source, target in _PAIR.findall(pairs)}
    starts = sorted(set(targets) - set(targets.values())) or sorted(targets)
    chain = starts[:1]
    while chain and (following := targets.get(chain[-1])) is not None and following not in chain:
        chain.append(following)
    return tuple(chain)
