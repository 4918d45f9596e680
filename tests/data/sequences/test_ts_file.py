import gzip
import io
from pathlib import Path

import numpy as np
import pytest

from bigmodel.data.sequences.ts_file import parse_ts, read_ts
from bigmodel.data.texts.text_file import Stream

HEAD = "#about\n@problemName Small\n@timeStamps false\n@classLabel true a b\n@data\n"


@pytest.fixture
def read(write):
    return lambda content: read_ts(Path(write(content)))


def test_channels_become_columns_and_lengths_may_differ(read):
    cases = read(HEAD + "1,2,3:4,5,-6e-1:b\n7:8:a\n")
    assert [case.label for case in cases] == ["b", "a"]
    assert [case.line for case in cases] == [6, 7]
    np.testing.assert_array_equal(cases[0].content, np.float32([[1, 4], [2, 5], [3, -0.6]]))
    np.testing.assert_array_equal(cases[1].content, np.float32([[7, 8]]))


def test_the_same_sequences_are_read_however_they_are_written(read):
    plain = HEAD.replace(" a b", " größe b") + "1,2:größe\n3:b\n"
    other = plain.replace("ö", "o\u0308").replace(":b", ": b ")
    for content in (gzip.compress(plain.encode()), plain.encode("utf-16"),
                    b"\xef\xbb\xbf" + other.replace("\n", "\r").encode()):  # fmt: skip
        cases = read(content)
        assert [case.label for case in cases] == ["größe", "b"]
        np.testing.assert_array_equal(cases[0].content, np.float32([[1], [2]]))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HEAD + "1,2:a\n1,x:b\n", "line 7: 'x' is no number"),
        (HEAD + "1,?:a\n", "line 6: '[?]' is no number; fill missing values in"),
        (HEAD + "1,nan:a\n", "line 6: nan is no finite number"),
        (HEAD + "1,1e39:a\n", "line 6: 1e39 is no finite number of 32 bits"),
        (HEAD + "1,2:3:a\n", "line 6 has channels of 1 and of 2 values"),
        (HEAD + "1:a\n1:2:b\n", "line 7 has 2 channels, and line 6 has 1"),
        (HEAD + "1,2:c\n", "line 6 ends with 'c', which is no label"),
        (HEAD + "a\n", "line 6 has a label and no values"),
        (HEAD, "has no sequences"),
        ("@data\n1:a\n", "declares no classes; it needs a line @classLabel true A B"),
        ("@classLabel true\n@data\n1:a\n", "declares no classes"),
        ("@classLabel false\n@data\n1:2\n", "declares no classes"),
        ("@timeStamps true\n", "line 1: time stamps are not supported"),
        ("", "is empty"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_its_line(read, content, message, refused):
    with refused(message):
        read(content)


def test_a_file_without_labels_is_read_where_none_are_needed(refused):
    def parse(content):
        return parse_ts(Stream("body", io.StringIO(content)))

    cases = parse("@classLabel false\n@data\n1,2:4,5\n3:6\n")
    assert [case.label for case in cases] == ["", ""]
    np.testing.assert_array_equal(cases[0].content, np.float32([[1, 4], [2, 5]]))
    np.testing.assert_array_equal(cases[1].content, np.float32([[3, 6]]))
    with refused("body declares no classes"):
        parse("@data\n1:2\n")
