import gzip

import numpy as np
import pytest

from bigmodel.data.tables.csv_table import read_csv
from bigmodel.experiment import InputError


@pytest.fixture
def write(tmp_path):
    def write(content, name="table.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_delimiter_is_the_one_that_the_header_has_most_of(write, separator):
    lines = ["name,first", "b", "c"], ["x", "1", "2.5"], ["y", "-3e2", "4"]
    quoted = '"name,first"' if separator == "," else "name,first"
    content = "\n".join(separator.join(line) for line in lines).replace("name,first", quoted, 1)
    frame = read_csv(write(content + "\n"))
    assert frame.names == ("name,first", "b", "c")
    assert [column.values.tolist() for column in frame.columns] == [
        ["x", "y"],
        [1.0, -300.0],
        [2.5, 4.0],
    ]


def test_quotes_blank_lines_line_ends_a_byte_order_mark_and_gzip_are_read(write):
    content = '\ufeffa,b\r\n"x ""1"", y",1\r\n\r\n"two\r\nlines",2\r\nz,3'
    frame = read_csv(write(gzip.compress(content.encode()), "table.csv.gz"))
    assert frame.names == ("a", "b")
    assert frame.columns[0].values.tolist() == ['x "1", y', "two\nlines", "z"]
    assert frame.columns[1].values.tolist() == [1, 2, 3]
    assert frame.lines.tolist() == [2, 4, 6]


def test_every_sign_of_a_gap_is_one_in_numbers_and_in_text(write):
    gaps = ["", "NA", "NaN", "nan", "?", " "]
    rows = [f"{gap},{gap}" for gap in gaps] + [f"{n},word" for n in range(7)]
    numbers, words = read_csv(write("\n".join(["a,b", *rows]))).columns
    np.testing.assert_array_equal(numbers.values, [np.nan] * 6 + list(range(7)))
    assert words.values.tolist() == [""] * 6 + ["word"] * 7
    assert numbers.missing.tolist() == words.missing.tolist() == [True] * 6 + [False] * 7


def test_a_column_is_text_unless_more_than_half_of_it_is_numbers(write):
    frame = read_csv(write("a,b\n1,2\n,\nx,3\n"))
    assert [column.numeric for column in frame.columns] == [False, True]


def test_numbers_are_categories_where_it_is_said(write):
    frame = read_csv(write("a,b\n1,2\n3,4\n"), numeric={"a": False})
    assert [column.numeric for column in frame.columns] == [False, True]
    assert frame.columns[0].values.tolist() == ["1", "3"]


@pytest.mark.parametrize("cell", ["abc", "inf", "1_000", "1,5"])
def test_text_among_numbers_is_named_with_its_line_and_column(write, cell):
    path = write(f'a,age\n1,2\n\n3,"{cell}"\n5,6\n7,\n')
    with pytest.raises(InputError, match=rf"table.csv, line 4, column 'age': '{cell}' is no "):
        read_csv(path, delimiter="comma")


def test_text_in_a_column_that_must_be_numbers_is_named(write):
    path = write("a,b\nx,1\ny,2\n")
    with pytest.raises(InputError, match="line 2, column 'a': 'x' is no finite number"):
        read_csv(path, numeric={"a": True})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"table\.csv is empty"),
        (" \n\n", r"table\.csv is empty"),
        ("a,b\n", r"table\.csv has a header and no rows"),
        ("a\n1\n", r"only the column 'a'"),
        ("a,b\n1,2\n3\n", r"line 3 has 1 cells, and the header has 2"),
        ("a,b\n1,2\n\n3,4,5\n", r"line 4 has 3 cells"),
        ('a,b\n"x\ny",2\n3\n', r"line 4 has 1 cells"),
        ('a,b\n1,"2\n3,4\n', r"line 2 is no CSV"),
        ("a,,c\n1,2,3\n", r"column 2 has no name"),
        ("a,b,a\n1,2,3\n", r"column 'a' twice"),
        (b"a,b\n1,\xff\n", r"is not UTF-8 text: byte 6 is 0xff"),
    ],
)
def test_a_file_that_is_no_table_is_refused_in_one_line_that_says_where(write, content, message):
    with pytest.raises(InputError, match=message) as error:
        read_csv(write(content))
    assert "\n" not in str(error.value)


def test_a_missing_file_and_a_directory_are_named(tmp_path):
    for path in (tmp_path / "absent.csv", tmp_path):
        with pytest.raises(InputError, match=str(path)):
            read_csv(path)
