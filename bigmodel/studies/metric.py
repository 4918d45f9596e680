"""Which metric a report compares, at which step, and whether more of it is better."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bigmodel.experiment import InputError, is_maximized
from bigmodel.nearest import nearest_option
from bigmodel.run_directory.directory import CONFIG, MANIFEST, RunDirectory
from bigmodel.run_directory.history import best_step
from bigmodel.studies.runs import Result

FINISHED = ("completed", "stopped early")
"""States of a run whose values count."""
PREFERRED = (
    "accuracy",
    "rmse",
    "bits_per_char",
    "phoneme_error_rate",
    "bleu",
    "frechet_distance",
    "negative_elbo",
    "squared_error",
    "loss",
)
"""The default metric of a report: the first of these on test, else on validation."""


def metrics_of(results: Iterable[Result]) -> list[str]:
    """The names of all final metrics of finished runs, in their order."""
    finished = (result.summary for result in results if result.state in FINISHED)
    return list(dict.fromkeys(name for summary in finished for name in summary if "/" in name))


def choose_metric(asked: str | None, names: Sequence[str]) -> str:
    """Returns the requested metric, or the first preferred one; never one of training.

    Raises:
        InputError: where the runs do not have it, or nothing was evaluated.
    """
    if asked is not None:
        if asked not in names:
            near = nearest_option(asked, names)
            raise InputError(f"the runs have no metric {asked}; {near}there are {', '.join(names)}")
        return asked
    main = main_metric(names)
    if main is None:
        raise InputError(f"the runs evaluate nothing; choose --metric of {', '.join(names)}")
    return main


def main_metric(names: Sequence[str]) -> str | None:
    """The main metric on test, else on validation; None if neither was evaluated."""
    for split in ("test", "validation"):
        found = [name for name in names if name.startswith(f"{split}/")]
        preferred = [f"{split}/{name}" for name in PREFERRED if f"{split}/{name}" in found]
        if found:
            return (preferred or found)[0]
    return None


def larger_is_better(manifests: Iterable[Mapping[str, Any]], metric: str) -> bool:
    """Whether the larger value of a metric is the better one, as the manifests of its runs say.

    Raises:
        InputError: where a run was made by a version that did not record it, or the runs differ.
    """
    recorded = [found.get("maximize") for found in manifests]
    said = {None if names is None else is_maximized(metric, names) for names in recorded}
    if len(said) == 1 and None not in said:
        return said == {True}
    reason = "some of these runs were made by an earlier version, which did not record"
    if None not in said:
        reason = "these runs do not agree on"
    raise InputError(f"{reason} whether more {metric} is better; add --maximize or --minimize")


def value_of(result: Result, metric: str, at: str) -> tuple[int | None, float]:
    """The metric of a run, at its last step or at the best one by ``run.best``, and that step.

    It is NaN if the run does not count, and the step None if there is none.

    Raises:
        InputError: where the best step would be chosen on test.
    """
    if result.state not in FINISHED:
        return result.summary.get("step"), math.nan
    if at == "last":
        value = result.summary.get(metric)
        return result.summary["step"], math.nan if value is None else float(value)
    best, maximize = best_rule(result)
    history = result.history
    found = best_step(history, best, maximize=maximize)
    if found is None:
        raise InputError(f"{result.directory} has no {best}, so no best step; use --at last")
    step = found[0]
    known = (result.summary.get("best") or {"step": None}, *history)
    there = [line[metric] for line in known if line["step"] == step and metric in line]
    return step, math.nan if not there or there[-1] is None else float(there[-1])


def check_best(best: str, who: str) -> None:
    """Raises InputError where ``who`` has its best step by a metric of test."""
    if best.startswith("test/"):
        raise InputError(
            f"{who} its best step by {best}, and a step is not chosen on test; use --at last"
        )


def best_rule(result: Result) -> tuple[str, bool]:
    """The metric by which a run chose its best step, and whether the largest value is the best.

    Raises:
        InputError: where that metric is one of test, or its direction was not recorded.
    """
    from bigmodel.runtime.settings import Run  # brings JAX with it

    directory = RunDirectory(result.directory)
    run = (directory.read_json(CONFIG) or {}).get("run", {})
    best = run.get("best", Run.best)
    check_best(best, f"{result.directory} chose")
    names = (directory.read_json(MANIFEST) or {}).get("maximize")
    if names is not None:
        return best, is_maximized(best, names)
    if "maximize" in run:  # an option of earlier versions
        return best, run["maximize"]
    raise InputError(
        f"{result.directory} does not record whether more {best} is better; use --at last"
    )
