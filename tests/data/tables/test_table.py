from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn import datasets

from bigmodel.data.split import split_rows
from bigmodel.data.tables.bundled_tables import read_bundled
from bigmodel.data.tables.large import blocks
from bigmodel.data.tables.table import TableData, encode_table, load_table

ROWS = 60


def rows(line="{n},{city},{grade}", header="size,city,grade"):
    """The lines of a table."""
    cities, grades = ("Rome", "Oslo", "Lima"), ("low", "high")
    return [header, *(line.format(n=n, city=cities[n % 3], grade=grades[n % 2])
                      for n in range(ROWS))]  # fmt: skip


@pytest.fixture(params=["in memory", "on disk"])
def csv(write, request, monkeypatch, tmp_path):
    """Writes a table, and perhaps one to test on, and gives the options that read them."""
    if request.param == "on disk":
        monkeypatch.setattr(blocks, "LARGE", -1)
        monkeypatch.setattr(blocks, "BYTES", 100)

    def csv(content, test=None, **options):
        given = {"path": write(content, "table.csv"), "batch_size": 8}
        given["cache"] = str(tmp_path / "cache")
        if test is not None:
            given["test_path"] = write(test, "test.csv")
        return TableData("csv", **given | options)

    return csv


@pytest.fixture
def table(csv):
    return csv(rows())


def change(options, line, text):
    """The table with another text on one line, counted from 1."""
    path = Path(options.path)
    lines = path.read_text().split("\n")
    lines[line - 1] = text
    path.write_text("\n".join(lines))
    return options


def whole(encoded, name):
    return np.concatenate([encoded.parts[part][name] for part in ("train", "validation", "test")])


