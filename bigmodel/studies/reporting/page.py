"""A report as a single HTML page that needs no network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from bigmodel.studies.reporting.cell_tables import (
    Entry,
    Table,
    cells_table,
    effects_table,
    left_out_table,
)
from bigmodel.studies.reporting.content import Report, notes, warnings
from bigmodel.studies.reporting.drawings import Drawing
from bigmodel.studies.reporting.style import SCRIPT, STYLE


def page(
    report: Report, *, means: Drawing, effects: Drawing | None, curves: Sequence[Drawing]
) -> str:
    """Renders the page. All text that comes from the study is escaped."""
    return "\n".join(_parts(report, means, effects, curves)) + "\n"


def _parts(
    report: Report, means: Drawing, effects: Drawing | None, curves: Sequence[Drawing]
) -> Iterator[str]:
    title = _text(f"{report.name}: {report.metric}")
    yield "<!DOCTYPE html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield '<meta name="color-scheme" content="light dark">'
    yield f"<title>{title}</title><style>{STYLE}</style></head><body><main>"
    yield f"<h1>{title}</h1>"
    found = warnings(report)
    if found:
        items = "".join(f"<li>{_text(warning)}.</li>" for warning in found)
        yield f"<aside><strong>Before you conclude</strong><ul>{items}</ul></aside>"
    pairs = (f"<dt>{_text(name)}</dt><dd>{_text(words)}</dd>" for name, words in notes(report))
    yield f"<dl>{''.join(pairs)}</dl>"
    yield "<h2>Cells</h2>"
    yield _table(cells_table(report), marked=report.baseline.name, report=report)
    yield _figure(means)
    if curves:
        yield "<h2>Curves</h2>"
        yield f'<div class="curves">{"".join(map(_figure, curves))}</div>'
    yield "<h2>Main effects</h2>"
    if isinstance(report.effects, str):
        yield f"<p>None: {_text(report.effects)}.</p>"
    else:
        yield _table(effects_table(report, report.effects))
        yield _figure(effects) if effects else ""
    left_out = left_out_table(report)
    if left_out.rows:
        yield "<h2>Runs that are in no mean</h2>"
        shown = "" if len(left_out.rows) > 20 else " open"
        yield f"<details{shown}><summary>{len(left_out.rows)} runs</summary>"
        yield f"{_table(left_out)}</details>"
    yield f"</main><script>{SCRIPT}</script></body></html>"


def _table(table: Table, *, marked: str | None = None, report: Report | None = None) -> str:
    head = "".join(
        f'<th scope="col"{_kind(at, table)}><button type="button">{_text(name)}</button></th>'
        for at, name in enumerate(table.header)
    )
    cells = [row.cell.name for row in report.rows] if report else [""] * len(table.rows)
    body = "".join(
        f"<tr{' class=baseline' if cell == marked else ''}>"
        + "".join(_entry(entry, at, table) for at, entry in enumerate(row))
        + "</tr>"
        for cell, row in zip(cells, table.rows, strict=True)
    )
    # With a tab stop, so that the box scrolls by the keyboard too.
    return (
        f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _entry(entry: Entry, at: int, table: Table) -> str:
    # An infinite one in the words of JavaScript.
    value = f"{entry.number!r}".replace("inf", "Infinity")
    number = "" if entry.number is None else f' data-number="{value}"'
    # In a box of its own, which a long word cannot make too wide.
    text = f"<div>{_text(entry.text)}</div>" if at in table.words else _text(entry.text)
    return f"<td{_kind(at, table)}{number}>{text}</td>"


def _kind(at: int, table: Table) -> str:
    return ' class="words"' if at in table.words else ""


def _figure(drawing: Drawing) -> str:
    caption = _text(drawing.caption)
    return f"<figure>{drawing.svg}<figcaption>{caption}</figcaption></figure>"


def _text(text: str) -> str:
    """Escapes a text and replaces the characters that HTML does not allow."""
    return escape("".join(c if c.isprintable() or c.isspace() else "\ufffd" for c in text))
