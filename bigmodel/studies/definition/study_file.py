"""Study files: TOML, or Python with a mapping ``STUDY``."""

from __future__ import annotations

import runpy
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bigmodel.experiment import InputError
from bigmodel.nearest import nearest_option
from bigmodel.studies.definition.definition import AT, EMPTY, WAYS, Axis, flag, joined, option_name

TEXT, WHOLE, SWITCH = "text", "a whole number", "true or false"
KINDS: Mapping[str, str | Sequence[str]] = {
    "script": TEXT,
    "name": TEXT,
    "random": WHOLE,
    "sample_seed": WHOLE,
    "one_at_a_time": SWITCH,
    "metric": TEXT,
    "at": AT,
    "seeds_by": WAYS,
}
"""The kinds of values, other than those with a reader of their own."""
KEYS = (*KINDS, "seeds", "options", "vary", "baseline")
PYTHON_NAME = "STUDY"
"""The name of the mapping in a study file in Python."""


def is_study_file(path: Path) -> bool:
    """Returns whether a path is that of a study file and not of an experiment's script."""
    if path.suffix == ".toml":
        return True
    return path.is_file() and f"\n{PYTHON_NAME} = " in "\n" + path.read_text(
        encoding="utf-8", errors="replace"
    )


def read_study_file(path: Path) -> dict[str, Any]:
    """Reads a study file as keyword arguments of :class:`Definition`.

    Raises:
        InputError: if it cannot be read, or has an unknown key or a wrong value.
    """
    if not path.is_file():
        raise InputError(f"there is no study file {path}")
    try:
        if path.suffix == ".toml":
            read: Any = tomllib.loads(path.read_text(encoding="utf-8"))
        else:
            read = runpy.run_path(str(path))[PYTHON_NAME]
    except Exception as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path} cannot be read: {why}") from None
    if not isinstance(read, Mapping):
        raise InputError(f"{path}: {PYTHON_NAME} must be a mapping with {', '.join(KEYS)}")
    unknown = [key for key in read if key not in KEYS]
    if unknown:
        hint = nearest_option(str(unknown[0]), KEYS)
        raise InputError(f"{path} has {unknown[0]}; {hint}there are {', '.join(KEYS)}")
    found = dict(read)
    if "script" not in found:
        raise InputError(f"{path} has no script")
    for name in KINDS.keys() & found.keys():
        _check_kind(path, name, found[name])
    found["script"] = path.parent / found["script"]
    found.setdefault("name", path.stem)
    if "seeds" in found:
        seeds = found["seeds"]
        listed = isinstance(seeds, list | tuple)
        found["seeds"] = ",".join(map(_text, seeds)) + "," if listed else _text(seeds)
    if "options" in found:
        found["options"] = _options(path, found["options"])
    if "baseline" in found:
        baseline = found["baseline"]
        if isinstance(baseline, Mapping):
            found["baseline"] = {name: _text(each) or EMPTY[0] for name, each in baseline.items()}
        elif not isinstance(baseline, str):
            wrong = f"baseline is {_text(baseline)}; it is text or a table of values"
            raise InputError(f"{path}: {wrong}")
    if "vary" in found:
        found["axes"] = _axes(path, found.pop("vary"))
    return found


def _check_kind(path: Path, name: str, value: Any) -> None:
    """Raises InputError for a value of another kind."""
    kind = KINDS[name]
    if isinstance(kind, str):
        right = {
            TEXT: isinstance(value, str | Path),
            WHOLE: isinstance(value, int) and not isinstance(value, bool),
            SWITCH: isinstance(value, bool),
        }[kind]
    else:
        right = value in kind
        kind = f"{', '.join(kind[:-1])} or {kind[-1]}"
    if not right:
        raise InputError(f"{path}: {name} is {_text(value)}; it is {kind}")


def _options(path: Path, value: Any) -> tuple[str, ...]:
    """Returns options as words, from words or from values by name."""
    if isinstance(value, Mapping):
        return tuple(
            word for name, each in value.items() for word in _words(option_name(name), each)
        )
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(str(word) for word in value)
    raise InputError(f"{path}: options are a list of words or a table of values")


def _words(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [flag(name, on=value)]
    if isinstance(value, list | tuple):
        return [f"--{name}", *map(_text, value)]
    return [f"--{name}={_text(value)}"]


def _axes(path: Path, value: Any) -> tuple[Axis, ...]:
    """Returns axes from a table of lists, or from several such tables.

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
            if not values:
                raise InputError(f"{path}: {name} has no values; give at least one")
            columns.append([_text(one) or EMPTY[0] for one in values])
            if len(columns[-1]) != len(columns[0]):
                raise InputError(f"{path}: the values of {name} must be as many as the others'")
        names = tuple(option_name(name) for name in table)
        for name in names:
            if any(name in axis.names for axis in axes):
                raise InputError(f"{path}: {name} is varied already")
        axes.append(Axis(names, tuple(zip(*columns, strict=True))))
    return tuple(axes)


def _text(value: Any) -> str:
    """Returns a value as it is typed on a command line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return joined([_text(one) for one in value])
    return str(value)
