"""The definition of a study, before its options are checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bigmodel.experiment import InputError
from bigmodel.studies.definition.grid import (
    Axis,
    baseline_of,
    full_grid,
    one_at_a_time,
    sample,
)

AT = ("last", "best")
WAYS = ("auto", "sequential", "vmap", "processes")


@dataclass(frozen=True)
class Definition:
    """The definition of a study: see the command ``ablate`` for the meaning of each field."""

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
