"""A line for each run, for a spreadsheet or another program."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from typing import Any

from bigmodel.studies.reporting.content import Report
from bigmodel.studies.statistics.scores import Score

LAST = ("seconds", "first_step_seconds", "parameters", "params_digest")


def results_csv(report: Report) -> str:
    """All runs in the order of the study, whole numbers and floats as Python writes them.

    Only the columns of seconds may differ between two studies of the same runs. What a
    spreadsheet would take for a formula begins with an apostrophe.
    """
    others = [name for name in sorted(report.metrics) if name != report.metric]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    header = ["cell", *report.study.varied, "seed", "state", "reason", "step", report.metric]
    writer.writerow([no_formula(name) for name in (*header, *others, *LAST)])
    for score in report.scores:
        line = (*_begin(report, score), *_end(score, others))
        writer.writerow([no_formula(text) for text in line])
    return buffer.getvalue()


def _begin(report: Report, score: Score) -> Iterator[str]:
    result = score.result
    yield result.cell.name
    for name in report.study.varied:
        yield result.cell.options.get(name, "")
    yield from (str(result.seed), result.state, result.reason)
    yield _text(score.step)
    yield _text(score.value if math.isfinite(score.value) else None)


def _end(score: Score, others: list[str]) -> Iterator[str]:
    for name in (*others, *LAST):
        yield _text(score.result.summary.get(name))


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def no_formula(text: str) -> str:
    """The text, with an apostrophe before what a spreadsheet would compute; not before numbers."""
    if not text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text
