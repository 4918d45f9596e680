import argparse
from pathlib import Path

import pytest

import launch
from bigmodel.experiment import InputError
from bigmodel.studies import ablate
from bigmodel.studies.definition.definition import Definition, read_seeds
from bigmodel.studies.definition.study_file import read_study_file

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


def define(*words: str, options: tuple[str, ...] = ()) -> Definition:
    parser = argparse.ArgumentParser()
    ablate.add_options(parser)
    return ablate.define(parser.parse_args(words), options)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def written(text: str, path: str) -> Path:
    Path(path).parent.mkdir(exist_ok=True)
    Path(path).write_text(text)
    return Path(path)


def test_every_key_of_a_toml_file_is_read() -> None:
    found = define(str(written(TOML, "studies/a.toml")))
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
    found = define(str(written(PYTHON, "opt.py")))
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


def test_a_sampled_study_file_has_ranges_and_its_own_seed() -> None:
    text = 'script = "a.py"\nrandom = 3\nsample_seed = 5\nvary = {"lr" = "log:1e-4:1"}'
    choices, baseline = define(str(written(text, "a.toml"))).cells()
    typed = ("--random", "3", "--sample-seed", "5", "--vary", "lr=log:1e-4:1")
    assert choices == define("a.py", *typed).cells()[0]
    assert (len(choices), baseline) == (3, None)


def test_the_command_line_has_precedence_over_the_file() -> None:
    path = str(written(TOML, "a.toml"))
    typed = ("--name", "b", "--seeds", "2", "--at", "last", "--seeds-by", "vmap")
    found = define(path, *typed, "--vary", "x=1,2", "--baseline", "x=2", options=("--y", "3"))
    assert (found.name, found.seeds, found.at, found.seeds_by) == ("b", (0, 1), "last", "vmap")
    assert found.options[-2:] == ("--y", "3")
    assert found.cells() == ([{"x": "2"}, {"x": "1"}], {"x": "2"})


def test_without_axes_there_is_one_cell_which_is_the_baseline() -> None:
    found = define("experiments/cnn.py")
    assert (found.name, found.seeds) == ("cnn", (0, 1, 2, 3, 4))
    assert found.cells() == ([{}], {})


@pytest.mark.parametrize(
    ("text", "seeds"), [("3", (0, 1, 2)), ("5,2", (5, 2)), ("4,", (4,)), ("1", (0,))]
)
def test_seeds_are_so_many_or_those_with_commas(text: str, seeds: tuple[int, ...]) -> None:
    assert read_seeds(text) == seeds


def test_one_seed_in_a_list_is_itself() -> None:
    assert define(str(written('script = "a.py"\nseeds = [4]', "a.toml"))).seeds == (4,)


@pytest.mark.parametrize("text", ["0", "-1", "10001", "x", "1.5", "", ",", "1,1", "-1,2", "1,,2"])
def test_what_is_no_seeds_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--seeds"):
        read_seeds(text)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--random", "2", "--one-at-a-time"), "two ways; choose one"),
        (("--random", "2", "--baseline", "a=1"), "leave out --baseline"),
        (("--random", "2"), "needs a --vary to draw from"),
        (("--random", "0", "--vary", "a=1"), "--random 0 must be at least 1"),
        (("--baseline", "a=1"), "nothing is varied"),
        (("--vary", "a=uniform:0:1"), "is a range"),
    ],
)
def test_ways_that_do_not_fit_are_refused(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError) as refused:
        define("a.py", *words).cells()
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("script = ", "cannot be read"),
        ("seeds = 3", "has no script"),
        ('script = "a.py"\nsead = 3', "did you mean seeds?"),
        ('script = "a.py"\nvary = 3', "vary is a table of lists"),
        ('script = "a.py"\nvary = "a=1"', "vary is a table of lists"),
        ('script = "a.py"\nvary = {a = []}', "the values of a"),
        ('script = "a.py"\nvary = [{a = [1, 2], b = [3]}]', "the values of b must be as many"),
        ('script = "a.py"\nvary = [{a = [1, 2]}, {a = [3]}]', "a is varied already"),
        ('script = "a.py"\noptions = "x"', "options are a list of words or a table"),
        ('script = "a.py"\nat = "lst"', "at is lst; it is last or best"),
        ('script = "a.py"\nseeds_by = "turns"', "seeds_by is turns; it is auto, sequential, vmap"),
        ('script = "a.py"\nrandom = "3"', "random is 3; it is a whole number"),
        ('script = "a.py"\nrandom = true', "random is true; it is a whole number"),
        ('script = "a.py"\nsample_seed = 0.5', "sample_seed is 0.5; it is a whole number"),
        ('script = "a.py"\none_at_a_time = "no"', "one_at_a_time is no; it is true or false"),
        ('script = "a.py"\nmetric = 3', "metric is 3; it is text"),
        ("script = 3", "script is 3; it is text"),
        ('script = "a.py"\nname = 3', "name is 3; it is text"),
        ('script = "a.py"\nbaseline = 3', "baseline is 3; it is"),
    ],
)
def test_a_file_that_is_no_study_is_refused_in_one_line(text: str, message: str) -> None:
    path = written(text, "a.toml")
    with pytest.raises(InputError) as refused:
        read_study_file(path)
    assert str(refused.value).startswith(str(path))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["STUDY = 1 / 0\n", "STUDY = 3\n", "import nothing\nSTUDY = {}\n"])
def test_a_python_file_that_fails_is_one_line_and_status_2(text: str, capsys) -> None:
    written(text, "a.py")
    assert launch.main(["ablate", "a.py"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: a.py")
    assert error.count("\n") == 1
    assert [path.name for path in Path(".").iterdir()] == ["a.py"]
