"""Names from options stand in Markdown, LaTeX, a terminal and a spreadsheet as they are."""

import re

from bigmodel.studies.reporting.text import escape_latex, escape_markdown, no_formula, one_line


def test_markdown_shows_what_is_markup_as_it_is() -> None:
    escaped = escape_markdown("a|b\n<i>*c*</i> `d` [e](f) $x$ \\")
    assert "\n" not in escaped
    assert not re.search(r"(?<!\\)[|*`\[$]|<", escaped)
    shown = re.sub(r"\\(.)", r"\1", escaped).replace("&lt;", "<").replace("&gt;", ">")
    assert shown == "a|b <i>*c*</i> `d` [e](f) $x$ \\"


def test_latex_gets_no_markup_and_nothing_that_is_not_in_its_fonts() -> None:
    assert escape_latex("&%$#_{}") == r"\&\%\$\#\_\{\}"
    escaped = escape_latex("[\\\\ ~^<>|* é 中\x1b")
    assert escaped.isascii() or set(filter(lambda c: not c.isascii(), escaped)) == {"é"}
    commands = set(re.findall(r"\\(\w+|.)", escaped))
    assert commands == {
        "textbackslash", "textasciitilde", "textasciicircum", "textless", "textgreater", "textbar",
    }  # fmt: skip
    assert escaped.startswith("{[}")
    assert "{*}" in escaped
    assert "(U+4E2D)" in escaped


def test_terminal_gets_no_control_character() -> None:
    assert one_line("a\x1b[31m\nb\tc\x00") == "a\ufffd[31m b c\ufffd"


def test_spreadsheet_computes_nothing_and_numbers_and_words_stay_as_they_are() -> None:
    for text in ("=1+1", "+1+1", "-x", "@sum", "\t=1", "\r=1", "-1-1"):
        assert no_formula(text) == f"'{text}"
    for text in ("-1", "+0.5", "-1e-3", "adam", "1=1", ""):
        assert no_formula(text) == text
