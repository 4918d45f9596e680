"""Attacks on a run as tables, notes, a page and plain values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bigmodel.analysis.estimates import Estimate
from bigmodel.analysis.membership.attack import FALSE_POSITIVE_RATES, Attack
from bigmodel.pages.page import Drawing, cautions, figure, page, table
from bigmodel.pages.page import notes as listed
from bigmodel.pages.tables import NOTHING, Entry, Table, interval, number
from bigmodel.tracking.progress import say
from bigmodel.tracking.tables import show_table

MEANING = (
    ("advantage", "true less false positive rate, at a threshold that is chosen on one half of the "
     "examples and judged on the other, and the other way round (Yeom et al., 2018); 0 is a guess, "
     "1 is certainty"),
    ("ROC AUC", "share of the pairs of a member and another in which the member has the greater "
     "score; 0.5 is a guess"),
    ("true positive rate", "share of the members that are found where no more of the others are "
     "taken for members than the head of the column says (Carlini et al., 2022)"),
)  # fmt: skip


@dataclass(frozen=True)
class Report:
    """What attacks find out of a run.

    ``losses`` are those of the members and of the others. ``bound`` is what no attack exceeds on
    a run that was trained with differential privacy, else None.
    """

    run: str
    step: int
    split: str
    losses: tuple[np.ndarray, np.ndarray]
    attacks: Sequence[Attack]
    references: tuple[str, ...]
    bound: float | None
    seed: int

    @property
    def title(self) -> str:
        """What was attacked."""
        return f"{self.run}: membership inference"


def notes(report: Report) -> list[tuple[str, str]]:
    """What a reader must know before the numbers, as pairs of a name and a text."""
    members, others = report.losses
    found = [
        ("run", f"{report.run}, step {report.step}"),
        ("members", f"{len(members):,} training examples, as an evaluation reads them"),
        ("others", f"{len(others):,} examples of the split {report.split}"),
        ("loss threshold", "an example of small loss is taken for a member"),
        (
            "intervals",
            "95 %: of the advantage that of a difference of two shares (Newcombe, 1998), of all "
            "else percentiles of bootstrap samples of members and others",
        ),
        ("seed of what is drawn", str(report.seed)),
    ]
    if report.references:
        how = "the same after the mean loss of the references is taken off, which know how hard an "
        how += f"example is (Watson et al., 2022): {', '.join(report.references)}"
        found.insert(4, ("calibrated loss", how))
    if report.bound is not None:
        bound = f"at most {report.bound:.3f} for any attack, by its epsilon and delta"
        found.insert(1, ("differential privacy", bound))
    return found


def warnings(report: Report) -> list[str]:
    """What the numbers do not show."""
    widest = max(one.advantage.high - one.advantage.low for one in report.attacks)
    found = [
        "an attack that finds nothing proves nothing: one that knows more, such as one that trains "
        "many networks of the same kind, may find more"
    ]
    if widest > 0.1:
        found.append(
            f"the interval of the advantage is {widest:.2f} wide, for there are few examples; a "
            "smaller advantage than that cannot be told from none"
        )
    if report.bound is not None:
        found += [
            f"{one.name}: the advantage is above what differential privacy allows, so the noise, "
            "the account or the attacked examples are not those of the run"
            for one in report.attacks
            if one.advantage.low > report.bound
        ]
    if not report.references:
        found.append(
            "without --reference the attack does not know which examples are easy for any network"
        )
    return found


def attacks_table(report: Report) -> Table:
    """A row for each attack."""
    header = ["attack", "advantage", "95 % interval", "ROC AUC", "95 % interval of AUC"]
    header += [f"true positive rate at {100 * rate:g} %" for rate in FALSE_POSITIVE_RATES]
    rows = [
        (
            Entry(one.name),
            number(one.advantage.value, 3),
            interval(one.advantage.low, one.advantage.high, 3),
            number(one.area.value, 3),
            interval(one.area.low, one.area.high, 3),
            *(_rate(one.rates[rate]) for rate in FALSE_POSITIVE_RATES),
        )
        for one in report.attacks
    ]
    return Table(tuple(header), frozenset({0}), tuple(rows))


def _rate(one: Estimate) -> Entry:
    entry = number(one.value, 3)
    if entry.text == NOTHING or math.isnan(one.low):
        return entry
    return Entry(f"{entry.text} ({one.low:.3f} to {one.high:.3f})", one.value)


def losses_table(report: Report) -> Table:
    """The losses of the members and of the others."""
    header = ("examples", "number", "mean loss", "median", "lowest tenth up to", "highest from")
    rows = []
    for name, losses in zip(("members", "others"), report.losses, strict=True):
        quantiles = np.quantile(losses, (0.5, 0.1, 0.9)).tolist()
        values = (number(value, 4) for value in (float(losses.mean()), *quantiles))
        rows.append((Entry(name), Entry(f"{len(losses):,}", len(losses)), *values))
    return Table(header, frozenset({0}), tuple(rows))


def membership_page(report: Report, drawings: Sequence[Drawing]) -> str:
    """Renders the page."""
    return page(report.title, _content(report, drawings))


def _content(report: Report, drawings: Sequence[Drawing]) -> Iterator[str]:
    yield cautions(warnings(report))
    yield listed(notes(report))
    yield "<h2>Attacks</h2>"
    yield table(attacks_table(report))
    yield from map(figure, drawings)
    yield "<h2>Losses</h2>"
    yield table(losses_table(report))
    yield "<h2>What the numbers are</h2>"
    yield listed(MEANING)


def show_membership(report: Report) -> None:
    """Prints the attacks and the warnings."""
    members, others = report.losses
    say(
        f"{report.title}: step {report.step}, {len(members)} members and {len(others)} others of "
        f"the split {report.split}"
    )
    found = attacks_table(report)
    right = [name for at, name in enumerate(found.header) if at not in found.words]
    rows = [[entry.text for entry in row] for row in found.rows]
    show_table(found.header, rows, right=right)
    if report.bound is not None:
        say(f"differential privacy: no attack has an advantage above {report.bound:.3f}")
    for warning in warnings(report):
        say(f"note: {warning}")


def plain(report: Report) -> dict[str, Any]:
    """The report as values for JSON; null stands where there is no value."""

    def estimate(one: Estimate) -> Mapping[str, Any]:
        return {k: None if v != v else v for k, v in one._asdict().items()}

    members, others = report.losses
    return {
        "run": report.run,
        "step": report.step,
        "split": report.split,
        "seed": report.seed,
        "members": {"examples": len(members), "mean_loss": float(members.mean())},
        "others": {"examples": len(others), "mean_loss": float(others.mean())},
        "references": list(report.references),
        "largest_advantage_by_privacy": report.bound,
        "attacks": {
            one.name: {
                "advantage": estimate(one.advantage),
                "roc_auc": estimate(one.area),
                "true_positive_rate_at": {f"{r:g}": estimate(e) for r, e in one.rates.items()},
            }
            for one in report.attacks
        },
        "warnings": warnings(report),
    }
