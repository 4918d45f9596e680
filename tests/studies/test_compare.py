from pathlib import Path

import pytest
from written import LINES, SUMMARY, write_run

import launch

pytestmark = pytest.mark.usefixtures("here")


def compared(capsys: pytest.CaptureFixture[str], *runs: str) -> dict[str, list[str]]:
    """The rows of all tables as words, by their names."""
    assert launch.main(["compare", *runs]) == 0
    lines = capsys.readouterr().out.splitlines()
    return {line.split()[0]: line.split()[1:] for line in lines if line}


def test_shows_the_options_code_machine_and_results_that_differ(capsys) -> None:
    write_run(Path("a"))
    write_run(
        Path("b"),
        config={"run.dir": "b", "optimizer.name": "sgd", "model.widths": [8]},
        manifest={
            "packages.jax": "0.9",
            "cores": 4,
            "git": {"commit": "2" * 40, "diff": "+x", "untracked": "one.py\ntwo.py"},
            "code": "e" * 16,
        },
        summary=SUMMARY | {"test/loss": 0.4, "params_digest": "b" * 64, "seconds": 9.25},
    )
    rows = compared(capsys, "a", "b")
    assert rows["optimizer.name"] == ['"adam"', '"sgd"']
    assert rows["model.widths"] == ["[32,", "64]", "[8]"]
    assert rows["package.jax"] == ["0.10.2", "0.9"]
    assert rows["cores"] == ["2", "4"]
    assert rows["commit"] == ["1111111111", "2222222222"]
    assert rows["untracked"] == ["files", "0", "2"]
    assert rows["test/loss"] == ["0.3", "0.4"]
    assert rows["test/accuracy"] == ["0.9", "0.9"]
    assert rows["seconds"] == ["1.5", "9.2"]
    assert rows["parameters:"] == ["2", "different", "digests"]
    assert not rows.keys() & {"run.dir", "optimizer.learning_rate", "package.numpy", "python"}


def test_says_what_is_the_same_and_that_bits_are(capsys) -> None:
    for name in "abc":
        write_run(Path(name), config={"run.dir": name})
    rows = compared(capsys, *"abc")
    assert rows["options:"] == rows["code:"] == ["the", "same"]
    assert rows["packages,"] == ["machine", "and", "data:", "the", "same"]
    assert rows["parameters:"] == ["the", "same", "bits"]
    assert rows["params_digest"] == 3 * ["aaaaaaaaaa"]


def test_a_run_without_an_end_is_compared_as_far_as_it_has_come(capsys) -> None:
    write_run(Path("a"))
    write_run(Path("b"), lines=LINES[:1], summary=None)
    rows = compared(capsys, "a", "b")
    assert rows["status"] == ["completed", "begun"]
    assert rows["step"] == ["100", "50"]
    assert rows["train/loss"] == ["0.25", "0.5"]
    assert rows["test/loss"] == ["0.3", "-"]


@pytest.mark.parametrize("runs", [["a"], ["a", "nowhere"], []])
def test_less_than_two_runs_are_one_line_and_status_2(refused, runs: list[str]) -> None:
    write_run(Path("a"))
    refused("compare", *runs)
