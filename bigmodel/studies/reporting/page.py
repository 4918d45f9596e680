"""A report as a single HTML page that needs no network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bigmodel.pages.page import Drawing, cautions, figure, table, text
from bigmodel.pages.page import notes as listed
from bigmodel.pages.page import page as whole
from bigmodel.studies.reporting.cell_tables import cells_table, effects_table, left_out_table
from bigmodel.studies.reporting.content import Report, notes, warnings


def page(
    report: Report, *, means: Drawing, effects: Drawing | None, curves: Sequence[Drawing]
) -> str:
    """Renders the page."""
    return whole(f"{report.name}: {report.metric}", _content(report, means, effects, curves))


def _content(
    report: Report, means: Drawing, effects: Drawing | None, curves: Sequence[Drawing]
) -> Iterator[str]:
    yield cautions(warnings(report))
    yield listed(notes(report))
    yield "<h2>Cells</h2>"
    baseline = report.baseline.name
    marked = [at for at, row in enumerate(report.rows) if row.cell.name == baseline]
    yield table(cells_table(report), marked=marked)
    yield figure(means)
    if curves:
        yield "<h2>Curves</h2>"
        yield f'<div class="curves">{"".join(map(figure, curves))}</div>'
    yield "<h2>Main effects</h2>"
    if isinstance(report.effects, str):
        yield f"<p>None: {text(report.effects)}.</p>"
    else:
        yield table(effects_table(report, report.effects))
        yield figure(effects) if effects else ""
    left_out = left_out_table(report)
    if left_out.rows:
        yield "<h2>Runs that are in no mean</h2>"
        shown = "" if len(left_out.rows) > 20 else " open"
        yield f"<details{shown}><summary>{len(left_out.rows)} runs</summary>"
        yield f"{table(left_out)}</details>"
