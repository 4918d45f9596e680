"""The cells, seeds and options of a study, as a command line or a file gives them."""

import argparse
import itertools
import json
import math
from pathlib import Path

import pytest

from bigmodel.experiment import InputError
from bigmodel.studies import ablate
from bigmodel.studies.definition.definition import Definition, parted

TOML = """
script = "../cnn.py"
name = "opt"
seeds = [0, 3, 7]
metric = "test/accuracy"
at = "best"
seeds_by = "sequential"
one_at_a_time = true
[options]
"run.steps" = 300
"model.batch_norm" = true
"model.widths" = [8, 16]
[vary]
"optimizer.name" = ["sgd", "adam"]
"model.widths" = [[32, 64], [64, 128]]
"model.residual" = [true, false]
[baseline]
"optimizer.name" = "adam"
"""
PYTHON = '''
"""Why this study is made."""
STUDY = {
    "script": "cnn.py",
    "seeds": 3,
    "options": ["--run.steps", 300],
    "vary": [
        {"optimizer.name": ["sgd", "adam"], "optimizer.learning_rate": [0.1, 1e-3]},
        {"model.dropout": (0, 0.3)},
    ],
    "baseline": "optimizer.name=adam",
}
'''
TWO = "--vary a=1,2,3 --vary b.c=x,y"
TOGETHER = "--vary a=1,2 --with b=3,4 --vary c=5,6"
LAWS = "--vary l=log:1e-4:1e-1 --vary u=uniform:-1:0.5 --vary i=int:1:8"

pytestmark = pytest.mark.usefixtures("here")


def define(*words: str, options: tuple[str, ...] = ()) -> Definition:
    parser = argparse.ArgumentParser()
    ablate.add_options(parser)
    return ablate.define(parser.parse_args(words), options)


def cells(words: str) -> list[dict[str, str]]:
    return define("a.py", *words.split()).cells()[0]


def baseline(words: str) -> dict[str, str] | None:
    return define("a.py", *words.split()).cells()[1]


def written(text: str, path: str = "a.toml") -> str:
    Path(path).parent.mkdir(exist_ok=True)
    Path(path).write_text(text)
    return path


def test_the_grid_is_the_product_and_its_last_axis_changes_fastest() -> None:
    assert cells(TWO) == [{"a": a, "b.c": b} for a, b in itertools.product("123", "xy")]


def test_what_is_with_another_option_moves_together_with_it() -> None:
    points = [("1", "3", "5"), ("1", "3", "6"), ("2", "4", "5"), ("2", "4", "6")]
    assert cells(TOGETHER) == [dict(zip("abc", point, strict=True)) for point in points]


def test_one_at_a_time_changes_one_axis_of_the_baseline() -> None:
    assert baseline(f"{TWO} --baseline a=2 --one-at-a-time") == {"a": "2", "b.c": "x"}
    assert cells(f"{TWO} --baseline a=2 --one-at-a-time") == [
        {"a": "2", "b.c": "x"}, {"a": "1", "b.c": "x"}, {"a": "3", "b.c": "x"},
        {"a": "2", "b.c": "y"},
    ]  # fmt: skip
    moved = cells(f"{TOGETHER} --one-at-a-time")
    assert moved[1:] == [{"a": "2", "b": "4", "c": "5"}, {"a": "1", "b": "3", "c": "6"}]


def test_the_baseline_has_the_first_values_where_it_names_none() -> None:
    assert baseline(TWO) == {"a": "1", "b.c": "x"}
    assert baseline(f"{TWO} --baseline=--b.c=y") == {"a": "1", "b.c": "y"}
    assert baseline(f"{TOGETHER} --baseline b=4") == {"a": "2", "b": "4", "c": "5"}


def test_draws_are_within_their_ranges_and_follow_their_laws() -> None:
    drawn = cells(f"{LAWS} --random 400 --sample-seed 3")
    logs, uniforms, whole = ([float(cell[name]) for cell in drawn] for name in "lui")
    assert all(1e-4 <= value <= 1e-1 for value in logs)
    assert all(-1 <= value <= 0.5 for value in uniforms)
    assert set(whole) == set(range(1, 9))
    assert all(cell["i"].isdecimal() for cell in drawn)
    # The middle of each law, within four standard errors of a median: 2 / sqrt(n) of the draws.
    for values, middle in ((logs, math.sqrt(1e-5)), (uniforms, -0.25), (whole, 4.5)):
        assert sum(value < middle for value in values) == pytest.approx(200, abs=40)


