"""A report as Markdown, LaTeX and CSV, and the short table on the terminal."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator

from bigmodel.pages.tables import Table
from bigmodel.studies.reporting.cell_tables import (
    cells_table,
    effects_table,
    left_out_table,
    short_table,
)
from bigmodel.studies.reporting.content import Report, notes, statistics_words, step_rule, warnings
from bigmodel.studies.statistics.scores import best_rows
from bigmodel.tracking.progress import say
from bigmodel.tracking.tables import show_table

LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "`": r"\textasciigrave{}",
    "[": "{[}",
    "*": "{*}",
    "\N{EN DASH}": "--",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
LATIN = frozenset(map(chr, range(0xC0, 0x100))) - {"\N{MULTIPLICATION SIGN}", "\N{DIVISION SIGN}"}
"""Letters that LaTeX's default fonts have."""

LAST = ("seconds", "first_step_seconds", "parameters", "params_digest")
MOST = 20
"""The largest number of cells that are printed; of more, the baseline and the best."""


def one_line(text: str) -> str:
    """A text without line breaks and terminal control characters."""
    line = " ".join(text.split())
    return "".join(character if character.isprintable() else "\ufffd" for character in line)


def markdown(report: Report) -> str:
    """Renders all tables and notes as Markdown."""
    return "\n".join(_markdown(report)) + "\n"


def _markdown(report: Report) -> Iterator[str]:
    yield f"# {escape_markdown(report.name)}"
    yield ""
    for warning in warnings(report):
        yield f"> **Note:** {escape_markdown(warning)}."
        yield ">"
    yield ""
    for name, words in notes(report):
        yield f"- **{name}**: {escape_markdown(words)}"
    yield from _section("Cells", cells_table(report))
    if isinstance(report.effects, str):
        yield from ("", "## Main effects", "", f"None: {escape_markdown(report.effects)}.")
    else:
        yield from _section("Main effects", effects_table(report, report.effects))
    left_out = left_out_table(report)
    if left_out.rows:
        yield from _section("Runs that are in no mean", left_out)


def _section(title: str, table: Table) -> Iterator[str]:
    yield from ("", f"## {title}", "")
    yield "| " + " | ".join(map(escape_markdown, table.header)) + " |"
    columns = range(len(table.header))
    yield "|" + "|".join(" --- " if at in table.words else " ---: " for at in columns) + "|"
    for row in table.rows:
        yield "| " + " | ".join(escape_markdown(entry.text) for entry in row) + " |"


def escape_markdown(text: str) -> str:
    """Escapes a text for Markdown, also in a table."""
    line = one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~#!$])", r"\\\1", line)


def latex(report: Report) -> str:
    """Renders a table with its caption as LaTeX that needs no package."""
    table = short_table(report, report.rows)
    columns = "".join("l" if at in table.words else "r" for at in range(len(table.header)))
    lines = [" & ".join(map(escape_latex, table.header))]
    lines += [" & ".join(escape_latex(entry.text) for entry in row) for row in table.rows]
    head, *body = (f"    {line} \\\\" for line in lines)
    caption = (
        f"{report.title}, {step_rule(report)}. Baseline: {report.baseline.name}. "
        f"{statistics_words(('95 % interval', 'difference', 'p (Holm)'))}."
    )
    rows = "\n".join(body)
    return rf"""% needs no package
\begin{{table}}
  \centering
  \begin{{tabular}}{{{columns}}}
    \hline
{head}
    \hline
{rows}
    \hline
  \end{{tabular}}
  \caption{{{escape_latex(caption)}}}
\end{{table}}
"""


def escape_latex(text: str) -> str:
    """Escapes a text for LaTeX; characters that its fonts lack become their code points."""

    def escape(character: str) -> str:
        if character in LATEX:
            return LATEX[character]
        plain = character.isascii() or character in LATIN
        return character if plain else f"(U+{ord(character):04X})"

    return "".join(map(escape, one_line(text)))


def results_csv(report: Report) -> str:
    """Renders a line for each run, in the order of the study, as CSV.

    Only the columns of seconds may differ between two studies of the same runs. What a
    spreadsheet would take for a formula begins with an apostrophe.
    """
    others = [name for name in sorted(report.metrics) if name != report.metric]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    header = ["cell", *report.study.varied, "seed", "state", "reason", "step", report.metric]
    writer.writerow(map(no_formula, (*header, *others, *LAST)))
    for score in report.scores:
        result = score.result
        values = (
            result.cell.name,
            *(result.cell.options.get(name) for name in report.study.varied),
            result.seed,
            result.state,
            result.reason,
            score.step,
            score.value if math.isfinite(score.value) else None,
            *(result.summary.get(name) for name in (*others, *LAST)),
        )
        writer.writerow(no_formula("" if value is None else str(value)) for value in values)
    return buffer.getvalue()


def no_formula(text: str) -> str:
    """Puts an apostrophe before a text that a spreadsheet would take for a formula."""
    if not text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


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
        best = "the baseline and the best" if report.compares else "the best"
        say(f"{best} of {len(report.rows)} cells; results.md has all")
    for warning in warnings(report):
        say(f"note: {one_line(warning)}")
