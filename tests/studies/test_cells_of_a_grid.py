import itertools
import math

import pytest

from bigmodel.experiment import InputError
from bigmodel.studies.definition.grid import (
    baseline_of,
    full_grid,
    one_at_a_time,
    read_axes,
    sample,
)

TWO = read_axes([("vary", "a=1,2,3"), ("vary", "b.c=x,y")])
TOGETHER = read_axes([("vary", "a=1,2"), ("with", "b=3,4"), ("vary", "c=5,6")])


def test_the_grid_is_the_product_and_its_last_axis_changes_fastest() -> None:
    product = [{"a": a, "b.c": b} for a, b in itertools.product("123", "xy")]
    assert full_grid(TWO) == product


def test_what_is_with_another_option_moves_together_with_it() -> None:
    points = [("1", "3", "5"), ("1", "3", "6"), ("2", "4", "5"), ("2", "4", "6")]
    assert full_grid(TOGETHER) == [dict(zip("abc", point, strict=True)) for point in points]


def test_one_at_a_time_changes_one_axis_of_the_baseline() -> None:
    baseline = baseline_of(TWO, "a=2")
    cells = one_at_a_time(TWO, baseline)
    assert baseline == {"a": "2", "b.c": "x"}
    assert cells[0] == baseline
    assert cells[1:] == [
        {"a": "1", "b.c": "x"},
        {"a": "3", "b.c": "x"},
        {"a": "2", "b.c": "y"},
    ]
    moved = one_at_a_time(TOGETHER, baseline_of(TOGETHER, None))
    assert moved[1:] == [{"a": "2", "b": "4", "c": "5"}, {"a": "1", "b": "3", "c": "6"}]


def test_the_baseline_has_the_first_values_where_it_names_none() -> None:
    assert baseline_of(TWO, None) == {"a": "1", "b.c": "x"}
    assert baseline_of(TWO, "--b.c=y") == {"a": "1", "b.c": "y"}
    assert baseline_of(TOGETHER, "b=4") == {"a": "2", "b": "4", "c": "5"}


LAWS = read_axes([("vary", "l=log:1e-4:1e-1"), ("vary", "u=uniform:-1:0.5"), ("vary", "i=int:1:8")])


def test_draws_are_within_their_ranges_and_follow_their_laws() -> None:
    cells = sample(LAWS, 400, seed=3)
    logs, uniforms, whole = ([float(cell[name]) for cell in cells] for name in "lui")
    assert all(1e-4 <= value <= 1e-1 for value in logs)
    assert all(-1 <= value <= 0.5 for value in uniforms)
    assert set(whole) == set(range(1, 9))
    assert all(cell["i"].isdecimal() for cell in cells)
    # The middle of each law, within four standard errors of a median: 2 / sqrt(n) of the draws.
    for values, middle in ((logs, math.sqrt(1e-5)), (uniforms, -0.25), (whole, 4.5)):
        assert sum(value < middle for value in values) == pytest.approx(200, abs=40)


def test_a_draw_is_a_function_of_the_seed_and_more_draws_begin_with_the_same() -> None:
    assert sample(LAWS, 9, seed=0) == sample(LAWS, 20, seed=0)[:9]
    assert sample(LAWS, 9, seed=0) != sample(LAWS, 9, seed=1)


def test_what_is_drawn_of_a_list_moves_together_and_is_never_drawn_twice() -> None:
    cells = sample(TOGETHER, 4, seed=0)
    assert sorted(cells, key=str) == full_grid(TOGETHER)
    with pytest.raises(InputError, match="--random 5: no more than 4 different cells"):
        sample(TOGETHER, 5, seed=0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([("vary", "a")], "--vary a: write it as OPTION=VALUE,VALUE"),
        ([("vary", "a=1,,2")], "--vary a=1,,2: write it as OPTION=VALUE,VALUE"),
        ([("vary", "=1")], "--vary =1: write it as OPTION=VALUE,VALUE"),
        ([("with", "a=1")], "which must stand before"),
        ([("vary", "a=1,2"), ("with", "b=1")], "has 1 values and a has 2"),
        ([("vary", "a.b_c=1"), ("vary", "--a.b-c=2")], "a.b-c is varied already"),
    ],
)
def test_words_that_are_no_axes_are_refused(words, message: str) -> None:
    with pytest.raises(InputError) as refused:
        read_axes(words)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("log:0:1", "0 < LOW < HIGH"),
        ("uniform:1:1", "LOW < HIGH"),
        ("int:8:1", "LOW < HIGH"),
        ("log:1", "log:LOW:HIGH"),
        ("uniform:a:b", "uniform:LOW:HIGH"),
        ("uniform:0:inf", "LOW < HIGH"),
        ("uniform:nan:1", "LOW < HIGH"),
        ("int:0.5:3", "whole numbers"),
    ],
)
def test_ranges_that_are_none_are_refused(text: str, message: str) -> None:
    with pytest.raises(InputError) as refused:
        sample(read_axes([("vary", f"a={text}")]), 1, seed=0)
    assert message in str(refused.value)


def test_a_range_needs_draws_and_moves_alone() -> None:
    axes = read_axes([("vary", "a=log:1:2")])
    with pytest.raises(InputError, match="say how many draws by --random N"):
        full_grid(axes)
    with pytest.raises(InputError, match="say how many draws by --random N"):
        one_at_a_time(axes, baseline_of(axes, None))
    with pytest.raises(InputError, match="cannot move together with b"):
        sample(read_axes([("vary", "a=log:1:2"), ("with", "b=1")]), 1, seed=0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("a", "write it as OPTION=VALUE,OPTION=VALUE"),
        ("d=1", "d is not varied"),
        ("a=7", "a is varied over 1, 2"),
        ("a=1,b=4", "a and b move together"),
    ],
)
def test_a_baseline_that_is_no_cell_is_refused(words: str, message: str) -> None:
    with pytest.raises(InputError) as refused:
        baseline_of(TOGETHER, words)
    assert message in str(refused.value)
