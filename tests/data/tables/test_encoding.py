import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from bigmodel.data.tables.columns import Column, Frame
from bigmodel.data.tables.encoding import fit_encoder

RNG = np.random.default_rng(0)


def frame(*columns):
    columns = [
        Column(
            f"c{n}", np.asarray(values, object if np.asarray(values).dtype.kind == "U" else None)
        )
        for n, values in enumerate(columns)
    ]
    return Frame("table.csv", tuple(columns), np.arange(len(columns[0].values)) + 2)


def numbers(rows, gaps):
    values = RNG.integers(0, 9, (rows, 3)).astype(np.float64) * [1.0, 1e6, 1e-6]
    values[RNG.random((rows, 3)) < gaps] = np.nan
    return values


@pytest.mark.parametrize("missing", ["mean", "median", "maximum", "most_frequent"])
@pytest.mark.parametrize("indicator", [True, False])
def test_numbers_are_filled_and_standardised_as_scikit_learn_does(missing, indicator):
    train, test = numbers(40, 0.2), numbers(30, 0.5)
    if missing == "maximum":
        largest = np.nanmax(train, axis=0)
        fill = ColumnTransformer(
            [
                (str(n), SimpleImputer(strategy="constant", fill_value=v), [n])
                for n, v in enumerate(largest)
            ]
        )
    else:
        fill = SimpleImputer(strategy=missing)
    expected = make_pipeline(fill, StandardScaler()).fit(train).transform(test)
    encoder = fit_encoder(frame(*train.T), fill=missing, indicator=indicator)
    found = encoder.encode(frame(*test.T))
    np.testing.assert_allclose(found[:, :: 1 + indicator], expected, rtol=1e-5, atol=1e-6)
    if indicator:
        gaps = MissingIndicator().fit(train).transform(test)
        np.testing.assert_array_equal(found[:, 1::2], gaps)
        assert encoder.features[:2] == ("c0", "c0 is missing")


def test_text_becomes_a_feature_for_each_category_as_in_scikit_learn():
    train = np.asarray(["b", "a", "c", "b", ""])
    test = np.asarray(["c", "new", "b", ""])
    encoder = fit_encoder(frame(train), fill="mean", indicator=False)
    reference = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    reference.fit(train[:4, None])
    filled = np.where(test == "", "b", test)  # the most frequent one
    np.testing.assert_array_equal(encoder.encode(frame(test)), reference.transform(filled[:, None]))
    assert encoder.features == ("c0=a", "c0=b", "c0=c")


def test_only_a_column_with_gaps_in_training_says_where_they_are():
    train = frame(np.asarray([1.0, 2.0]), np.asarray([1.0, np.nan]), np.asarray(["x", ""]))
    encoder = fit_encoder(train, fill="mean", indicator=True)
    assert encoder.features == ("c0", "c1", "c1 is missing", "c2=x", "c2 is missing")
    np.testing.assert_array_equal(encoder.encode(train)[:, [2, 4]], [[0, 0], [1, 1]])


def test_rows_that_are_encoded_do_not_change_how():
    train, test = numbers(40, 0.2), numbers(30, 0.2)
    encoder = fit_encoder(frame(*train.T), fill="mean", indicator=False)
    alone = [encoder.encode(frame(*test[n : n + 1].T)) for n in range(30)]
    np.testing.assert_array_equal(np.concatenate(alone), encoder.encode(frame(*test.T)))


@pytest.mark.parametrize("value", [0.0, 0.1, 1e9])
def test_a_constant_column_becomes_zeros(value):
    column = np.full(7, value)
    found = fit_encoder(frame(column), fill="mean", indicator=False).encode(frame(column))
    np.testing.assert_allclose(found, np.zeros((7, 1)), atol=1e-5)


@pytest.mark.parametrize("gaps", [np.full(3, np.nan), np.asarray(["", "", ""])])
def test_a_column_without_a_value_is_named(gaps, refused):
    with refused(r"table\.csv: the column 'c1' has no value"):
        fit_encoder(frame(np.arange(3.0), gaps), fill="mean", indicator=False)


def test_categories_that_no_memory_holds_are_named(refused):
    names = np.asarray([f"n{n}" for n in range(30_000)], object)
    with refused(r"'c0' has 30000 categories, .* 3 GiB .*--data.ignore"):
        fit_encoder(frame(names), fill="mean", indicator=False)
