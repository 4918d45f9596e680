"""What a report prints: a short table, and what to know with it."""

from __future__ import annotations

from bigmodel.studies.reporting.cell_tables import short_table
from bigmodel.studies.reporting.content import Report, step_rule, warnings
from bigmodel.studies.reporting.text import one_line
from bigmodel.studies.statistics.scores import best_rows
from bigmodel.studies.tables import show_table
from bigmodel.tracking.progress import say

MOST = 20
"""Cells that are shown; of more, the baseline and the best."""


def show_report(report: Report) -> None:
    """Prints the cells, or the best of many, and the warnings."""
    rows = list(report.rows)
    if len(rows) > MOST:
        rows = best_rows(rows, report.baseline, maximize=report.maximize, count=MOST)
    table = short_table(report, rows)
    header = [one_line(name) for name in table.header]
    say(f"{one_line(report.name)}: {report.title}, {step_rule(report)}")
    say(f"baseline {one_line(report.baseline.name)}")
    show_table(
        header,
        [[one_line(entry.text) for entry in row] for row in table.rows],
        right=[name for at, name in enumerate(header) if at not in table.words],
    )
    if len(rows) < len(report.rows):
        say(f"the baseline and the best of {len(report.rows)} cells; results.md has all")
    for warning in warnings(report):
        say(f"note: {one_line(warning)}")
