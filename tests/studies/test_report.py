"""``launch.py report`` over a study with every state a run can be in."""

import csv
import itertools
import math
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from written import write_runs

import launch

EVIL = "<script>alert(1)</script>|$x_1$\n=1"
CELLS = ({"a.name": "sgd", "b.c": "=1+1"}, {"a.name": EVIL, "b.c": "-2"}, {"a.name": "x"})
SEEDS = (3, 4, 5)
LAST = {0: [0.5, 0.75, 0.7], 1: [0.7, 0.9, "not finite"], 2: ["missing", "begun", "failed"]}


def accuracy(cell: int, seed: int, step: int) -> float | str:
    value = LAST[cell][SEEDS.index(seed)]
    return value if isinstance(value, str) else value - (300 - step) / 1000


class Page(HTMLParser):
    """The elements, the texts of the entries of tables, and all attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.rows: list[list[str]] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += attrs
        if tag == "tr":
            self.rows.append([])
        if tag == "td":
            self.inside = True
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag != "td"

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("studies") / "opt"
    write_runs(path, CELLS, seeds=SEEDS, accuracy=accuracy)
    assert launch.main(["report", str(path)]) == 0
    return path


def read_csv(path: Path) -> list[dict[str, str]]:
    with (path / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_csv_has_a_line_for_each_run_in_the_order_of_the_study(study: Path) -> None:
    lines = read_csv(study)
    assert list(lines[0]) == [
        "cell", "a.name", "b.c", "seed", "state", "reason", "step", "test/accuracy", "train/loss",
        "validation/loss", "seconds", "first_step_seconds", "parameters", "params_digest",
    ]  # fmt: skip
    assert [line["seed"] for line in lines] == ["3", "4", "5"] * 3
    states = ["completed"] * 5 + ["not finite", "missing", "begun", "failed"]
    assert [line["state"] for line in lines] == states
    values = [line["test/accuracy"] for line in lines]
    assert values == ["0.5", "0.75", "0.7", "0.7", "0.9", "", "", "", ""]
    assert lines[8]["reason"] == "out of memory"
    assert [line["step"] for line in lines[4:7]] == ["300", "7", ""]
    assert {line["parameters"] for line in lines[:5]} == {"10"}
    assert lines[0]["validation/loss"] == "9.0"


def test_csv_holds_no_formula_but_numbers_and_line_breaks(study: Path) -> None:
    lines = read_csv(study)
    assert lines[0]["b.c"] == "'=1+1"
    assert lines[3]["b.c"] == "-2"
    assert lines[3]["a.name"] == EVIL
    assert lines[6]["b.c"] == ""


def test_table_of_the_page_has_the_numbers_of_a_calculation_by_hand(study: Path) -> None:
    page = Page((study / "report.html").read_text())
    first = next(row for row in page.rows if row and row[0] == "sgd")
    assert first[2:4] == ["3/3", "baseline"]
    low, high = map(float, first[5].split(" to "))
    # The quantile of Student's t with 2 degrees of freedom, and the deviations from 0.65.
    half = 4.302653 * math.sqrt((0.15**2 + 0.1**2 + 0.05**2) / 2) / math.sqrt(3)
    np.testing.assert_allclose(
        [float(first[4]), low, high], [0.65, 0.65 - half, 0.65 + half], atol=5e-3
    )
    assert first[-2:] == ["1.1", "10"]
    second = next(row for row in page.rows if row and row[2:3] == ["2/3"])
    assert second[3] == "1 not finite"
    # By seed 0.7 - 0.5 and 0.9 - 0.75; of the four pairs of runs, 0.7 beside 0.75 is not better.
    assert float(second[10]) == pytest.approx(0.175, abs=5e-3)
    assert float(second[12]) == 0.75
    third = next(row for row in page.rows if row and row[0] == "x")
    assert third[1:4] == ["\N{EN DASH}", "0/3", "1 missing, 1 begun, 1 failed"]


def test_page_is_one_file_whose_names_are_escaped(study: Path) -> None:
    text = (study / "report.html").read_text()
    page = Page(text)
    assert page.elements.count("script") == 1
    assert "svg" in page.elements
    assert any(row and row[0] == EVIL for row in page.rows)
    assert not [value for name, value in page.attributes if name in ("src", "onerror", "onload")]
    links = [value for name, value in page.attributes if "href" in name and value]
    assert all(value.startswith("#") for value in links)
    assert "url(http" not in text
    assert not re.search(r"<g id=|#000000", text)


def test_page_says_what_to_know_before_the_numbers(study: Path) -> None:
    text = (study / "report.html").read_text()
    for words in (
        "experiments/cnn.py",
        "test/accuracy (larger is better)",
        "the last one of each run",
        "5 completed, 1 not finite, 1 missing, 1 begun, 1 failed",
        "2 of 9 runs have not ended",
        "2 of 9 runs were not finite or failed",
        "no difference can be called significant",
        "jax 0.10.2",
    ):
        assert words in text, words


def test_pictures_are_written_and_those_of_an_earlier_report_removed(study: Path) -> None:
    stale = study / "figures" / "curves-test-loss-step.png"
    stale.write_bytes(b"")
    assert launch.main(["report", str(study)]) == 0
    names = {path.name for path in (study / "figures").iterdir()}
    curves = itertools.product(("test-accuracy", "train-loss"), ("step", "seconds"))
    assert names == {"means.png", *(f"curves-{metric}-{x}.png" for metric, x in curves)}


def test_equal_studies_have_equal_reports_but_for_seconds(study: Path, tmp_path: Path) -> None:
    again = tmp_path / "opt"
    write_runs(again, CELLS, seeds=SEEDS, accuracy=accuracy, slower=2.0)
    assert launch.main(["report", str(again)]) == 0
    assert (again / "results.tex").read_bytes() == (study / "results.tex").read_bytes()
    for one, other in zip(read_csv(study), read_csv(again), strict=True):
        differing = {name for name in one if one[name] != other[name]}
        assert differing == ({"seconds"} if one["seconds"] else set())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--metric", "test/acuracy"], "did you mean test/accuracy? there are train/loss, "),
        (["--baseline", "a.name=sdg"], "no cell a.name=sdg; did you mean a.name=sgd"),
        (["--at", "best", "--metric", "train/loss"], "a step is not chosen on test"),
        (["--", "--run.steps", "3"], "no options after --"),
    ],
)
def test_what_the_study_does_not_have_is_refused_in_one_line(
    tmp_path: Path, options: list[str], words: str, refused: Callable[..., str]
) -> None:
    path = tmp_path / "opt"
    best = {"run.best": "test/loss"}
    write_runs(path, CELLS[:1], seeds=SEEDS, accuracy=accuracy, config=best)
    assert words in refused("report", str(path), *options)
    assert not (path / "report.html").exists()


def test_folders_without_a_finished_run_are_refused_in_one_line(
    study: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    (tmp_path / "empty").mkdir()
    open_ = tmp_path / "open"
    write_runs(open_, CELLS[2:], seeds=(3, 4), accuracy=lambda *_: "begun")
    broken = tmp_path / "broken"
    shutil.copytree(study, broken)
    next(broken.glob("runs/*sgd*/seed-3/summary.json")).write_text("{")
    for path, words in (
        (tmp_path / "none", "no folder"),
        (tmp_path / "empty", "is no study"),
        (open_, "no finished run yet: 2 begun"),
        (broken, "cannot read"),
    ):
        assert words in refused("report", str(path))
