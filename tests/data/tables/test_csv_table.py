"""Cells of a file: what divides them, where they are, and which are missing."""

import csv
import gzip
from pathlib import Path

import pytest

from bigmodel.data.tables.csv_table import CsvFormat, read_csv


@pytest.fixture
def read(write):
    def read(content, fewest=2, **options):
        path = Path(write(content, "table.csv"))
        return read_csv(path, CsvFormat(**options), fewest=fewest)

    return read


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    "rows",
    [
        [["a", "b", "c"], ["1", "2", "x"], ["3", "4", "y"]],
        [['"a; in cm, | or\t kg"', "b", "c"], ["1", "2", "x"], ["3", "4", "y"]],
        [["a", "b", "c"], ['"1,5"', '"2;3"', '"x|y"'], ['"3,5"', '"2;4"', '"x|y"']],
        [["a", "b", "c"], ["one two", "2.5", "2020-01-01 10:30"], ["", "", ""]],
    ],
)
def test_the_delimiter_divides_all_lines_equally_outside_of_quotes(read, separator, rows):
    assert len(read("\n".join(map(separator.join, rows))).columns) == 3


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("Länge, cm;Breite, cm;Preis\n15,5;3,75;8\n15,0;4,75;7\n", "Länge, cm/Breite, cm/Preis"),
        ('"x, in cm";"y, in EUR"\n52.51;1\n47.36;2\n', "x, in cm/y, in EUR"),
        ("sep=;\na,b;c\n1;2\n", "a,b/c"),
        ('"sep=,"\r\na,b;c\r\n1,2\r\n', "a/b;c"),
        ("v\n1,5\n2,5\n", "v"),
    ],
)
def test_of_several_delimiters_it_is_the_one_that_leaves_numbers_whole(read, content, names):
    assert "/".join(read(content, fewest=1).columns) == names


def test_quotes_blank_lines_line_ends_and_gzip_are_read(read):
    content = '\ufeffa,b\r\n"x ""1"", y",1\r\n\r\n"two\r\nlines",2\r\nz,3'
    cells = read(gzip.compress(content.encode()))
    assert cells.columns == {"a": ['x "1", y', "two\nlines", "z"], "b": ["1", "2", "3"]}
    assert cells.lines.tolist() == [2, 4, 6]
    assert read("a,b\r1,2\r3,4\r").lines.tolist() == [2, 3]


def test_a_cell_may_be_longer_than_python_reads_by_itself(read):
    csv.field_size_limit(1 << 17)
    content = f"a,b\n1,{'x ' * 70_000}y\n2,z\n"
    assert [len(cell) for cell in read(content).columns["b"]] == [140_001, 1]


def test_names_that_look_the_same_are_the_same(read, refused):
    cells = read("gro\u0308\u00dfe,x\n1,2\n")
    for name in ("gr\u00f6\u00dfe", "gro\u0308\u00dfe", " größe"):
        assert cells.find(name, option="--data.target") == "größe"
    with refused(r"--data.target: .* no column 'grosse'; did you mean"):
        cells.find("grosse", option="--data.target")


def test_words_for_missing_values_are_those_of_the_option(read):
    words = ["", "NA", "NULL", "NaN", "n/a", "?", " ", "x", "-"]
    content = "a,b\n" + "".join(f"{word},1\n" for word in words)
    assert read(content).columns["a"] == [""] * 7 + ["x", "-"]
    assert read(content).words["a"] == ("?", "NA", "NULL", "NaN", "n/a")
    assert read(content, missing=()).columns["a"] == [word.strip() for word in words]
    assert read(content, missing=("-",)).columns["a"][5:] == ["?", "", "x", ""]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"table\.csv is empty"),
        (" \n\n", r"table\.csv is empty"),
        ("sep=;\n", r"table\.csv is empty"),
        ("a,b\n", r"table\.csv has a header and no rows"),
        ("a\n1\n", r"only the column 'a'.* another --data.delimiter"),
        ("a b\n1 2\n", r"only the column 'a b'.* another --data.delimiter"),
        ("a,b\n1,2\n3\n", r"line 3 has 1 cells, and the header has 2.* another --data.delimiter"),
        ("a,b\n1,2,3\n4,5,6\n", r"line 2 has 3 cells"),
        ("a,b\n1,2\n\n3,4,5\n", r"line 4 has 3 cells"),
        ('a,b\n"x\ny",2\n3\n', r"line 4 has 1 cells"),
        ('a,b\n1,"2\n3,4\n', r"line 2 is not CSV.* another --data.delimiter"),
        ("a,,c\n1,2,3\n", r"column 2 has no name"),
        ("a,b,a \n1,2,3\n", r"column 'a' twice"),
        (b"a,b\n1,\xff\n", r"line 2 is not UTF-8 text: byte 2 of the line is 0xff"),
    ],
)
def test_a_file_that_is_no_table_is_refused_with_its_line(read, content, message, refused):
    with refused(message):
        read(content)
