"""Numbers, dates and text as people and programs write them."""

from datetime import UTC, datetime

import numpy as np
import pytest

from bigmodel.data.tables.csv_table import Cells, CsvFormat
from bigmodel.data.tables.dates import Dates
from bigmodel.data.tables.kinds import Numbers, Text, check_categories, guess_kinds, to_frame

WAYS = {
    "point": [("1234.5", 1234.5), ("-0.25", -0.25), ("3e2", 300)],
    "commas between thousands": [("1,234.5", 1234.5), ("-12,345,678", -12345678), ("12.25", 12.25)],
    "decimal comma": [("1234,5", 1234.5), ("-0,25", -0.25), ("3,0e2", 300)],
    "German": [("1.234,56", 1234.56), ("-12.345.678", -12345678), ("0,5", 0.5)],
    "French": [("1 234,5", 1234.5), ("-12\u202f345", -12345), ("7,25", 7.25)],
    "Swiss": [("1'234.5", 1234.5), ("12\u2019345.75", 12345.75), ("5", 5)],
    "money": [("$12.50", 12.5), ("-$1,200.00", -1200), ("($3.25)", -3.25), ("$-4", -4)],
    "euros": [("12,50 €", 12.5), ("1.200,00 €", 1200), ("\u22123,25 €", -3.25)],
    "codes": [("EUR 12.50", 12.5), ("9.75 EUR", 9.75)],
    "percent": [("45 %", 45), ("12.5%", 12.5), ("-3 %", -3)],
    "accounts": [("(123.45)", -123.45), ("7.5-", -7.5), ("+8.25", 8.25)],
}  # fmt: skip


def table(**columns):
    rows = len(next(iter(columns.values())))
    return Cells("t.csv", dict(columns), np.arange(2, rows + 2), dict.fromkeys(columns, ()))


def read(cells, **options):
    return to_frame(cells, guess_kinds(cells, cells.columns, CsvFormat(**options)))


@pytest.mark.parametrize("way", WAYS)
def test_numbers_are_read_however_they_are_written(way):
    cells = [cell.strip() for cell, _ in WAYS[way]]
    (column,) = read(table(a=[*cells, ""])).columns
    np.testing.assert_array_equal(column.values, [*(number for _, number in WAYS[way]), np.nan])


@pytest.mark.parametrize(
    ("other", "ambiguous", "expected"),
    [
        ("144.48", "52,510", 52510),
        ("144,48", "52.510", 52510),
        ("7", "52.510", 52.51),
        ("$0.5", "1,234", 1234),
        ("1.234,5", "1.234", 1234),
    ],
)
def test_other_columns_say_what_a_sign_means(other, ambiguous, expected):
    frame = read(table(a=[ambiguous] * 3, b=[other] * 3))
    np.testing.assert_array_equal(frame.columns[0].values, [expected] * 3)


def test_signs_that_nothing_explains_are_refused_with_both_options(refused):
    cells = table(income=["52,510", "950"], n=["1", "2"])
    with refused(
        r"t.csv, column 'income': '52,510' may be 52510 or 52.51; say which by "
        r"--data.decimal point or --data.decimal comma",
    ):
        read(cells)
    for options, expected in (
        ({"decimal": "comma"}, 52.51),
        ({"decimal": "point"}, 52510),
        ({"thousands": "comma"}, 52510),
        ({"thousands": "none"}, 52.51),
    ):
        assert read(cells, **options).columns[0].values.tolist() == [expected, 950]
    lakhs = table(a=["1,23,456", "12"])
    assert read(lakhs, thousands="comma").columns[0].values.tolist() == [123456, 12]
    with refused(r"--data.thousands comma is the decimal sign too"):
        read(cells, decimal="comma", thousands="comma")


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["1.5", "1,5", "7"], "'1.5' may be 1.5 or no number; .*--data.decimal point or --data.de"),
        (["1,5", "1.5", "7"], "'1,5' may be no number or 1.5; .*--data.decimal point or --data.de"),
        (
            ["13/01/2020", "01/13/2020", "1/1/2020"],
            "may be 2020-01-13 or no date; .*--data.date-order",
        ),
    ],
)
def test_two_ways_that_are_mixed_equally_are_refused_with_both_options(cells, message, refused):
    with refused(message):
        read(table(a=cells))


@pytest.mark.parametrize(
    "cells",
    [
        ["x", "1", "y"],
        ["$5", "€6", "$7"],
        ["5 %", "0.05", "6 %"],
        ["18-25", "26-35", "60+"],
        ["1_000", "2_000", "3"],
        ["9007199254740992", "9007199254740993", "1"],
        ["true", "false", "true"],
        ["1.2.3", "1.2.4", "2.0.0"],
        ["--12345678901234567", "+-1234567890123456", "-+1"],
    ],
)
def test_what_is_no_number_is_a_category(cells):
    (column,) = read(table(a=cells)).columns
    assert column.values.tolist() == cells


