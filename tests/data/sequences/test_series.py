import numpy as np
import pytest

from bigmodel.data.sequences.series import SeriesData, load_series

VALUES = np.random.default_rng(0).normal(5, 3, size=100).round(3)


@pytest.fixture
def options(write):
    def options(content=VALUES, **chosen):
        path = write(content if isinstance(content, str) else ["value", *content])
        given = {"path": path, "window": 6, "horizon": 3, "batch_size": 4} | chosen
        return SeriesData(**{"name": "series", **given})

    return options


def joined(batches):
    weight = np.concatenate([batch["weight"] for batch in batches]) > 0
    return {name: np.concatenate([b[name] for b in batches])[weight] for name in batches[0]}


def test_every_held_out_value_is_a_target_once_in_order(options):
    series = load_series(options())
    for name, expected in (("validation", VALUES[70:80]), ("test", VALUES[80:])):
        target = joined(series.data.splits[name])["target"]
        np.testing.assert_allclose(
            series.reader.mean + series.reader.scale * target, expected, rtol=1e-5
        )


@pytest.mark.parametrize("horizon", [1, 3])
def test_targets_are_the_values_that_come_after_each_step(options, horizon):
    series = load_series(options(horizon=horizon))
    standardised = (VALUES - VALUES[:70].mean()) / VALUES[:70].std()
    rows = joined(series.data.splits["test"])
    for number, (window, targets) in enumerate(
        zip(rows["sequence"][..., 0], rows["targets"], strict=True)
    ):
        start = 80 + number - horizon - 5
        np.testing.assert_allclose(window, standardised[start : start + 6], rtol=1e-5, atol=1e-6)
        expected = standardised[start + horizon : start + horizon + 6]
        np.testing.assert_allclose(targets, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(rows["targets"][:, -1], rows["target"])


def test_training_sees_nothing_from_the_validation_on(options):
    changed = VALUES.copy()
    changed[70:] = 1000
    first, second = (load_series(options(values)) for values in (VALUES, changed))
    assert first.data.steps_per_epoch == (70 - 8) // 4
    for step in range(first.data.steps_per_epoch):
        for name, array in first.data.train(0, step).items():
            np.testing.assert_array_equal(array, second.data.train(0, step)[name])


def test_sunspots_end_with_september_2013():
    series = load_series(SeriesData())
    last = joined(series.data.splits["test"])["target"][-1]
    assert series.reader.mean + series.reader.scale * last == pytest.approx(37.0, abs=0.05)


def test_the_column_is_found_by_name(options):
    content = "day,x,y\n" + "\n".join(f"d{n},{n % 7},{n % 5}" for n in range(100))
    assert load_series(options(content, column="y")).reader.name == "y"
    assert load_series(options(content, column="y")).reader.mean == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("content", "chosen", "message"),
    [
        ("x,y\n1,2\n", {}, "has 2 columns; say which is the series with --data.column: x, y"),
        ("x,y\n1,2\n", {"column": "z"}, "has no column 'z'"),
        ("x,y\na,2\nb,3\nc,4", {"column": "x"}, "line 2, column 'x': 'a' is not a finite number"),
        ("x,y\n1,2\noops,3\n4,4", {"column": "x"}, "line 3, column 'x': 'oops'"),
        ("x,y\n1,2\n,3\n", {"column": "x"}, "line 3, column 'x' has no value; fill it in"),
        ("x,y\n,2\n,3\n", {"column": "x"}, "line 2, column 'x' has no value"),
        ("x,y\n1,2\n1,2,3\n", {"column": "x"}, "line 3 has 3 cells"),
        ("x\n" + "1\n" * 100, {}, "the training part of 'x' never changes"),
        ("x\n" + "0.1\n" * 100, {}, "the training part of 'x' never changes"),
        ("x\n" + "-3e40\n" * 100, {}, "the training part of 'x' never changes"),
        ("x\n" + "0\n" * 100, {}, "the training part of 'x' never changes"),
        ("x\n" + "1e308\n-1e308\n" * 50, {}, "line 2, column 'x': 1e308 is larger than"),
        ("x\n" + "1\n2\n" * 49 + "1e50\n", {}, "'x' has the value 1e\\+50, too large"),
        (VALUES[:8], {}, "the training part has 5 of the 8 values, and a window .* needs 9"),
    ],
)
def test_what_cannot_be_used_is_refused(options, content, chosen, message, refused):
    with refused(message):
        load_series(options(content, **chosen))


def test_a_series_that_is_too_short_for_a_run_is_told_what_that_needs(options, refused):
    assets = load_series(options()).data.assets
    with refused(r"has 8 values, and the run needs 9: a window of 6 and the 3 after it; give a lo"):
        load_series(options(VALUES[:8]), assets)
    (batch,) = load_series(options(VALUES[:9]), assets).data.splits["test"]
    assert batch["weight"].sum() == 1


def test_small_changes_of_a_large_value_are_learned(options):
    values = 1e9 + VALUES
    np.testing.assert_allclose(
        load_series(options(values)).reader.scale, VALUES[:70].std(), rtol=1e-6
    )
