"""An audit of groups as tables, notes and plain values, independent of how they are written."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bigmodel.analysis.estimates import DRAWS, Estimate
from bigmodel.analysis.fairness.comparison import Comparison, Difference, comparable, criteria
from bigmodel.analysis.fairness.grouping import MISSING
from bigmodel.analysis.fairness.rates import CALIBRATION, CHANCE, MEANING
from bigmodel.pages.tables import NOTHING, Entry, Table, interval, number

ALL = "all examples"


@dataclass(frozen=True)
class Report:
    """An audit of the groups of one split of a run.

    ``positive`` is the class whose rates are compared. Where none of several classes is asked for,
    ``classes`` has the differences of the rates of each against the rest. ``chance`` are the
    calibration errors by chance, of all examples and of each group; empty for a regressor.
    """

    run: str
    step: int
    split: str
    options: tuple[str, ...]
    positive: str | None
    comparison: Comparison
    chance: tuple[float, ...]
    classes: Mapping[str, Mapping[str, Difference]]
    seed: int

    @property
    def title(self) -> str:
        """What was audited."""
        return f"{self.run} by {self.comparison.groups.name}"

    @property
    def shares(self) -> tuple[str, ...]:
        """The metrics that are shares of the examples."""
        no_shares = (CALIBRATION, "log loss", "ROC AUC")
        return tuple(n for n in self.comparison.by_group if self.chance and n not in no_shares)


def notes(report: Report) -> list[tuple[str, str]]:
    """What a reader must know before the numbers, as pairs of a name and a text."""
    found = report.comparison
    rates = f"those of {report.positive!r}" if report.positive else "those of no single class"
    return [
        ("run", f"{report.run}, step {report.step}"),
        ("examples", f"{sum(found.counts)}, the split {report.split}"),
        ("data", " ".join(report.options) or "the run's own"),
        ("groups", f"{len(found.groups.names)}, by {found.groups.name}"),
        *([("rates", rates)] if report.chance else []),
        (
            "intervals",
            f"95 %: of shares Wilson's, of all else percentiles of {DRAWS} bootstrap samples of "
            "the group (fewer where it has more than 20,000 examples)",
        ),
        (
            "p",
            "how often random groups of the same sizes differ at least as much; not corrected for "
            "the number of metrics",
        ),
        ("seed of what is drawn", str(report.seed)),
    ]


def warnings(report: Report) -> list[str]:
    """What the numbers do not show."""
    found, names = report.comparison, report.comparison.groups.names
    said = []
    small = [name for name, n in zip(names, found.counts, strict=True) if n < found.smallest]
    if small:
        said.append(
            f"{len(small)} of {len(names)} groups are too small, with fewer than {found.smallest} "
            f"examples, and are in no difference: {_listed(small)}"
        )
    for metric, estimates in found.by_group.items():
        chosen = comparable(estimates, found.smallest)
        out = [n for at, n in enumerate(names) if at not in chosen and n not in small]
        if out and len(out) < len(names):
            said.append(
                f"the {metric} of {_listed(out)} is of fewer than {found.smallest} examples"
            )
    if not found.differences:
        said.append("there are no two groups that are large enough to be compared")
    missing = sum(n for name, n in zip(names, found.counts, strict=True) if MISSING in name)
    if missing:
        said.append(f"{missing} examples have no value in {found.groups.name}: {MISSING}")
    if report.chance:
        said.append(
            f"a small group has a larger {CALIBRATION} by chance alone; compare it with the column "
            f"{CHANCE!r}"
        )
    said.append(
        "equal rates are no proof of fairness, nor unequal ones of the opposite: where the classes "
        "are not equally frequent in the groups, not all of these rates can be equal at once "
        "(Chouldechova, 2017)"
    )
    return said


def _listed(names: Sequence[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more


def groups_table(report: Report, *, most: int | None = None) -> Table:
    """All examples, and then each group: the first ``most`` metrics, or all of them."""
    found = report.comparison
    metrics = list(found.by_group)[:most]
    header = ["group", "examples", *metrics]
    names = (ALL, *found.groups.names)
    counts = (int(found.counts.sum()), *found.counts.tolist())
    rows = [[Entry(name), Entry(f"{n:,}", n)] for name, n in zip(names, counts, strict=True)]
    for metric in metrics:
        estimates = (found.overall[metric], *found.by_group[metric])
        digits = 3 if metric in report.shares else decimals(estimates)
        for row, one in zip(rows, estimates, strict=True):
            row.append(_estimate(one, digits, found.smallest))
    if report.chance and most is None:
        header.append(CHANCE)
        for row, value in zip(rows, report.chance, strict=True):
            row.append(number(value, 3))
    return Table(tuple(header), frozenset({0}), tuple(map(tuple, rows)))


def decimals(estimates: Sequence[Estimate]) -> int:
    """Three decimals; fewer where the largest value is above 10, and more where it is below 0.1."""
    largest = max((abs(one.value) for one in estimates if math.isfinite(one.value)), default=0.0)
    if not largest:
        return 3
    return min(8, max(0, (3 if largest >= 1 else 2) - math.floor(math.log10(largest))))


def _estimate(one: Estimate, digits: int, smallest: int) -> Entry:
    entry = number(one.value, digits)
    if entry.text == NOTHING:
        return entry
    if one.examples < smallest:
        return Entry(f"{entry.text} of {one.examples}, too few", one.value)
    if math.isnan(one.low):
        return entry
    return Entry(f"{entry.text} ({interval(one.low, one.high, digits).text})", one.value)


def differences_table(report: Report) -> Table:
    """The difference of each metric between the groups with the least and the greatest value."""
    header = ("metric", "difference", "ratio", "least", "greatest", "groups", "p")
    rows = []
    for metric, one in report.comparison.differences.items():
        digits = 3
        if metric not in report.shares:
            digits = decimals(report.comparison.by_group[metric])
        rows.append(
            (
                Entry(metric),
                number(one.difference, digits),
                number(one.ratio, 2),
                Entry(one.least),
                Entry(one.greatest),
                Entry(str(one.groups), one.groups),
                _p(one.p),
            )
        )
    return Table(header, frozenset({0, 3, 4}), tuple(rows))


def criteria_table(report: Report) -> Table:
    """The criteria of fairness: of the positive class, or of the class that is worst in each."""
    rows = []
    for name, (difference, ratio, worst) in criteria_of(report).items():
        extra = () if report.positive else (Entry(worst),)
        rows.append((Entry(name), number(difference, 3), number(ratio, 2), *extra))
    header = ("criterion", "difference", "ratio", *(() if report.positive else ("of the class",)))
    return Table(header, frozenset({0, 3}), tuple(rows))


def criteria_of(report: Report) -> dict[str, tuple[float, float, str]]:
    """The difference and ratio of each criterion, and the class of the largest difference."""
    if report.positive:
        found = criteria(report.comparison.differences)
        return {name: (*pair, report.positive) for name, pair in found.items()}
    worst: dict[str, tuple[float, float, str]] = {}
    for label, differences in report.classes.items():
        for name, pair in criteria(differences).items():
            worst[name] = max(worst.get(name, (-1.0, 0.0, "")), (*pair, label))
    return worst


def classes_table(report: Report) -> Table:
    """The differences of the rates of each class against the rest."""
    rates = list(dict.fromkeys(name for found in report.classes.values() for name in found))
    rows = [
        (
            Entry(label),
            *(_with_p(found[name]) if name in found else Entry(NOTHING) for name in rates),
        )
        for label, found in report.classes.items()
    ]
    return Table(("class against the rest", *rates), frozenset({0}), tuple(rows))


def _with_p(one: Difference) -> Entry:
    return Entry(f"{number(one.difference, 3).text} (p {_p(one.p).text})", one.difference)


def _p(value: float) -> Entry:
    return number(value, 3)


def meanings(report: Report) -> list[tuple[str, str]]:
    """What each metric is."""
    names = [*report.comparison.by_group, *([CHANCE] if report.chance else [])]
    return [(name, MEANING[name]) for name in names]


def plain(report: Report) -> dict[str, Any]:
    """The report as values for JSON; null stands where there is no value."""
    found = report.comparison

    def estimate(one: Estimate) -> dict[str, Any]:
        too_few = one.examples < found.smallest
        return {**{k: _finite(v) for k, v in one._asdict().items()}, "too_few": too_few}

    def differences(of: Mapping[str, Difference]) -> dict[str, Any]:
        return {_key(n): {k: _finite(v) for k, v in d._asdict().items()} for n, d in of.items()}

    def group(at: int) -> Iterator[tuple[str, Any]]:
        yield "examples", int(found.counts[at])
        yield "metrics", {_key(n): estimate(some[at]) for n, some in found.by_group.items()}
        if report.chance:
            yield "calibration_error_by_chance", _finite(report.chance[1 + at])

    return {
        "run": report.run,
        "step": report.step,
        "split": report.split,
        "options": list(report.options),
        "by": found.groups.name,
        "positive": report.positive,
        "smallest": found.smallest,
        "seed": report.seed,
        "examples": int(found.counts.sum()),
        "overall": {_key(name): estimate(one) for name, one in found.overall.items()},
        "groups": {name: dict(group(at)) for at, name in enumerate(found.groups.names)},
        "differences": differences(found.differences),
        "criteria": {
            _key(name): {"difference": one, "ratio": _finite(ratio), "class": label}
            for name, (one, ratio, label) in criteria_of(report).items()
        },
        "classes": {label: differences(of) for label, of in report.classes.items()},
        "warnings": warnings(report),
    }


def _key(metric: str) -> str:
    return metric.lower().replace(" ", "_")


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
