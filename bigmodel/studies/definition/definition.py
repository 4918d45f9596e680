"""The definition of a study: a grid of options, one change at a time, or a sample; and seeds."""

from __future__ import annotations

import itertools
import math
import random
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

from bigmodel.experiment import InputError

AT = ("last", "best")
WAYS = ("auto", "sequential", "vmap", "processes")
Choice: TypeAlias = dict[str, str]
"""Values as typed, by dotted option: ``{"optimizer.name": "adam"}``."""
EMPTY = ('""', "''")
"""How an empty value is typed: ``--vary teacher.run='"",runs/a'`` is without and with a teacher."""

LAWS = ("log", "uniform", "int")
"""Distributions of a range: ``log:1e-4:1e-1``, ``uniform:0:0.5``, ``int:1:8``."""
MISSES = 100
"""Repeated draws for each requested cell after which there is no other cell."""


class Axis(NamedTuple):
    """Options that move together, and their values at each point."""

    names: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]

    def choices(self) -> list[Choice]:
        """The points of the axis."""
        return [dict(zip(self.names, point, strict=True)) for point in self.values]

    def range(self) -> tuple[str, float, float] | None:
        """Returns the distribution and the bounds if the axis is a range to draw from."""
        law, *bounds = self.values[0][0].split(":") if len(self.values) == 1 else ("",)
        if law not in LAWS:
            return None
        text = f"--vary {self.names[0]}={self.values[0][0]}"
        if len(self.names) > 1:
            raise InputError(f"{text}: a range cannot move together with {self.names[1]}")
        try:
            low, high = (float(bound) for bound in bounds)
        except ValueError:
            raise InputError(f"{text}: write a range as {law}:LOW:HIGH") from None
        if not (low < high and abs(low) + abs(high) < float("inf")) or (law == "log" and low <= 0):
            least = "0 < LOW < HIGH" if law == "log" else "LOW < HIGH"
            raise InputError(f"{text}: a range needs {least}")
        if law == "int" and not (low.is_integer() and high.is_integer()):
            raise InputError(f"{text}: the bounds of int are whole numbers")
        return law, low, high


def read_axes(words: Sequence[tuple[str, str]]) -> list[Axis]:
    """Reads the axes of a command line.

    Args:
        words: ``("vary" | "with", "name=value,value")`` in order; what is ``with`` moves together
            with the one before.

    Raises:
        InputError: if a word is malformed, options that move together differ in their number of
            values, or an option is varied twice.
    """
    axes: list[Axis] = []
    for kind, word in words:
        name, equals, text = word.partition("=")
        values = tuple(value.strip() for value in text.split(","))
        if not (name and equals and all(values)):
            raise InputError(
                f"--{kind} {word}: write it as OPTION=VALUE,VALUE, and a value that is empty as "
                f"{EMPTY[0]}"
            )
        name = option_name(name)
        if any(name in axis.names for axis in axes):
            raise InputError(f"--{kind} {word}: {name} is varied already")
        if kind == "vary":
            axes.append(Axis((name,), tuple((value,) for value in values)))
            continue
        if not axes:
            raise InputError(f"--with {word} moves together with a --vary, which must stand before")
        names, points = axes[-1]
        if len(points) != len(values):
            raise InputError(
                f"--with {word} has {len(values)} values and {names[0]} has {len(points)}; "
                "they move together"
            )
        axes[-1] = Axis(
            (*names, name),
            tuple((*point, value) for point, value in zip(points, values, strict=True)),
        )
    return axes


def option_name(text: str) -> str:
    """``--data.batch_size`` and the like as ``data.batch-size``."""
    return re.sub(r"^--", "", text.strip()).replace("_", "-")


def joined(words: Sequence[str]) -> str:
    """Several words as one value; those with spaces or quotes in them are quoted."""
    plain = re.compile(r"[^\s'\"]+")
    return " ".join(word if plain.fullmatch(word) else shlex.quote(word) for word in words)


def parted(value: str) -> list[str]:
    """The words of a value that :func:`joined` has made, or that was typed like it.

    Raises:
        ValueError: a quotation has no end.
    """
    words = shlex.shlex(value, posix=True)
    # Nothing but spaces and quotes has a meaning: a pattern may have a backslash, a name a hash.
    words.whitespace_split, words.escape, words.commenters = True, "", ""
    return list(words)


def flag(name: str, *, on: bool) -> str:
    """Returns the word that switches an option on or off: ``--model.no-tied``."""
    head, _, last = name.rpartition(".")
    if on:
        return f"--{name}"
    return f"--{head}.no-{last}" if head else f"--no-{last}"


def _one_at_a_time(axes: Sequence[Axis], baseline: Mapping[str, str]) -> list[Choice]:
    """Returns the baseline, and the baseline with each other value of each axis."""
    cells = [dict(baseline)]
    for axis in axes:
        for point in axis.choices():
            if any(baseline[name] != value for name, value in point.items()):
                cells.append({**baseline, **point})
    return cells