DATES = {
    "2020-03-04": "2020-03-04",
    "2020/3/4 5:06": "2020-03-04 05:06",
    "2020-03-04T05:06:07.5Z": "2020-03-04 05:06:07.5",
    "2020-03-04 05:06:07+02:00": "2020-03-04 03:06:07",
    "04.03.2020": "2020-03-04",
    "4.3.20 17:30": "2020-03-04 17:30",
    "13/04/2020": "2020-04-13",
    "04/13/2020": "2020-04-13",
    "04/13/99, 5:30 PM": "1999-04-13 17:30",
}


@pytest.mark.parametrize("cell", DATES)
def test_dates_become_days_and_parts_of_the_calendar(cell):
    frame = read(table(day=[cell, ""]))
    date = datetime.fromisoformat(DATES[cell].ljust(26, "0") if "." in DATES[cell] else DATES[cell])
    days = (date.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() / 86400
    columns = {column.name: column.values for column in frame.columns}
    np.testing.assert_allclose(columns["day"], [days, np.nan], rtol=1e-12)
    assert columns["day (weekday)"].tolist() == [f"{date:%A}", ""]
    assert ("day (sine of the day)" in columns) == (":" in cell)
    angle = 2 * np.pi * (date.timetuple().tm_yday - 1) / 365.25
    np.testing.assert_allclose(
        columns["day (cosine of the year)"], [np.cos(angle), np.nan], atol=0.02
    )


def test_the_order_of_a_date_is_what_others_show_or_what_is_said(refused):
    cells = table(a=["03/04/2020", "05/06/2020"], b=["13/01/2020", "01/01/2020"])
    april, june = 18355, 18418  # days from 1970 to 3 April 2020 and 5 June 2020
    assert read(cells).columns[0].values.tolist() == [april, june]
    alone = table(a=cells.columns["a"])
    with refused(r"may be 2020-04-03 or 2020-03-04; .*--data.date-order day"):
        read(alone)
    march, may = april - 30, june - 30
    assert read(alone, date_order="month").columns[0].values.tolist() == [march, may]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        *(
            (["2", cell, "6.5", ""], f"'{cell}' is not a finite number")
            for cell in ("abc", "inf", "1_000", "1e999", "1-2", "0x1F")
        ),
        *((["0", value, "0"], ".*--data.missing") for value in ("1.7e308", "-1e154", "1e-200")),
        (["2020-02-28", "2020-02-30", "2020-03-01"], "'2020-02-30' is not a date"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line_and_column(cells, message, refused):
    with refused(f"line 3, column 'age': {message}"):
        read(table(age=cells))


def test_kinds_are_those_that_are_given():
    cells = table(a=["1,5", "2,5"], b=["1", "2"], c=["31.12.2020", "1.1.2021"])
    kinds = {"b": Text(), "a": Numbers(",", ""), "c": Dates("day")}
    frame = to_frame(cells, kinds)
    assert frame.names[:3] == ("b", "a", "c")
    assert [column.values.tolist() for column in frame.columns[:2]] == [["1", "2"], [1.5, 2.5]]


def test_how_cells_were_read_is_told_once(capsys):
    cells = table(a=["1,5", "2,5"], b=["2020-01-01"] * 2, c=["", "x"])
    cells = cells._replace(source="told.csv", words={"a": (), "b": (), "c": ("NA",)})
    for _ in range(2):
        read(cells)
    assert capsys.readouterr().err == (
        "note: told.csv: read decimal commas in 'a'; dates in 'b'; NA as a missing value "
        "(--data.missing) in 'c'\n"
    )


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([f"{n} kg" for n in range(40)] * 2, "such as '0 kg' look like numbers"),
        ([f"<{n}" for n in range(30)] + ["unknown"] * 60, "others such as 'unknown' do not"),
        ([f"{n % 60}:30 {n}" for n in range(99)], "look like numbers"),
        ([f"u{n}" for n in range(99)], "99 of its 99 values are different.*; leave it"),
        ([f"user {n % 51}" for n in range(99)], "51 of its 99 values are different"),
    ],
)
def test_text_that_is_no_names_of_categories_is_refused(cells, message, refused):
    (column,) = read(table(a=cells)).columns
    with refused(f"t.csv: the column 'a' is text.*{message}"):
        check_categories(column, source="t.csv", advice="leave it out")


@pytest.mark.parametrize(
    "cells",
    [
        [f"user {n % 40}" for n in range(99)],
        [f"{n} kg" for n in range(20)],
        [str(2**53 + n % 30) for n in range(99)],
    ],
)
def test_few_or_repeated_texts_are_categories(cells):
    (column,) = read(table(a=cells)).columns
    check_categories(column, source="t.csv", advice="leave it out")
