"""Docstrings of installed packages: what follows the first line, and the line that sums it up."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from bigmodel.data.packaged import packaged
from bigmodel.data.texts.pair_file import Pair

PACKAGES = ("numpy", "scipy", "sklearn", "jax", "flax", "optax", "matplotlib")
"""Scientific packages that this one needs itself."""
TRIPLE = re.compile(r'(^[ \t]+[rR]?)?"""(.*?)"""', re.DOTALL | re.MULTILINE)
"""A string in triple quotes; a docstring where nothing but blanks is before it on its line."""
LINE = re.compile(r"[A-Z][^\n]*(?:\n[^\n]+)?\.")
RULER = re.compile(r"[-=~^*.]{3,}")
SHORTEST, LONGEST, ENOUGH = 4, 25, 20
"""Words of a summary, and the fewest of what follows it."""
READ = 1000
"""Characters of what follows that are kept."""


def read_docstrings() -> list[Pair]:
    """The summary of each docstring as the target of what follows it, each text once.

    Files are read in the order of their paths and not imported; those of tests are left out. Of
    one summary that several docstrings have, the first counts, so that no part of the data has
    another's target.
    """
    found: list[Pair] = []
    seen: set[str] = set()
    for package in PACKAGES:
        folder = packaged(package, "__init__.py").parent
        for path in sorted(folder.rglob("*.py")):
            if not any(part.startswith("test") for part in path.relative_to(folder).parts):
                for summary, rest in pairs_of(path):
                    if not {summary, rest} & seen:
                        found.append(Pair(rest, (summary,), ""))
                        seen |= {summary, rest}
    return found


def pairs_of(path: Path) -> Iterator[tuple[str, str]]:
    """The summaries in a file, and what follows each in its docstring."""
    for indent, content in TRIPLE.findall(path.read_text(encoding="utf-8", errors="ignore")):
        if not indent:
            continue
        first, _, rest = inspect.cleandoc(content).partition("\n\n")
        summary, rest = " ".join(first.split()), " ".join(RULER.sub(" ", rest).split())
        fits = SHORTEST <= len(summary.split()) <= LONGEST and len(rest.split()) >= ENOUGH
        if fits and LINE.fullmatch(first):
            yield summary, rest if len(rest) <= READ else rest[:READ].rpartition(" ")[0]
