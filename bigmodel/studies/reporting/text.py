"""A report as text: Markdown and LaTeX."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bigmodel.studies.reporting.cell_tables import (
    Table,
    cells_table,
    effects_table,
    left_out_table,
    short_table,
)
from bigmodel.studies.reporting.content import (
    Report,
    notes,
    statistics_words,
    step_rule,
    warnings,
)

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
"""Letters that the usual fonts of LaTeX have."""


def one_line(text: str) -> str:
    """A text without line breaks and without what a terminal would obey."""
    line = " ".join(text.split())
    return "".join(character if character.isprintable() else "\ufffd" for character in line)


def markdown(report: Report) -> str:
    """All tables and what to know before them."""
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
    """A text that Markdown shows as it is, in a table too."""
    line = one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~#!$])", r"\\\1", line)


def latex(report: Report) -> str:
    """A table with its caption, that needs no package."""
    table = short_table(report, report.rows)
    columns = "".join("l" if at in table.words else "r" for at in range(len(table.header)))
    lines = [" & ".join(map(escape_latex, table.header))]
    lines += [" & ".join(escape_latex(entry.text) for entry in row) for row in table.rows]
    head, *body = (f"    {line} \\\\" for line in lines)
    caption = (
        f"{report.title}, {step_rule(report)}. Baseline: {report.baseline.name}. "
        f"{statistics_words(('95 % interval', 'difference', 'p (Holm)'))}."
    )
    return "\n".join(
        [
            "% needs no package",
            r"\begin{table}",
            r"  \centering",
            f"  \\begin{{tabular}}{{{columns}}}",
            r"    \hline",
            head,
            r"    \hline",
            *body,
            r"    \hline",
            r"  \end{tabular}",
            f"  \\caption{{{escape_latex(caption)}}}",
            r"\end{table}",
            "",
        ]
    )


def escape_latex(text: str) -> str:
    """A text that LaTeX sets as it is; what its usual fonts lack, by its number in Unicode."""

    def escape(character: str) -> str:
        if character in LATEX:
            return LATEX[character]
        plain = character.isascii() or character in LATIN
        return character if plain else f"(U+{ord(character):04X})"

    return "".join(map(escape, one_line(text)))