@pytest.mark.parametrize(
    ("law", "low", "high"),
    [
        ("uniform", 0.999, 0.99999),
        ("log", 0.999, 0.99999),
        ("uniform", 0.12344999, 0.1235),
        ("uniform", -1000.001, -1000),
        ("uniform", 1, 1.0000000000000009),
    ],
)
def test_draws_of_a_narrow_range_are_different_and_inside(
    law: str, low: float, high: float
) -> None:
    count = 4 if high - low < 1e-12 else 200
    drawn = [cell["a"] for cell in cells(f"--vary a={law}:{low!r}:{high!r} --random {count}")]
    assert len({float(text) for text in drawn}) == count
    assert all(low <= float(text) <= high for text in drawn)


def test_draws_of_other_ranges_have_four_digits() -> None:
    for ends in ("log:1e-4:1e-1", "uniform:0:0.5", "uniform:90:110"):
        drawn = [cell["a"] for cell in cells(f"--vary a={ends} --random 50")]
        assert all(text == f"{float(text):.4g}" for text in drawn)


def test_a_draw_is_a_function_of_the_seed_and_more_draws_begin_with_the_same() -> None:
    nine = cells(f"{LAWS} --random 9")
    assert nine == cells(f"{LAWS} --random 20")[:9]
    assert nine != cells(f"{LAWS} --random 9 --sample-seed 1")


def test_what_is_drawn_of_a_list_moves_together_and_is_never_drawn_twice() -> None:
    assert sorted(cells(f"{TOGETHER} --random 4"), key=str) == cells(TOGETHER)


def test_an_empty_value_of_a_file_is_written_as_one_is_typed() -> None:
    text = 'script = "b.py"\nbaseline = {a = ""}\n[vary]\na = ["c", ""]\n'
    choices, first = define(written(text)).cells()
    assert first == {"a": '""'}
    assert choices == [{"a": "c"}, {"a": '""'}]


def test_every_key_of_a_toml_file_is_read() -> None:
    found = define(written(TOML, "studies/a.toml"))
    assert found.script.resolve() == Path("cnn.py").resolve()
    assert (found.name, found.seeds, found.metric) == ("opt", (0, 3, 7), "test/accuracy")
    assert (found.at, found.seeds_by, found.one_at_a_time) == ("best", "sequential", True)
    assert found.options == ("--run.steps=300", "--model.batch-norm", "--model.widths", "8", "16")
    choices, baseline = found.cells()
    first = {"model.widths": "32 64", "model.residual": "true"}
    assert baseline == choices[0] == {"optimizer.name": "adam", **first}
    assert choices[1:] == [
        {**choices[0], "optimizer.name": "sgd"},
        {**choices[0], "model.widths": "64 128"},
        {**choices[0], "model.residual": "false"},
    ]


def test_a_python_file_is_read_and_its_tables_move_together() -> None:
    found = define(written(PYTHON, "opt.py"))
    assert (found.script, found.name) == (Path("cnn.py"), "opt")
    assert found.seeds == (0, 1, 2)
    assert found.options == ("--run.steps", "300")
    choices, baseline = found.cells()
    assert choices == [
        {"optimizer.name": name, "optimizer.learning-rate": rate, "model.dropout": dropout}
        for name, rate in (("sgd", "0.1"), ("adam", "0.001"))
        for dropout in ("0", "0.3")
    ]
    assert baseline == choices[2]


def test_a_baseline_of_a_file_may_have_commas_in_its_values() -> None:
    text = 'script = "a.py"\nvary = {"data.target" = ["label", "price, USD"], "b_c" = ["", "x"]}\n'
    named = 'baseline = {"data.target" = "price, USD", "b_c" = ""}'
    found = define(written(text + named)).cells()[1]
    assert found == {"data.target": "price, USD", "b-c": '""'}
    wrong = define(written(text + 'baseline = {"data.target" = "price, EUR"}'))
    with pytest.raises(InputError, match=r"^--baseline data.target=price, EUR: data.target is var"):
        wrong.cells()


