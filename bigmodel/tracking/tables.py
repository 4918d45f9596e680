"""Tables on the standard output: drawn on a terminal, aligned columns elsewhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Sequence
from typing import Any, Literal

from bigmodel.tracking.progress import say

GAP = "  "
ABSENT = "-"


def option_text(value: Any) -> str:
    """The value of an option, as in ``config.json``."""
    return json.dumps(value, ensure_ascii=False)


def number_text(value: float | None, digits: int = 5) -> str:
    """A metric with this many significant digits; None was not finite."""
    return "not finite" if value is None else f"{value:.{digits}g}"


def show_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[str] = ()
) -> None:
    """Prints a table. Nothing is cut off: on a terminal long cells are folded.

    The columns ``right`` are aligned on the right and never folded, such as numbers.
    """
    if sys.stdout.isatty():
        _draw(header, rows, right)
        return
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    for row in (header, *rows):
        cells = [
            cell.rjust(width) if name in right else cell.ljust(width)
            for name, cell, width in zip(header, row, widths, strict=True)
        ]
        say(GAP.join(cells).rstrip())


def _draw(header: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[str]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in header:
        justify: Literal["left", "right"] = "right" if name in right else "left"
        table.add_column(Text(name), justify=justify, overflow="fold", no_wrap=name in right)
    for row in rows:
        # What options hold is no markup.
        table.add_row(*map(Text, row))
    Console(highlight=False).print(table)
