"""The content of a report, independent of the format in which it is written."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bigmodel.experiment import InputError
from bigmodel.run_directory.changes import describe_code, flags
from bigmodel.run_directory.directory import MANIFEST, RunDirectory
from bigmodel.run_directory.manifest import examples_of
from bigmodel.studies.metric import FINISHED, best_rule, choose_metric, larger_is_better, metrics_of
from bigmodel.studies.runs import ENDED, Result, read_results
from bigmodel.studies.statistics.scores import (
    Effect,
    Row,
    Score,
    find_baseline,
    main_effects,
    score_cells,
)
from bigmodel.studies.statistics.statistics import (
    EFFECT,
    FEWEST,
    IMPROVEMENT,
    INTERVAL,
    TEST,
    too_few,
)
from bigmodel.studies.study import Cell, Study, read_study

NAMES = {
    "processes": "process_count",
    "cores": "cores",
    "processor": "processor",
    "system": "platform",
    "Python": "python",
}
"""Facts that a manifest holds as they are, by their names in a report."""


class Fact(NamedTuple):
    """One fact about the runs: each value, and the number of runs that have it."""

    name: str
    values: tuple[tuple[str, int], ...]

    @property
    def shared(self) -> bool:
        """Whether all runs have the same value."""
        return len(self.values) == 1


@dataclass(frozen=True)
class Report:
    """The results of a study in one metric.

    ``rows`` are in the order of the study. ``effects`` may be the words that say why there are
    none. ``metrics`` are the names of all final metrics.
    """

    name: str
    study: Study
    metric: str
    maximize: bool
    at: str
    baseline: Cell
    rows: tuple[Row, ...]
    effects: tuple[Effect, ...] | str
    facts: tuple[Fact, ...]
    metrics: tuple[str, ...]

    @property
    def scores(self) -> Iterator[Score]:
        """Yields all runs in the order of the study."""
        return (score for row in self.rows for score in row.scores)

    @property
    def compares(self) -> bool:
        """Whether the baseline has a finite value, with which others can be compared."""
        return any(row.cell.name == self.baseline.name and row.spread.count for row in self.rows)

    @property
    def title(self) -> str:
        """The metric, and whether larger or smaller is better."""
        return f"{self.metric} ({'larger' if self.maximize else 'smaller'} is better)"


def read_report(
    path: Path,
    *,
    metric: str | None = None,
    at: str | None = None,
    baseline: str | None = None,
    maximize: bool | None = None,
) -> Report:
    """Reads a study's folder. Arguments that are None default to the study's, or are chosen.

    Raises:
        InputError: where the folder is no study with a finished run, or what is asked for is
            not there.
    """
    study = read_study(path)
    if not study.cells or not study.seeds:
        raise InputError(f"{path} has no cells or no seeds; launch.py ablate makes a study anew")
    results = list(read_results(path, study))
    names = metrics_of(results)
    if not names:
        raise InputError(f"{path} has no finished run yet: {_states(results)}")
    known = ", ".join(names)
    chosen = choose_metric(study.metric if metric is None else metric, names)
    cell = find_baseline(study, study.baseline if baseline is None else baseline)
    ended = [result for result in results if result.state in ENDED]
    manifests = [RunDirectory(one.directory).read_json(MANIFEST) or {} for one in ended]
    # A run that does not have the metric knows nothing of its direction.
    having = [
        manifest
        for manifest, one in zip(manifests, ended, strict=True)
        if one.state in FINISHED and chosen in one.summary
    ]
    better = larger_is_better(having, chosen) if maximize is None else maximize
    rule = at or study.at
    rows = score_cells(study, results, metric=chosen, at=rule, baseline=cell, maximize=better)
    if not any(row.spread.count for row in rows):
        raise InputError(f"no run of {path} has a finite {chosen}; choose --metric of {known}")
    effects = main_effects(study, rows, cell, maximize=better)
    made, name = tuple(facts(manifests)), path.resolve().name
    return Report(name, study, chosen, better, rule, cell, tuple(rows), effects, made, tuple(names))


def _states(results: list[Result]) -> str:
    counts = Counter(result.state for result in results)
    return ", ".join(f"{count} {state}" for state, count in counts.items())


def notes(report: Report) -> list[tuple[str, str]]:
    """What a reader must know before the numbers, as pairs of a name and a text."""
    study = report.study
    results = [score.result for score in report.scores]
    shared = [f"{fact.name} {fact.values[0][0]}" for fact in report.facts if fact.shared]
    seeds = " ".join(map(str, study.seeds))
    varied = [
        f"{name}: {_values(dict.fromkeys(cell.options.get(name, '-') for cell in study.cells))}"
        for name in study.varied
    ]
    return [
        ("script", study.script),
        ("options of all cells", " ".join(study.options) or "none"),
        ("varied", "; ".join(varied) or "nothing"),
        ("cells and seeds", f"{len(study.cells)} x {len(study.seeds)}, seeds {seeds}"),
        ("runs", _states(results)),
        ("baseline", report.baseline.name),
        ("metric", report.title),
        ("step", step_rule(report)),
        ("statistics", statistics_words()),
        ("made with", ", ".join(shared) or "nothing that all runs share"),
    ]


def _values(values: Iterable[str], limit: int = 12) -> str:
    """Joins values with commas; of many, only the first ones and the last."""
    names = list(values)
    if len(names) > limit:
        names = [*names[: limit // 2], f"... ({len(names)} values)", names[-1]]
    return ", ".join(names)


def step_rule(report: Report) -> str:
    """Says which step of each run counts."""
    if report.at == "last":
        return "the last one of each run"
    first = next(score.result for score in report.scores if score.result.state in FINISHED)
    best, maximize = best_rule(first)
    size = "largest" if maximize else "smallest"
    return f"the one of each run at which its {best} was {size}; never chosen on test"


def statistics_words(names: Collection[str] | None = None) -> str:
    """Explains the statistics of all columns, or of some."""
    words = {
        "mean": "that of the finished runs",
        "95 % interval": INTERVAL,
        "difference": "mean over the seeds of cell - baseline, its interval not corrected for the "
        "number of comparisons",
        "P(better)": IMPROVEMENT,
        "p": TEST,
        "p (Holm)": f"{'' if names is None else f'{TEST}, '}corrected for the number of "
        "comparisons (Holm, 1979)",
        "effect": EFFECT,
    }
    return "; ".join(
        f"{name}: {text}" for name, text in words.items() if names is None or name in names
    )


def warnings(report: Report) -> list[str]:
    """Warnings about what the numbers do not show."""
    found = []
    varies_data = any(name.startswith("data.") for name in report.study.varied)
    for fact in report.facts:
        if not fact.shared and not (fact.name == "data" and varies_data):
            total = sum(count for _, count in fact.values)
            values = _values([f"{value} in {count} of {total}" for value, count in fact.values])
            found.append(f"the runs do not share their {fact.name}: {values}")
    scores = list(report.scores)
    open_ = sum(score.result.state not in ENDED for score in scores)
    if open_:
        found.append(f"{open_} of {len(scores)} runs have not ended; their values are not here yet")
    lost = sum(score.result.state in ("not finite", "failed") for score in scores)
    if lost:
        found.append(
            f"{lost} of {len(scores)} runs were not finite or failed; means and intervals are of "
            "the others, and so look better than the cells are"
        )
    absent = sum(
        score.result.state in FINISHED and not math.isfinite(score.value) for score in scores
    )
    if absent:
        found.append(f"{absent} finished runs have no finite {report.metric}")
    if not report.compares:
        lacks = f"no finite {report.metric}"
        found.append(f"the baseline has {lacks}, so nothing is compared with it")
    found += _too_few(report)
    return found


def _too_few(report: Report) -> Iterator[str]:
    """What cannot be concluded because there are too few seeds."""
    counts = [row.comparison.count for row in report.rows if row.comparison is not None]
    few = sorted({count for count in counts if 0 < count < FEWEST})
    for count in few:
        yield f"{counts.count(count)} of {len(counts)} comparisons: {too_few(count)}"
    alone = max(row.spread.count for row in report.rows)
    if not counts and alone < FEWEST:
        yield f"{too_few(alone)}"


def facts(manifests: Iterable[Mapping[str, Any]]) -> list[Fact]:
    """What the runs were trained with; the most frequent value of each fact first."""
    counts: dict[str, Counter[str]] = {}
    for manifest in manifests:
        for name, value in _facts_of(manifest):
            counts.setdefault(name, Counter())[value] += 1
    return [Fact(name, tuple(found.most_common())) for name, found in counts.items()]


def _facts_of(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if not manifest:
        yield "manifest", "none"
        return
    yield "code", describe_code(manifest)
    starts = manifest.get("starts") or [manifest]
    devices = [f"{one.get('device_count')} x {one.get('device_kind')}" for one in starts]
    yield "device", " then ".join(dict.fromkeys(devices))
    for name, key in NAMES.items():
        if key in manifest:
            yield name, str(manifest[key])
    for package, version in (manifest.get("packages") or {}).items():
        if version is not None:
            yield package, version
    yield "XLA's flags", flags(manifest.get("xla_flags", "")) or "none"
    own = manifest.get("jax_flags") or {}
    yield "JAX's flags", " ".join(f"{name}={value}" for name, value in own.items()) or "none"
    yield "data", f"sha256 {str(examples_of(manifest))[:12]}"
