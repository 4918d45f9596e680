"""An audit of groups as a single page of HTML, and in short on the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bigmodel.analysis.fairness.report import (
    Report,
    classes_table,
    criteria_table,
    differences_table,
    groups_table,
    meanings,
    notes,
    warnings,
)
from bigmodel.pages.page import Drawing, cautions, figure, page, table
from bigmodel.pages.page import notes as listed
from bigmodel.pages.tables import Table
from bigmodel.tracking.progress import say
from bigmodel.tracking.tables import show_table

PRINTED = 4
"""Metrics that the terminal shows."""


def fairness_page(report: Report, drawings: Sequence[Drawing]) -> str:
    """Renders the page."""
    return page(report.title, _content(report, drawings))


def _content(report: Report, drawings: Sequence[Drawing]) -> Iterator[str]:
    yield cautions(warnings(report))
    yield listed(notes(report))
    yield "<h2>Groups</h2>"
    yield table(groups_table(report), marked=[0])
    yield from (figure(one) for one in drawings if one.name == "metrics")
    yield "<h2>Differences</h2>"
    if report.comparison.differences:
        yield table(differences_table(report))
    else:
        yield "<p>None: there are no two groups that are large enough.</p>"
    for title, found in (("Criteria", criteria_table(report)), ("Classes", classes_table(report))):
        if found.rows:
            yield f"<h2>{title}</h2>"
            yield table(found)
    calibration = [one for one in drawings if one.name == "calibration"]
    if calibration:
        yield "<h2>Calibration</h2>"
        yield from map(figure, calibration)
    yield "<h2>What the metrics are</h2>"
    yield listed(meanings(report))


def show_fairness(report: Report) -> None:
    """Prints the groups, the differences and the warnings."""
    say(f"{report.title}: step {report.step}, split {report.split}")
    _show(groups_table(report, most=PRINTED))
    for found in (differences_table(report), criteria_table(report)):
        if found.rows:
            say("")
            _show(found)
    for warning in warnings(report):
        say(f"note: {warning}")


def _show(found: Table) -> None:
    header = list(found.header)
    right = [name for at, name in enumerate(header) if at not in found.words]
    show_table(header, [[entry.text for entry in row] for row in found.rows], right=right)
