from functools import partial

import numpy as np

from bigmodel.run_directory.directory import RunDirectory


def test_a_figure_that_fails_is_a_warning_and_the_others_are_written(tmp_path, capsys):
    directory = RunDirectory(tmp_path)
    directory.resume(0)
    picture = np.zeros((2, 2, 3), np.uint8)
    shown = {
        "raising": partial(np.zeros, -1),
        "no picture": lambda: np.zeros((2, 2, 7)),
        "text": "caf\udce9",
        "drawn": lambda: picture,
    }
    directory.show(3, shown)
    directory.finish({"step": 3}, lambda history: np.zeros(len(history) - 1))
    directory.close()
    written = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert written == ["drawn-00000003.png", "text-00000003.txt"]
    assert (tmp_path / "figures" / "text-00000003.txt").read_text() == "caf?"
    assert (tmp_path / "summary.json").exists()
    warned = capsys.readouterr().err.splitlines()
    assert [line.partition(" of step 3 is left out: ")[0] for line in warned] == [
        "warning: the figure raising",
        "warning: the figure no picture",
        "warning: the figure curves",
    ]
