import re
from pathlib import Path

import pytest
from written import write_run

from bigmodel.experiment import InputError
from bigmodel.files import write_json
from bigmodel.studies.runs import FAILED, read_results, read_state
from bigmodel.studies.study import STUDY, Cell, Study, directory_of, read_study, write_study

CELLS = (Cell({"model.widths": "32 64"}), Cell({"model.widths": "32_64"}), Cell({}))
FULL = Study("a.py", ("--x=1",), CELLS, (0, 7), CELLS[1].name, "test/loss", "best", "vmap")


def test_a_study_is_read_as_it_was_written(tmp_path: Path) -> None:
    for study in (FULL, Study("a.py", (), CELLS, (0,))):
        write_study(tmp_path, study)
        assert read_study(tmp_path) == study


def test_names_are_those_of_the_options_in_their_order() -> None:
    assert Cell({"b": "1", "a.c": "x y"}).name == "b=1 a.c=x y"
    assert Cell({}).name == "default"
    assert FULL.varied == ("model.widths",)


def test_folders_are_safe_and_differ_where_cells_do() -> None:
    odd = [
        Cell({"a": value}) for value in ("/../b", "..", "x" * 300, "x" * 301, "é", "ö", "A", "a")
    ]
    folders = [cell.folder for cell in (*CELLS, *odd)]
    assert len({folder.lower() for folder in folders}) == len(folders)
    assert all(re.fullmatch(r"[A-Za-z0-9.=_+-]{1,100}", folder) for folder in folders)
    assert not any(folder.startswith((".", "-")) for folder in folders)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"version": 1}', "is a study of version 1 and this program reads version 2; make it"),
        ('{"version": 2, "options": [], "seeds": [0], "cells": 3}', "cannot be read as a study"),
        ('{"version": 2, "options": [], "seeds": [0], "cells": [{}]}', "cannot be read as a study"),
        ('{"version": 2, "options": [], "seeds": null, "cells": []}', "cannot be read as a study"),
        *[(text, "study.json cannot be read as a study") for text in ("", "{", "[]", "3")],
    ],
)
def test_what_is_no_study_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / STUDY).write_text(text)
    with pytest.raises(InputError) as refused:
        read_study(tmp_path)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_state_of_a_run_is_that_of_its_files(tmp_path: Path) -> None:
    assert read_state(tmp_path / "none") == ("missing", "", {})
    begun = write_run(tmp_path / "begun", summary=None)
    assert read_state(begun) == ("begun", "", {})
    ended = write_run(tmp_path / "ended")
    state, reason, summary = read_state(ended)
    assert (state, reason, summary["step"]) == ("completed", "", 100)
    write_json(begun / FAILED, {"reason": "out of memory"})
    assert read_state(begun) == ("failed", "out of memory", {})


def test_results_are_those_of_each_cell_under_each_seed(tmp_path: Path) -> None:
    write_run(directory_of(tmp_path, CELLS[1], 7))
    found = list(read_results(tmp_path, FULL))
    assert [(run.cell, run.seed) for run in found] == [(c, s) for c in CELLS for s in (0, 7)]
    assert [run.state for run in found].index("completed") == 3
    assert [line["step"] for line in found[3].history] == [50, 100, 100]
    assert found[0].history == []
