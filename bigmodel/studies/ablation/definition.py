"""What a study is to compare, from a command line or from a file beside an experiment."""

from __future__ import annotations

import runpy
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bigmodel.experiment import InputError
from bigmodel.studies.ablation.grid import (
    Axis,
    baseline_of,
    full_grid,
    one_at_a_time,
    option_name,
    sample,
)

KEYS = (
    "script", "name", "seeds", "options", "vary", "baseline", "one_at_a_time", "random",
    "sample_seed", "metric", "at", "seeds_by",
)  # fmt: skip
PYTHON_NAME = "STUDY"
"""What a study file in Python calls its mapping."""


@dataclass(frozen=True)
class Definition:
    """A study before its options are checked: see the command ``ablate`` for what they mean."""

    script: Path
    name: str
    axes: tuple[Axis, ...]
    seeds: tuple[int, ...]
    options: tuple[str, ...] = ()
    baseline: str | None = None
    one_at_a_time: bool = False
    random: int | None = None
    sample_seed: int = 0
    metric: str | None = None
    at: str = "last"
    seeds_by: str = "auto"

    def cells(self) -> tuple[list[dict[str, str]], dict[str, str] | None]:
        """The choices, and that of the baseline, if the study has one.

        Raises:
            InputError: where the axes, the baseline and the way to combine them do not fit.
        """
        if self.random is not None:
            if self.one_at_a_time:
                raise InputError("--random and --one-at-a-time are two ways; choose one")
            if self.baseline is not None:
                raise InputError("--random draws its cells; leave out --baseline")
            if not self.axes:
                raise InputError("--random needs a --vary to draw from")
            return sample(self.axes, self.random, seed=self.sample_seed), None
        if not self.axes:
            if self.baseline is not None:
                raise InputError("--baseline: nothing is varied")
            return [{}], {}
        baseline = baseline_of(self.axes, self.baseline)
        if self.one_at_a_time:
            return one_at_a_time(self.axes, baseline), baseline
        return full_grid(self.axes), baseline


def read_seeds(text: str) -> tuple[int, ...]:
    """``5`` as the seeds 0 to 4, ``0,3,7`` as themselves.

    Raises:
        InputError: for what is neither, and for a seed twice.
    """
    try:
        numbers = [int(word) for word in text.split(",")]
    except ValueError:
        raise InputError(f"--seeds {text}: write a number of seeds, or seeds with commas") from None
    if "," not in text:
        if not 1 <= numbers[0] <= 10000:
            raise InputError(f"--seeds {text} must be between 1 and 10000")
        return tuple(range(numbers[0]))
    if len(set(numbers)) < len(numbers) or not all(0 <= seed < 2**31 for seed in numbers):
        raise InputError(f"--seeds {text}: seeds are different numbers from 0 to 2147483647")
    return tuple(numbers)


def is_study_file(path: Path) -> bool:
    """Whether a path is that of a study file and not of an experiment's script."""
    if path.suffix == ".toml":
        return True
    return path.is_file() and f"\n{PYTHON_NAME} = " in "\n" + path.read_text(errors="replace")


def read_study_file(path: Path) -> dict[str, Any]:
    """The keys of a study file, those of :class:`Definition`.

    Raises:
        InputError: where it cannot be read, or has a key or a value that means nothing.
    """
    if not path.is_file():
        raise InputError(f"there is no study file {path}")
    try:
        if path.suffix == ".toml":
            read: Any = tomllib.loads(path.read_text())
        else:
            read = runpy.run_path(str(path))[PYTHON_NAME]
    except Exception as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    if not isinstance(read, Mapping):
        raise InputError(f"{path}: {PYTHON_NAME} must be a mapping with {', '.join(KEYS)}")
    unknown = [key for key in read if key not in KEYS]
    if unknown:
        raise InputError(f"{path} has {unknown[0]}; there are {', '.join(KEYS)}")
    found = dict(read)
    if "script" not in found:
        raise InputError(f"{path} has no script")
    found["script"] = path.parent / str(found["script"])
    found.setdefault("name", path.stem)
    if "seeds" in found:
        found["seeds"] = _text(found["seeds"]).replace(" ", ",")
    if "options" in found:
        found["options"] = _options(path, found["options"])
    if isinstance(found.get("baseline"), Mapping):
        found["baseline"] = ",".join(f"{k}={_text(v)}" for k, v in found["baseline"].items())
    if "vary" in found:
        found["axes"] = _axes(path, found.pop("vary"))
    return found


def _options(path: Path, value: Any) -> tuple[str, ...]:
    """Options as words, from words or from values by name."""
    if isinstance(value, Mapping):
        return tuple(f"--{option_name(name)}={_text(each)}" for name, each in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(str(word) for word in value)
    raise InputError(f"{path}: options are a list of words or a table of values")


def _axes(path: Path, value: Any) -> tuple[Axis, ...]:
    """Axes from a table of lists, or from several such tables.

    The options of one table vary alone; those of one among several move together.
    """
    if isinstance(value, Mapping):
        tables: Sequence[Any] = [{name: values} for name, values in value.items()]
    elif isinstance(value, Sequence) and not isinstance(value, str):
        tables = value
    else:
        tables = [None]
    axes: list[Axis] = []
    for table in tables:
        if not isinstance(table, Mapping) or not table:
            raise InputError(f"{path}: vary is a table of lists, or a list of such tables")
        columns = []
        for name, values in table.items():
            if not isinstance(values, list | tuple):
                values = [values]  # a range, as text
            if not values or (len(values) != len(next(iter(table.values()))) and len(table) > 1):
                raise InputError(f"{path}: the values of {name} must be as many as the others'")
            columns.append([_text(one) for one in values])
        names = tuple(option_name(name) for name in table)
        for name in names:
            if any(name in axis.names for axis in axes):
                raise InputError(f"{path}: {name} is varied already")
        axes.append(Axis(names, tuple(zip(*columns, strict=True))))
    return tuple(axes)


def _text(value: Any) -> str:
    """A value as it is typed on a command line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return " ".join(_text(one) for one in value)
    return str(value)
