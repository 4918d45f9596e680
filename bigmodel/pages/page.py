"""A page as a single file of HTML. All text that is put on it is escaped."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from html import escape
from typing import NamedTuple

from bigmodel.pages.style import SCRIPT, STYLE
from bigmodel.pages.tables import Entry, Table


class Drawing(NamedTuple):
    """A figure as PNG and SVG, with the name of its file and a caption."""

    name: str
    caption: str
    png: bytes
    svg: str


def page(title: str, content: Iterable[str]) -> str:
    """A page with a title, and the elements below it."""
    name = text(title)
    return "\n".join(
        (
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{name}</title><style>{STYLE}</style></head><body><main>",
            f"<h1>{name}</h1>",
            *content,
            f"</main><script>{SCRIPT}</script></body></html>\n",
        )
    )


def cautions(warnings: Iterable[str]) -> str:
    """A box of what the numbers do not show; nothing where there is nothing to say."""
    items = "".join(f"<li>{text(warning)}.</li>" for warning in warnings)
    return f"<aside><strong>Before you conclude</strong><ul>{items}</ul></aside>" if items else ""


def notes(pairs: Iterable[tuple[str, str]]) -> str:
    """A list of names and what is said of each."""
    return f"<dl>{''.join(f'<dt>{text(a)}</dt><dd>{text(b)}</dd>' for a, b in pairs)}</dl>"


def table(content: Table, *, marked: Collection[int] = ()) -> str:
    """A table that is sorted by a click on a header; rows of some numbers are marked."""
    head = "".join(
        f'<th scope="col"{_kind(at, content)}><button type="button">{text(name)}</button></th>'
        for at, name in enumerate(content.header)
    )
    body = "".join(
        f"<tr{' class=baseline' if number in marked else ''}>"
        + "".join(_entry(entry, at, content) for at, entry in enumerate(row))
        + "</tr>"
        for number, row in enumerate(content.rows)
    )
    # With a tab stop, so that the box scrolls by the keyboard too.
    return (
        f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _entry(entry: Entry, at: int, content: Table) -> str:
    # An infinite one in the words of JavaScript.
    value = f"{entry.number!r}".replace("inf", "Infinity")
    number = "" if entry.number is None else f' data-number="{value}"'
    # In a box of its own, which a long word cannot make too wide.
    words = f"<div>{text(entry.text)}</div>" if at in content.words else text(entry.text)
    return f"<td{_kind(at, content)}{number}>{words}</td>"


def _kind(at: int, content: Table) -> str:
    return ' class="words"' if at in content.words else ""


def figure(drawing: Drawing) -> str:
    """A figure with its caption."""
    return f"<figure>{drawing.svg}<figcaption>{text(drawing.caption)}</figcaption></figure>"


def text(words: str) -> str:
    """Escapes a text and replaces the characters that HTML does not allow."""
    return escape("".join(c if c.isprintable() or c.isspace() else "\ufffd" for c in words))