def _sample(axes: Sequence[Axis], count: int, *, seed: int) -> list[Choice]:
    """Draws different cells: from ranges by their distribution, from lists uniformly."""
    if count < 1:
        raise InputError(f"--random {count} must be at least 1")
    draw = random.Random(seed)
    cells: list[Choice] = []
    misses = 0
    while len(cells) < count:
        cell: Choice = {}
        for axis in axes:
            found = axis.range()
            cell.update(
                draw.choice(axis.choices())
                if found is None
                else {axis.names[0]: _drawn(draw, *found)}
            )
        if cell not in cells:
            cells.append(cell)
            misses = 0
            continue
        misses += 1
        if misses > MISSES * count:
            raise InputError(f"--random {count}: no more than {len(cells)} different cells")
    return cells


def _drawn(draw: random.Random, law: str, low: float, high: float) -> str:
    if law == "int":
        return str(draw.randint(int(low), int(high)))
    if law == "uniform":
        return _rounded(draw.uniform(low, high), low, high)
    return _rounded(low * (high / low) ** draw.random(), low, high)


def _rounded(value: float, low: float, high: float) -> str:
    """A value with four digits: of a narrow range with more, and never outside of it."""
    value = min(max(value, low), high)
    narrow = math.floor(math.log10(max(abs(low), abs(high)) / (high - low)))
    texts = (f"{value:.{digits}g}" for digits in range(min(17, 4 + max(0, narrow)), 18))
    return next(text for text in texts if low <= float(text) <= high)


def _baseline_of(axes: Sequence[Axis], asked: str | Mapping[str, str] | None) -> Choice:
    """The choice ``name=value,name=value``; what it does not name has its first value."""
    chosen: Choice = {}
    for axis in axes:
        chosen.update(axis.choices()[0])
    words = asked or ""
    told: Choice = {}
    if isinstance(asked, Mapping):
        # Its values may have commas in them.
        told = {option_name(name): value for name, value in asked.items()}
        words = ",".join(f"{name}={value}" for name, value in asked.items())
    for word in asked.split(",") if isinstance(asked, str) and asked else ():
        name, equals, value = word.partition("=")
        if not equals:
            raise InputError(f"--baseline {words}: write it as OPTION=VALUE,OPTION=VALUE")
        told[option_name(name)] = value.strip()
    for name, value in told.items():
        if name not in chosen:
            raise InputError(f"--baseline {words}: {name} is not varied")
        points = next(axis for axis in axes if name in axis.names).choices()
        if value not in (point[name] for point in points):
            there = ", ".join(point[name] for point in points)
            raise InputError(f"--baseline {words}: {name} is varied over {there}")
        fitting = [p for p in points if all(told.get(n, v) == v for n, v in p.items())]
        if not fitting:
            raise InputError(f"--baseline {words}: {' and '.join(points[0])} move together")
        chosen.update(fitting[0])
    return chosen


@dataclass(frozen=True)
class Definition:
    """The definition of a study: see the command ``ablate`` for the meaning of each field."""

    script: Path
    name: str
    axes: tuple[Axis, ...]
    seeds: tuple[int, ...]
    options: tuple[str, ...] = ()
    baseline: str | Mapping[str, str] | None = None
    one_at_a_time: bool = False
    random: int | None = None
    sample_seed: int = 0
    metric: str | None = None
    at: str = "last"
    seeds_by: str = "auto"

    def cells(self) -> tuple[list[dict[str, str]], dict[str, str] | None]:
        """Returns the choices of all cells, and that of the baseline, if there is one.

        Raises:
            InputError: if the axes, the baseline and the way to combine them contradict each other.
        """
        if self.random is not None:
            if self.one_at_a_time:
                raise InputError("--random and --one-at-a-time are two ways; choose one")
            if self.baseline is not None:
                raise InputError("--random draws its cells; leave out --baseline")
            if not self.axes:
                raise InputError("--random needs a --vary to draw from")
            return _sample(self.axes, self.random, seed=self.sample_seed), None
        if not self.axes:
            if self.baseline is not None:
                raise InputError("--baseline: nothing is varied")
            return [{}], {}
        baseline = _baseline_of(self.axes, self.baseline)
        for axis in self.axes:
            if axis.range() is not None:
                text = f"{axis.names[0]}={axis.values[0][0]}"
                raise InputError(f"--vary {text} is a range; say how many draws by --random N")
        if self.one_at_a_time:
            return _one_at_a_time(self.axes, baseline), baseline
        # The last axis changes fastest.
        grid = itertools.product(*(axis.choices() for axis in self.axes))
        return [{n: v for part in parts for n, v in part.items()} for parts in grid], baseline


def read_seeds(text: str) -> tuple[int, ...]:
    """Reads ``5`` as the seeds 0 to 4, and ``0,3,7`` or ``5,`` as a list of seeds.

    Raises:
        InputError: for anything else, and for a repeated seed.
    """
    try:
        numbers = [int(word) for word in text.removesuffix(",").split(",")]
    except ValueError:
        raise InputError(f"--seeds {text}: write a number of seeds, or seeds with commas") from None
    if "," not in text:
        if not 1 <= numbers[0] <= 10000:
            raise InputError(f"--seeds {text} must be between 1 and 10000")
        return tuple(range(numbers[0]))
    if len(set(numbers)) < len(numbers) or not all(0 <= seed < 2**31 for seed in numbers):
        raise InputError(f"--seeds {text}: seeds are different numbers from 0 to 2147483647")
    return tuple(numbers)