def test_a_list_of_a_file_has_the_words_that_it_was_made_of() -> None:
    lists = [["price, USD", "id"], ["it's", 'a "b"', r"c\d*", "#1"], ["32", "64"], [""]]
    text = f'script = "a.py"\nvary = {{"data.ignore" = {json.dumps(lists)}}}\n'
    text += f'baseline = {{"data.ignore" = {json.dumps(lists[1])}}}'
    choices, first = define(written(text)).cells()
    assert first == choices[1]
    values = [choice["data.ignore"] for choice in choices]
    assert values[2] == "32 64"
    assert [parted(value) for value in values] == lists


def test_a_sampled_study_file_has_ranges_and_its_own_seed() -> None:
    text = 'script = "a.py"\nrandom = 3\nsample_seed = 5\nvary = {"lr" = "log:1e-4:1"}'
    choices, baseline = define(written(text)).cells()
    assert choices == cells("--random 3 --sample-seed 5 --vary lr=log:1e-4:1")
    assert (len(choices), baseline) == (3, None)


def test_the_command_line_has_precedence_over_the_file() -> None:
    typed = ("--name", "b", "--seeds", "2", "--at", "last", "--seeds-by", "vmap")
    typed += ("--vary", "x=1,2", "--baseline", "x=2")
    found = define(written(TOML), *typed, options=("--y", "3"))
    assert (found.name, found.seeds, found.at, found.seeds_by) == ("b", (0, 1), "last", "vmap")
    assert found.options[-2:] == ("--y", "3")
    assert found.cells() == ([{"x": "2"}, {"x": "1"}], {"x": "2"})


def test_without_axes_there_is_one_cell_which_is_the_baseline() -> None:
    found = define("experiments/cnn.py")
    assert (found.name, found.seeds) == ("cnn", (0, 1, 2, 3, 4))
    assert found.cells() == ([{}], {})


def test_seeds_are_so_many_or_those_with_commas() -> None:
    for text, seeds in (("3", (0, 1, 2)), ("5,2", (5, 2)), ("4,", (4,)), ("1", (0,))):
        assert define("a.py", "--seeds", text).seeds == seeds
    assert define(written('script = "a.py"\nseeds = [4]')).seeds == (4,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sead = 3", "did you mean seeds?"),
        ("vary = 3", "vary is a table of lists"),
        ('vary = "a=1"', "vary is a table of lists"),
        ("vary = {a = []}", "a has no values; give at least one"),
        ("vary = [{a = [1, 2], b = []}]", "b has no values"),
        ("vary = [{a = 'xyz', b = [1, 2, 3]}]", "the values of b must be as many"),
        ("vary = [{a = [1, 2], b = [3]}]", "the values of b must be as many"),
        ("vary = [{a = [1, 2]}, {a = [3]}]", "a is varied already"),
        ('options = "x"', "options are a list of words or a table"),
        ('at = "lst"', "at is lst; it is last or best"),
        ('seeds_by = "turns"', "seeds_by is turns; it is auto, sequential, vmap"),
        ('random = "3"', "random is 3; it is a whole number"),
        ("random = true", "random is true; it is a whole number"),
        ("sample_seed = 0.5", "sample_seed is 0.5; it is a whole number"),
        ('one_at_a_time = "no"', "one_at_a_time is no; it is true or false"),
        ("metric = 3", "metric is 3; it is text"),
        ("name = 3", "name is 3; it is text"),
        ("baseline = 3", "baseline is 3; it is"),
    ],
)
def test_a_wrong_key_of_a_file_is_named(text: str, message: str, refused) -> None:
    said = refused("ablate", written(f'script = "a.py"\n{text}'))
    assert said.startswith("error: a.toml")
    assert message in said


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("a.toml", "script = ", "cannot be read"),
        ("a.toml", "seeds = 3", "has no script"),
        ("a.toml", "script = 3", "script is 3; it is text"),
        ("a.py", "STUDY = 1 / 0\n", "division by zero"),
        ("a.py", "STUDY = 3\n", "must be a mapping"),
        ("a.py", "import nothing\nSTUDY = {}\n", "No module named 'nothing'"),
    ],
)
def test_a_file_that_is_no_study_is_refused(path: str, text: str, message: str, refused) -> None:
    said = refused("ablate", written(text, path))
    assert said.startswith(f"error: {path}")
    assert message in said
    assert [there.name for there in Path(".").iterdir()] == [path]
