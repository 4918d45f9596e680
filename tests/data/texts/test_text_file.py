import gzip
from pathlib import Path

import pytest

from bigmodel.data.texts.text_file import (
    is_of_letters,
    normalized,
    read_lines,
    read_text,
    words_of,
)

LINES = ["größe\t1", "", "two\t2"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_the_same_lines_are_read_however_they_are_written(write, encoding, end, pack):
    for last in ("", end, 3 * end, end + "\t" + end):
        content = (end.join(LINES) + last).encode(encoding)
        path = Path(write(pack(content)))
        assert read_lines(path) == LINES
        assert read_text(path) == end.join(LINES) + last


def test_a_carriage_return_inside_of_a_line_is_kept(write):
    assert read_lines(Path(write(b"a\rb\nc\n"))) == ["a\rb", "c"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (gzip.compress(b"", mtime=0), "is empty"),
        (gzip.compress(b"some text", mtime=0)[:-9], "cannot be read"),
        (b"PK\x03\x04...", "is a ZIP archive, as Excel workbooks are"),
        (b"BZh9...", "is packed by bzip2"),
        ("some text".encode("utf-16-le"), "is UTF-16 or no text"),
        (b"\xff\xfea", "line 1 is not utf-16 text"),
        (b"ab\xe9", "line 1 is not UTF-8 text: byte 2 of the line is 0xe9"),
        (b"a\r\nb\r\n\xe9", "line 3 is not UTF-8 text: byte 0 of the line is 0xe9"),
    ],
)
def test_what_holds_no_text_is_refused_in_one_line(write, content, message, refused):
    path = write(content)
    with refused(f"{path}.*{message}"):
        read_text(Path(path))


def test_paths_that_cannot_be_read_are_named(tmp_path, refused):
    for path, message in (
        (tmp_path / "absent", "does not exist"),
        (tmp_path, "is a directory"),
        (tmp_path / (300 * "x"), "File name too long"),
        (tmp_path / "a\0b", "cannot be read"),
    ):
        with refused(message):
            read_text(path)


def test_blank_lines_alone_are_no_content(write, refused):
    with refused("is empty"):
        read_lines(Path(write(b"\n \n\t\n")))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("हिन्दी भाषा।", ["हिन्दी", "भाषा", "।"]),
        ("বাংলা ১২", ["বাংলা", "১২"]),
        ("שָׁלוֹם, כִּתָּה", ["שָׁלוֹם", ",", "כִּתָּה"]),
        ("كِتَابٌ جَدِيد", ["كِتَابٌ", "جَدِيد"]),
        ("می\u200cکنم", ["می\u200cکنم"]),
        ("ക്ഷ അവന്\u200d", ["ക്ഷ", "അവന്\u200d"]),
        ("don't go_on: 2nd “ß”", ["don", "'", "t", "go_on", ":", "2nd", "“", "ß", "”"]),
        ("x\u0303y 👩\u200d🚀", ["x\u0303y", "👩", "\u200d", "🚀"]),
    ],
)
def test_a_word_is_letters_with_their_marks(text, words):
    assert words_of(text) == words


def test_numbers_and_signs_are_not_of_letters():
    words = ("हिन्दी", "שָׁלוֹם", "می\u200cکنم", "naïve", "x", "२०", "a1", "_", "।", "\u093f", "")
    assert [is_of_letters(word) for word in words] == [True] * 5 + [False] * 6


def test_names_that_look_the_same_are_the_same():
    assert normalized("gro\u0308\u00dfe ") == normalized("\ufeff gr\u00f6\u00dfe\u200b") == "größe"
