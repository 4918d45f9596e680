"""The baseline, the rows, the main effects and the provenance of a report."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from written import write_runs

from bigmodel.experiment import InputError
from bigmodel.studies.reporting.cell_tables import cells_table, short_table
from bigmodel.studies.reporting.content import read_report, warnings
from bigmodel.studies.reporting.drawings import (
    Points,
    draw_all_curves,
    draw_means,
    over_seconds,
    over_steps,
)
from bigmodel.studies.reporting.text import show_report
from bigmodel.studies.statistics.scores import best_rows, find_baseline
from bigmodel.studies.statistics.statistics import compare, holm
from bigmodel.studies.study import Cell, Study

SEEDS = tuple(range(6))
GRID = tuple({"a": a, "w": w} for a, w in itertools.product("xyz", ("1", "2")))
VALUES = np.random.default_rng(0).uniform(0.5, 0.7, (len(GRID), len(SEEDS)))
VALUES[1::2] += 0.2


def accuracy(cell: int, seed: int, *_: int) -> float:
    return float(VALUES[cell, seed])


def test_baseline_is_found_by_its_options_in_any_order_with_commas_in_values() -> None:
    cells = tuple(Cell({"w": w, "a": a}) for w in ("1,2", "3") for a in "xy")
    study = Study("s.py", (), cells, (0,))
    assert find_baseline(study, None) is cells[0]
    assert find_baseline(study, cells[3].name) is cells[3]
    assert find_baseline(study, "a=y,w=1,2") is cells[1]
    with pytest.raises(InputError, match="is 2 cells; give all of w, a"):
        find_baseline(study, "a=y")
    with pytest.raises(InputError, match="did you mean w=3 a=y"):
        find_baseline(study, "w=3,a=yy")


def test_rows_are_compared_with_the_baseline_and_corrected_together(tmp_path: Path) -> None:
    write_runs(tmp_path, GRID, seeds=SEEDS, accuracy=accuracy)
    report = read_report(tmp_path, baseline="a=y,w=2")
    others = [0, 1, 2, 4, 5]
    made = [compare(VALUES[at], VALUES[3], maximize=True, comparisons=5) for at in others]
    assert [report.rows[at].comparison for at in others] == made
    assert report.rows[3].comparison is None
    assert [report.rows[at].adjusted for at in others] == holm([one.p for one in made])
    first = best_rows(report.rows, report.baseline, maximize=True, count=3)
    better = sorted(others, key=lambda at: -VALUES[at].mean())[:2]
    assert [report.rows.index(row) for row in first] == [3, *better]


def test_main_effect_is_the_mean_over_the_other_options_seed_by_seed(tmp_path: Path) -> None:
    write_runs(tmp_path, GRID, seeds=SEEDS, accuracy=accuracy)
    letters, widths = read_report(tmp_path).effects
    by_letter = VALUES.reshape(3, 2, 6).mean(axis=1)
    for level, values in zip(letters.levels, by_letter, strict=True):
        assert level.spread.mean == pytest.approx(values.mean())
        assert level.spread.std == pytest.approx(values.std(ddof=1))
    difference = VALUES.reshape(3, 2, 6).mean(axis=0)
    expected = (difference[1] - difference[0]).mean()
    assert widths.levels[1].comparison.difference == pytest.approx(expected)
    assert widths.levels[0].comparison is None
    levels = [*letters.levels[1:], *widths.levels[1:]]
    assert [level.adjusted for level in levels] == holm([level.comparison.p for level in levels])


def test_main_effects_leave_out_a_setting_with_a_run_that_is_not_there(tmp_path: Path) -> None:
    write_runs(
        tmp_path,
        GRID,
        seeds=SEEDS,
        accuracy=lambda c, s, step: "missing" if (c, s) == (1, 4) else accuracy(c, s, step),
    )
    letters, widths = read_report(tmp_path).effects
    assert (letters.used, letters.settings) == (1, 2)
    assert (widths.used, widths.settings) == (2, 3)
    assert letters.levels[2].spread.mean == pytest.approx(VALUES[4].mean())


@pytest.mark.parametrize(
    ("cells", "words"), [(GRID[:5], "not the full grid of 6"), (GRID[::2], "fewer than two")]
)
def test_without_a_full_grid_of_options_there_is_no_main_effect(
    tmp_path: Path, cells: tuple[dict[str, str], ...], words: str
) -> None:
    write_runs(tmp_path, cells, seeds=SEEDS, accuracy=accuracy)
    assert words in read_report(tmp_path).effects


def test_runs_with_and_without_a_teacher_share_their_data(tmp_path: Path) -> None:
    def manifest(cell: int, seed: int) -> dict[str, object]:
        return {"data_fingerprint": f"{cell} {seed}", "examples_fingerprint": "0"}

    write_runs(tmp_path, GRID[:2], seeds=(0, 2), accuracy=accuracy, manifest=manifest)
    assert not [words for words in warnings(read_report(tmp_path)) if "their data" in words]


def test_runs_that_were_not_made_alike_are_named(tmp_path: Path) -> None:
    def manifest(cell: int, seed: int) -> dict[str, object]:
        return {"device_kind": "H100"} if cell == 1 else {"code": "e"} if seed == 2 else {}

    write_runs(tmp_path, GRID[:2], seeds=(0, 2), accuracy=accuracy, manifest=manifest)
    said = warnings(read_report(tmp_path))
    assert "the runs do not share their device: 1 x cpu in 2 of 4, 1 x H100 in 2 of 4" in said
    assert [words for words in said if re.search("their code: .* in 3 of 4, .* in 1 of 4", words)]
    assert not [words for words in said if re.search("their (cores|data|jax|machine)", words)]


def test_data_that_an_option_varies_is_no_warning(tmp_path: Path) -> None:
    cells = ({"data.name": "a"}, {"data.name": "b"})

    def manifest(cell: int, *_: int) -> dict[str, object]:
        return {"data_fingerprint": f"{cell}"}

    write_runs(tmp_path, cells, seeds=SEEDS, accuracy=accuracy, manifest=manifest)
    assert warnings(read_report(tmp_path)) == []


def test_a_cell_that_diverged_does_not_decide_the_digits_of_the_others(tmp_path: Path) -> None:
    values = [(2.3026, 2.3031), (9e27, 2e28), (2e-10, 2.5e-10), (2.1, 2.4), (7.0, 7.0)]
    cells = tuple({"n": f"c{index}"} for index in range(len(values)))
    for count in (2, 5):
        path = tmp_path / str(count)
        write_runs(
            path, cells[:count], seeds=(0, 1), accuracy=lambda cell, seed, _: values[cell][seed]
        )
        report = read_report(path)
        rows = [[entry.text for entry in row] for row in cells_table(report).rows]
        short = [[entry.text for entry in row] for row in short_table(report, report.rows).rows]
        for row, brief in zip(rows, short, strict=True):
            assert row[3:5] == brief[2:4]
            assert row[0] == "c4" or len(set(row[4].split(" to "))) == 2
            assert all(float(text) for text in (*row[3:4], *row[6:9], *row[4].split(" to ")))
        assert [float(text) for text in rows[0][7:9]] == [2.3031, 2.3026]
        assert float(rows[0][5]) == pytest.approx(3.5e-4, rel=0.2)


def test_single_runs_beside_one_that_diverged_have_their_digits(tmp_path: Path) -> None:
    values = (2.31, 4e27, 5e28)
    write_runs(tmp_path, GRID[:3], seeds=(0,), accuracy=lambda cell, *_: values[cell])
    rows = cells_table(read_report(tmp_path)).rows
    assert [float(row[4].text) for row in rows] == list(values)


def test_too_few_seeds_and_lost_runs_are_said(tmp_path: Path) -> None:
    write_runs(
        tmp_path,
        GRID[:3],
        seeds=SEEDS,
        accuracy=lambda c, s, step: "not finite" if c == 1 and s > 2 else accuracy(c, s, step),
    )
    said = warnings(read_report(tmp_path))
    assert [words for words in said if "1 of 2 comparisons: with 3 seeds" in words]
    assert [words for words in said if "3 of 18 runs were not finite" in words]


def test_curves_are_the_mean_and_range_at_the_steps_that_all_seeds_have() -> None:
    one = Points(*np.array([[1.0, 2, 4], [1, 2, 4], [9, 10, 12]]))
    two = Points(*np.array([[1.0, 2, 3], [3, 4, 5], [1, 2, 3]]))
    three = Points(*np.array([[1.0, 2], [2, 9], [2, 4]]))
    mean, least, greatest = [2, 5], [1, 2], [3, 9]
    found = over_steps([one, two, three])
    np.testing.assert_array_equal(found, [[1, 2], mean, least, greatest])
    found = over_seconds([one, two, three])
    np.testing.assert_array_equal(found, [[2, 4], mean, least, greatest])


def test_of_many_cells_the_baseline_and_the_best_are_printed(tmp_path: Path, capsys) -> None:
    cells = tuple({"n": f"c{index}"} for index in range(25))
    write_runs(tmp_path, cells, seeds=(0,), accuracy=lambda cell, *_: cell / 100)
    show_report(read_report(tmp_path))
    shown = re.findall("^c[0-9]+", capsys.readouterr().out, re.MULTILINE)
    assert shown == ["c0", *(f"c{index}" for index in range(24, 5, -1))]


def test_of_many_cells_the_best_are_drawn_and_printed_without_a_baseline_that_diverged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = tuple({"n": f"c{index}"} for index in range(45))
    write_runs(tmp_path, cells, accuracy=lambda cell, *_: cell / 100 if cell else "not finite")
    report = read_report(tmp_path)
    curves = [drawing.caption for drawing in draw_all_curves(report)]
    assert curves
    assert all(caption.endswith(", the best 10 cells.") for caption in curves)
    assert draw_means(report).caption.endswith(", the best 40 of 45 cells.")
    show_report(report)
    assert "\nthe best of 45 cells; results.md has all" in capsys.readouterr().out
