"""A search for the mesh, batch size and remat with which a run fits and is fastest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from bigmodel.experiment import InputError
from bigmodel.planning.planning import Choice, as_options, compile_choice, fits, read
from bigmodel.planning.step_program import Program, step_time
from bigmodel.planning.table import table
from bigmodel.planning.target import Target
from bigmodel.sharding.chips import Chip
from bigmodel.tracking.progress import say

Score: TypeAlias = float
"""Examples or tokens per second if the step fits, else minus the bytes that it lacks."""


def search(script: Path, options: Sequence[str], target: Target, *, tries: int) -> int:
    """Prints what it tries, then the plan of the best; returns 0 if one fits, else 1.

    For TPUs the tries are compiled quickly, which may change temporaries by an eighth, and the
    best again in earnest.

    Raises:
        InputError: where no chip is named, the options of the config cannot be used, or no
            choice can be compiled.
    """
    chip = target.chip
    if chip is None:
        raise InputError("--search needs to know what fits; name a chip by --topology or --chip")

    def score(choice: Choice) -> Score | None:
        try:
            found = compile_choice(script, options, choice, target, quick=True)
        except InputError as error:
            say(f"{as_options(choice)}: {error}")
            return None
        value = score_of(found, chip, target.devices)
        speed = f"{value:,.0f} {found.unit}/s" if value > 0 else "does not fit"
        say(f"{as_options(choice)}: {found.memory.total / 1e9:.2f} GB, {speed}")
        return value

    _, config = read(script, options)
    scores = climb(first_choice(config, target.devices), target.devices, score, tries=tries)
    fitting = sorted((one for one in scores if one[1] > 0), key=lambda one: -one[1])
    for choice, _ in fitting:
        best = compile_choice(script, options, choice, target)
        if fits(best, target):
            say(f"\nbest of {len(scores)}: {as_options(choice)}\n")
            say(table(script, target, best))
            return 0
    if not scores:
        raise InputError("nothing of this can be compiled; the lines above say why")
    say(f"\nnone of {len(scores)} fits {target.name}; use more devices or a smaller model")
    return 1


def first_choice(config: Any, devices: int) -> Choice:
    """Returns the config's own values of the options that a search may change.

    A batch that the devices do not divide is made larger.
    """
    choice: dict[str, Any] = {"mesh.data": None, "mesh.fsdp": min(config.mesh.fsdp, devices)}
    for path in ("mesh.tensor", "data.batch_size", "model.remat"):
        part, _, name = path.partition(".")
        if hasattr(getattr(config, part, None), name):
            choice[path] = getattr(getattr(config, part), name)
    if "data.batch_size" in choice:
        choice["data.batch_size"] += -choice["data.batch_size"] % devices
    return choice


def score_of(program: Program, chip: Chip, devices: int) -> Score:
    """The score of a program, in the time of a device that waits for its links."""
    lacking = program.memory.total - chip.memory
    if lacking > 0:
        return -lacking
    return program.units / step_time(program, chip, devices).most


def climb(
    first: Choice, devices: int, score: Callable[[Choice], Score | None], *, tries: int
) -> list[tuple[Choice, Score]]:
    """Hill climbing: moves to the first better neighbour until there is none, or no try is left.

    Returns:
        All choices that could be compiled, with their scores.
    """
    seen: list[Choice] = []
    found: list[tuple[Choice, Score]] = []

    def attempt(choice: Choice) -> Score | None:
        seen.append(choice)
        value = score(choice)
        if value is not None:
            found.append((choice, value))
        return value

    here = first
    best = attempt(first)
    better = True
    while better:
        better = False
        for choice in neighbours(here, devices, fitting=best is not None and best > 0):
            if choice in seen or any(is_more(choice, other) for other, value in found if value < 0):
                continue
            if len(seen) == tries:
                return found
            value = attempt(choice)
            if value is not None and (best is None or value > best):
                here, best, better = choice, value, True
                break
    return found


def is_more(choice: Choice, other: Choice) -> bool:
    """Whether a choice differs from another only by a larger batch."""
    size, least = choice.get("data.batch_size", 0), other.get("data.batch_size", 0)
    return bool(size > least) and {**choice, "data.batch_size": least} == {
        "data.batch_size": least,
        **other,
    }


def neighbours(choice: Choice, devices: int, *, fitting: bool) -> Iterator[Choice]:
    """Yields the choices that differ in one option, the most promising first.

    What does not fit needs more devices for its state, remat and smaller batches; what fits
    becomes faster by the contrary.
    """
    fsdp, tensor = choice["mesh.fsdp"], choice.get("mesh.tensor", 1)
    size, remat = choice.get("data.batch_size"), choice.get("model.remat")
    larger: list[Choice] = [] if size is None else [{"data.batch_size": 2 * size}]
    smaller: list[Choice] = [] if size in (None, 1) else [{"data.batch_size": size // 2}]
    other: list[Choice] = [] if remat is None else [{"model.remat": not remat}]
    most = devices // tensor
    wider = [{"mesh.fsdp": n} for n in (most, 2 * fsdp) if fsdp < n <= most]
    narrower = [{"mesh.fsdp": fsdp // 2}] if fsdp > 1 else []
    split: list[Choice] = []
    if "mesh.tensor" in choice and 2 * tensor <= devices:
        split = [
            {"mesh.tensor": 2 * tensor, "mesh.fsdp": max(1, min(fsdp, devices // tensor // 2))}
        ]
    if fitting:
        order = [*(other if remat else []), *larger, *narrower, *wider, *split]
    else:
        order = [*wider, *([] if remat else other), *smaller, *split]
    for change in order:
        yield {**choice, **change}
