import csv
import json
import math

import numpy as np
import pytest

from bigmodel.data.tables.csv_table import CsvFormat, stream_csv
from bigmodel.data.tables.reading import table_reader
from bigmodel.data.tables.table import TableData, load_table
from bigmodel.data.texts.text_file import open_text
from bigmodel.experiment import InputError
from bigmodel.output import tallied

COLUMNS = ("city", "price", "day", "kind")


@pytest.fixture
def path(tmp_path):
    """A table with text, numbers with decimal commas, dates, gaps, and a class."""
    rng = np.random.default_rng(3)
    with (tmp_path / "table.csv").open("w", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(COLUMNS)
        for n in range(90):
            city = ["Lima", "Oslo", "S\u00e3o", ""][n % 4]
            price = "" if n % 7 == 0 else f"{rng.uniform(1, 9):.2f}".replace(".", ",")
            writer.writerow([city, price, f"2020-0{1 + n % 9}-1{n % 10}", "ab"[n % 2]])
    return tmp_path / "table.csv"


@pytest.mark.parametrize(
    "options",
    [
        {"target": "kind", "indicator": True},
        {"target": "kind", "fill": "drop"},
        {"target": "price", "fill": "drop"},
    ],
)
def test_rows_are_encoded_as_the_table_was(path, options):
    table = load_table(TableData("csv", path=str(path), **options))
    reader = table_reader(table.data.assets)
    assert reader == table.reader
    for split, batches in table.data.splits.items():
        rows = table.data.inputs[split]
        expected = np.concatenate([b["features"][b["weight"] > 0] for b in batches])
        np.testing.assert_array_equal(reader.encode(rows)["features"], expected)
        again = [reader.encode([json.loads(json.dumps(row))])["features"] for row in rows]
        np.testing.assert_array_equal(np.concatenate(again), expected)


@pytest.mark.parametrize("name", ["digits", "diabetes"])
def test_rows_of_bundled_tables_are_encoded_as_these_were(name):
    table = load_table(TableData(name))
    reader = table_reader(table.data.assets)
    found = reader.encode(table.data.inputs["test"])["features"]
    batches = table.data.splits["test"]
    np.testing.assert_array_equal(
        found, np.concatenate([b["features"] for b in batches])[: len(found)]
    )


def test_a_table_of_another_file_is_the_test_split_of_a_run(path, tmp_path, capsys):
    table = load_table(TableData("csv", path=str(path)))
    other = tmp_path / "other.csv"
    other.write_text("kind;note;day;price;city\nb;x;2021-02-03;1,5;Lima\na;y;;2;Paris\n")
    found = load_table(TableData("csv", path=str(other)), table.data.assets).data
    (batch,) = found.splits["test"]
    assert batch["label"].tolist() == [1, 0]
    said = capsys.readouterr().err
    assert "does not read 1 columns, as 'note'" in said
    assert (
        "values of 'city' that training never saw, such as 'Paris', are taken as missing: 1" in said
    )


def test_a_stream_has_the_cells_of_the_table(path):
    table = load_table(TableData("csv", path=str(path), target="kind"))
    streamed = [row for _, row in stream_csv(open_text(path), CsvFormat())]
    assert [row["price"] for row in streamed][:3] == [
        "",
        streamed[1]["price"],
        streamed[2]["price"],
    ]
    found = table.reader.encode(streamed)["features"]
    assert found.shape == (90, len(table.reader.encoder.features))


def test_a_stream_says_itself_how_it_is_divided(tmp_path, refused):
    """For the options are those of training, and a command that reads a table has none of them."""
    written = CsvFormat(delimiter="semicolon")
    path = tmp_path / "other.csv"
    path.write_text("sep=|\na|b;c\n1|2\n")
    assert list(stream_csv(open_text(path), written)) == [(3, {"a": "1", "b;c": "2"})]
    path.write_text("a,b\n1,2\n")
    with refused("divided by ';': begin with a line such as sep=;, or quote a cell"):
        list(stream_csv(open_text(path), written))


ROW = {"city": "Lima", "price": "3,5", "day": "2020-01-11"}


def test_a_number_where_a_text_stands_is_read_as_it_is_written(path):
    reader = load_table(TableData("csv", path=str(path), target="kind")).reader
    for number in (3, 3.0, 0.5, 10**400, -(10**400)):
        written = str(int(number)) if number == 3 else str(number)
        rows = [{**ROW, "city": number}, {**ROW, "city": written}]
        with tallied():
            np.testing.assert_array_equal(*reader.encode(rows)["features"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"price": "dear"}, r"column 'price': 'dear' is not a finite number"),
        ({"price": math.inf}, r"column 'price': 'inf' is not a finite number"),
        ({"price": 10**400}, r"column 'price': '1000.*' is not a finite number"),
        ({"price": 1e90}, r"'price' is too far from those of training"),
        ({"price": True}, r"column 'price': 'True' is neither a text nor a number"),
        ({"price": [1]}, r"column 'price': '\[1\]' is neither a text nor a number"),
        ({"day": "soon"}, r"column 'day': 'soon' is not a date"),
        ({"day": 5}, r"column 'day': '5' is not a date"),
    ],
)
def test_a_cell_that_cannot_be_used_is_named(path, change, said):
    reader = load_table(TableData("csv", path=str(path))).reader
    reader.encode([ROW])
    with pytest.raises(InputError, match=said):
        reader.encode([ROW, {**ROW, **change}])


@pytest.mark.parametrize("row", ["a", 3, None, ["Lima", "3,5"], {"city": "Lima", "price": "1"}])
def test_what_is_no_row_is_refused(path, row):
    reader = load_table(TableData("csv", path=str(path))).reader
    with pytest.raises(InputError, match=r"it is no row|it has no column 'day'"):
        reader.encode([row])


def test_missing_values_and_other_forms_of_a_name_are_read(path):
    reader = load_table(TableData("csv", path=str(path), missing=("NA",))).reader
    with tallied() as tally:
        none, nothing, words = (
            reader.encode([{**ROW, "city": value, "price": value}])["features"]
            for value in (None, "", " NA ")
        )
        decomposed = reader.encode([{**ROW, "city": "Sa\u0303o "}])["features"]
    assert not tally
    np.testing.assert_array_equal(none, nothing)
    np.testing.assert_array_equal(none, words)
    assert decomposed[0, reader.encoder.features.index("city=S\u00e3o")] == 1