@pytest.mark.parametrize("name", ["digits", "diabetes", "breast_cancer"])
def test_bundled_tables_are_scikit_learns_standardised_by_the_training_rows(name):
    features, target = getattr(datasets, f"load_{name}")(return_X_y=True)
    encoded = encode_table(TableData(name))
    train = encoded.parts["train"]["features"].astype(np.float64)
    np.testing.assert_allclose(train.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(train.std(0)[train.std(0) > 0], 1, atol=1e-5)
    # Standardising again by all rows undoes that it was by some.
    ours = whole(encoded, "features").astype(np.float64)
    scale = features.std(0)
    kept = (scale > 0) & (train.std(0) > 0)
    ours = ((ours - ours.mean(0)) / np.where(kept, ours.std(0), 1))[:, kept]
    theirs = ((features - features.mean(0)) / np.where(kept, scale, 1))[:, kept]
    np.testing.assert_allclose(np.sort(ours, axis=0), np.sort(theirs, axis=0), atol=1e-4)
    if name == "diabetes":
        ours = whole(encoded, "target") * encoded.target.scale + encoded.target.mean
        np.testing.assert_allclose(np.sort(ours), np.sort(target), rtol=1e-5)
        assert encoded.parts["train"]["target"].mean() == pytest.approx(0, abs=1e-6)
        assert encoded.parts["train"]["target"].std() == pytest.approx(1, abs=1e-6)
    else:
        ours = np.bincount(whole(encoded, "label"))
        assert sorted(ours) == sorted(np.bincount(target))


@pytest.mark.parametrize(("name", "classes"), [("penguins", 3), ("titanic", 2)])
def test_tables_with_gaps_keep_all_rows_unless_told_to_drop_them(name, classes):
    filled = encode_table(TableData(name, indicator=True))
    dropped = encode_table(TableData(name, fill="drop"))
    rows = {"penguins": (344, 333), "titanic": (1309, 1046)}[name]
    assert (len(whole(filled, "label")), len(whole(dropped, "label"))) == rows
    assert np.isfinite(whole(filled, "features")).all()
    assert len(filled.target.names) == classes
    assert any(feature.endswith("is missing") for feature in filled.features)


def test_a_csv_file_becomes_features_and_labels(table):
    encoded = encode_table(table)
    assert encoded.features == ("size", "city=Lima", "city=Oslo", "city=Rome")
    assert (encoded.target.column, encoded.target.names) == ("grade", ("high", "low"))
    size = whole(encoded, "features")[:, 0].argsort()
    np.testing.assert_array_equal(whole(encoded, "label")[size], 1 - np.arange(ROWS) % 2)
    np.testing.assert_array_equal(
        whole(encoded, "features")[size, 1:].argmax(1), [[2, 1, 0][n % 3] for n in range(ROWS)]
    )


def test_any_column_can_be_the_target_and_any_left_out(table):
    number = encode_table(replace(table, target="size", ignore=("city",)))
    assert number.features == ("grade=high", "grade=low")
    assert number.target.names == ()
    classes = encode_table(replace(table, target="size", task="classification", test=0.0,
                                   validation=0.0))  # fmt: skip
    assert classes.target.names == tuple(str(n) for n in range(ROWS))


def test_few_whole_numbers_are_classes_unless_told(csv):
    options = csv(["a,b", *(f"{n},{n % 4}" for n in range(40))])
    assert encode_table(options).target.names == ("0", "1", "2", "3")
    assert encode_table(replace(options, task="regression")).target.names == ()


def test_another_file_can_be_the_test_set_with_its_columns_in_any_order(csv):
    parts = encode_table(csv(rows(), "grade,city,size\nlow,Paris,7\nhigh,,8\n")).parts
    assert len(parts["train"]["label"]) + len(parts["validation"]["label"]) == ROWS
    assert parts["test"]["label"].tolist() == [1, 0]
    features = parts["test"]["features"]
    # A city that training has not is taken as one that is missing.
    np.testing.assert_array_equal(features[0, 1:], features[1, 1:])
    assert features[1, 1:].sum() == 1


def test_a_test_file_is_read_as_the_training_file_was(csv, refused):
    """Its own cells, 1.234 and 01/02/2020, do not say what they mean."""
    days = [f"{n % 28 + 1}/{n % 12 + 1}/2020" for n in range(60)]
    train = ["a;day;y", *(f"{n},5;{day};{n}" for n, day in enumerate(days))]
    test = "y;day;a\n1;01/02/2020;1.234\n2;{}/1/2020;1\n"
    with refused(r"test.csv, line 3, column 'day': '32/1/2020' is not a"):
        encode_table(csv(train, test.format(32)))
    encoded = encode_table(csv(train, test.format(1), validation=0.0))
    assert encoded.features[:2] == ("a", "day")
    held, trained = (encoded.parts[part]["features"] for part in ("test", "train"))
    of_a = np.polyfit(trained[:, 0], np.arange(60) + 0.5, 1)
    np.testing.assert_allclose(np.polyval(of_a, held[:, 0]), [1234, 1], rtol=1e-5)
    thirty_one_days = held[0, 1] - held[1, 1]
    np.testing.assert_allclose(trained[12, 1] - trained[0, 1], 12 / 31 * thirty_one_days, rtol=1e-4)


def test_rows_held_out_do_not_decide_how_features_are_made(table):
    plain = encode_table(table)
    grades = np.asarray(["low", "high"] * (ROWS // 2))
    names, labels = np.unique(grades, return_inverse=True)
    split = split_rows(table, ROWS, labels=labels, names=names)
    for row in (*split["validation"], *split["test"]):
        change(table, row + 2, f"{1e6 + row},Cairo,{grades[row]}")
    other = encode_table(table)
    np.testing.assert_array_equal(
        other.parts["train"]["features"], plain.parts["train"]["features"]
    )
    assert other.parts["test"]["features"].max() > 1000
    row = split["train"][0]
    change(table, row + 2, f"1000000,Rome,{grades[row]}")
    assert encode_table(table).parts["test"]["features"].max() < 1000


@pytest.mark.parametrize("folds", [{}, {"folds": 5, "fold": 1}])
def test_each_part_has_its_share_of_every_class(folds):
    parts = encode_table(TableData("digits", **folds)).parts
    for part, share in (("train", 0.72), ("validation", 0.08), ("test", 0.2)):
        counts = np.bincount(parts[part]["label"])
        assert np.abs(counts - share * np.bincount(datasets.load_digits().target)).max() <= 1.5


def test_folds_test_every_row_once_and_do_not_depend_on_the_seed_of_the_run(table):
    folds = [encode_table(replace(table, target="size", folds=5, fold=f)) for f in range(5)]
    held = [f.parts["test"]["target"] * f.target.scale + f.target.mean for f in folds]
    np.testing.assert_allclose(np.sort(np.concatenate(held)), np.arange(ROWS), atol=1e-4)
    assert {len(h) for h in held} == {12}


@pytest.mark.parametrize(
    ("line", "text", "message"),
    [
        (5, "2,Rome", r"line 5 has 2 cells"),
        (5, "two,Rome,low", r"line 5, column 'size': 'two' is not a finite number"),
        (5, "2,Rome,", r"line 5 has no value in the target 'grade'"),
        (5, "2,Rome,best", r"class 'best' has 1 example"),
    ],
)
def test_a_bad_line_is_named(table, line, text, message, refused):
    with refused(message):
        load_table(change(table, line, text))


@pytest.mark.parametrize(
    ("line", "options", "message"),
    [
        ("1,{city},{grade}", {"target": "size"}, "target 'size' is '1' in every training row"),
        ("1,{city},{grade}", {"target": "size", "task": "regression"}, "in every training row"),
        ("{n},{city},low", {}, "target 'grade' is 'low' in every training row"),
        ("NA,{city},{grade}", {}, "column 'size' has no value"),
        ("NA,{city},{grade}", {"fill": "drop"}, "every row has a missing value"),
    ],
)
def test_a_column_that_says_nothing_is_refused(csv, line, options, message, refused):
    with refused(message):
        load_table(csv(rows(line), **options))


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ("size,city,grade\n1,Rome,low\n2,Rome,best\n", "line 3 of the test part has .*'best'"),
        ("size,town,grade\n1,Rome,low\n", "test.csv has no column 'city'"),
        ("size,city,grade\nbig,Rome,low\n", "test.csv, line 2, column 'size': 'big'"),
    ],
)
def test_a_test_file_of_other_columns_kinds_or_classes_is_refused(csv, test, message, refused):
    with refused(message):
        load_table(csv(rows(), test))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "grad"}, r"--data\.target: .* no column 'grad'; did you mean 'grade'"),
        ({"ignore": ("town", "size")}, r"--data\.ignore: .* no column 'town'"),
        ({"categorical": ("cit",)}, r"--data\.categorical: .*did you mean 'city'"),
        ({"target": "city", "task": "regression"}, r"line 2, column 'city': 'Rome' is no number"),
        ({"folds": 5, "fold": 5}, r"--data\.fold 5"),
    ],
)
def test_what_the_table_has_not_is_named(table, options, message, refused):
    with refused(message):
        load_table(replace(table, **options))


@pytest.mark.parametrize("left", [0, 1])
def test_a_table_of_which_no_column_is_left_to_learn_from_is_refused(table, left, refused):
    birds = read_bundled("penguins").names
    for options, names in ((table, ("size", "city", "grade")), (TableData("penguins"), birds)):
        with refused("--data.ignore leaves .* no column to learn from"):
            load_table(replace(options, ignore=names[: len(names) - left]))


def test_rows_with_gaps_can_be_dropped_the_targets_too(table):
    change(table, 5, "3,Rome,")
    change(table, 7, ",Oslo,high")
    assert len(whole(encode_table(replace(table, fill="drop")), "label")) == ROWS - 2


def test_identifiers_and_dates_are_told_from_categories(csv, refused):
    lines = (f"u{n},2020-01-{n % 31 + 1:02d},{n % 7},{n % 3}" for n in range(90))
    options = csv(["id,day,x,y", *lines])
    with refused(r"'id' is text, and 90 of its 90 .*--data.ignore 'id'"):
        encode_table(options)
    assert encode_table(replace(options, ignore=("id",))).features[:2] == ("day", "day (sine of "
        "the year)")  # fmt: skip
    kept = encode_table(replace(options, categorical=("id", "day"), test=0.0, validation=0.0))
    assert len(kept.features) == 90 + 31 + 1
    with refused(r"'id' is text, .*--data.target, or say --data.task"):
        encode_table(replace(options, target="id"))
    with refused("the target 'day' is a date; choose another"):
        encode_table(replace(options, target="day", ignore=("id",)))


@pytest.mark.parametrize(
    ("name", "cells"), [("weekday", "Monday"), ("weekday", "3"), ("sine of the day", "1")]
)
def test_a_column_called_as_a_part_of_a_date_is_refused(csv, name, cells, refused):
    lines = (f"2020-01-{n % 28 + 1:02d} 10:30,{cells},{n % 3}" for n in range(60))
    with refused(rf"'day \({name}\)' has the name of a part of the date 'day'; rename"):
        encode_table(csv([f"day,day ({name}),y", *lines]))


def test_an_ignored_column_may_hold_anything(table):
    change(table, 5, "two,Rome,low")
    assert encode_table(replace(table, ignore=("size",))).features[0] == "city=Lima"


def test_classes_of_large_whole_numbers_are_not_one(csv):
    options = csv(["x,id", *(f"{n},{2**53 + n % 2}" for n in range(60))])
    assert encode_table(options).target.names == ("9007199254740992", "9007199254740993")
