"""What every script keeps once it is trained: it is loaded, asked and evaluated as it was trained.

Found by listing ``experiments/``, as the rest of the contract.
"""

import functools
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rare import rare
from test_contract import build, run, scripts

import bigmodel
from bigmodel.experiment import InputError
from bigmodel.inference.measuring import evaluate
from bigmodel.inference.outputs import plain
from bigmodel.inference.trained import Trained
from bigmodel.predictor import Beginning

ROOT = Path(__file__).parent.parent
EXPERIMENTS = ROOT / "experiments"
FEW = 5
# One of each kind of input and of answer; the others are left to the matrix.
KEPT = ("cnn", "gan", "gpt", "mlp", "recommender")
each_script = scripts(KEPT)


@functools.cache
def trained(script: Path, folder: Path) -> Trained:
    """A short run of a script, loaded."""
    path = folder / script.stem
    assert run(build(script), path, steps=2, eval_every=2) == 0
    return bigmodel.load(path)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trained")


def values(answer: Any) -> Iterator[Any]:
    """The texts and numbers of an answer, by falling name."""
    match answer:
        case dict():
            for name in sorted(answer):
                yield from values(answer[name])
        case list():
            for each in answer:
                yield from values(each)
        case np.ndarray():
            yield from answer.ravel().tolist()
        case _:
            yield answer


def assert_close(some: list[Any], others: list[Any]) -> None:
    for one, other in zip(values(some), values(others), strict=True):
        if isinstance(one, float):
            assert one == pytest.approx(other, rel=1e-4, abs=1e-5)
        else:
            assert one == other


@each_script
def test_inputs_of_the_test_split_are_encoded_as_its_batches(script: Path, folder: Path) -> None:
    one = trained(script, folder)
    data = build(script).experiment.data
    assert data.inputs.keys() == data.splits.keys()
    for split, batches in data.splits.items():
        inputs = data.inputs[split]
        size = min(len(batches[0]["weight"]), len(inputs))
        encoded = one.predictor.encode([inputs[row] for row in range(size)])
        shared = encoded.keys() & batches[0].keys()
        # A recommender is asked by user, and evaluated by rating; texts of gpt go on.
        for name in shared if script.stem != "recommender" else ():
            np.testing.assert_array_equal(encoded[name], np.asarray(batches[0][name])[:size])
        assert shared


@each_script
def test_answers_do_not_depend_on_the_batch(script: Path, folder: Path) -> None:
    one = trained(script, folder)
    inputs = next(iter(build(script).experiment.data.inputs.values()))
    few = [inputs[row] for row in range(FEW)]
    answers = one.predict(few, batch_size=FEW)
    json.dumps(plain(answers, np.ndarray.tolist))
    assert len(answers) == FEW
    assert_close(answers, one.predict(few[::-1], batch_size=2)[::-1])
    assert_close(answers[:1], one.predict(few[:1], batch_size=1))


@each_script
def test_an_evaluation_of_a_trained_run_equals_its_last(script: Path, folder: Path) -> None:
    one = trained(script, folder)
    found = evaluate(one)
    expected = {name: value for name, value in one.summary.items() if name in found.values}
    assert expected
    assert found.values == pytest.approx(expected, rel=1e-4, abs=1e-6, nan_ok=True)
    for figure in found.shown.values():
        drawn = figure() if callable(figure) else figure
        assert isinstance(drawn, str) or (drawn.dtype == np.uint8 and drawn.ndim in (2, 3))
    whole = evaluate(one, other=True)
    assert {name.partition("/")[0] for name in whole.values} == {"test"}


@each_script
def test_what_cannot_be_encoded_is_refused(script: Path, folder: Path) -> None:
    one = trained(script, folder)
    for wrong in (None, True, float("nan"), [], [[]], {}, {"a": [1]}, object(), b"\0", [10**400]):
        with pytest.raises(InputError, match=r"^input 2: ."):
            one.predict([_right(script), wrong])


def _right(script: Path) -> Any:
    return next(iter(build(script).experiment.data.inputs.values()))[0]


PROGRAM = """
import json, sys, pathlib, bigmodel, numpy
from bigmodel.inference.outputs import plain
from bigmodel.predictor import Beginning
asked = json.loads(pathlib.Path(sys.argv[1]).read_text())
for path, inputs in asked.items():
    run = bigmodel.load(path)
    run.script.build = None
    inputs = [Beginning(each) if isinstance(each, str) else each for each in inputs]
    print(json.dumps(plain(run.predict(inputs, batch_size=2), numpy.ndarray.tolist)))
assert "sklearn" not in sys.modules, "data was loaded"
"""


@pytest.mark.slow
@pytest.mark.parametrize("names", [KEPT, rare("*")], ids=["kept", "all"])
def test_runs_answer_in_a_fresh_process_elsewhere(
    names: Sequence[str], folder: Path, tmp_path: Path
) -> None:
    asked, expected = {}, []
    for script in sorted(path for name in names for path in EXPERIMENTS.glob(f"{name}.py")):
        one = trained(script, folder)
        inputs = next(iter(build(script).experiment.data.inputs.values()))
        few = json.loads(
            json.dumps(plain([inputs[0], inputs[1]], np.ndarray.tolist), default=float)
        )
        asked[str(one.path)] = few
        cut = [Beginning(each) if isinstance(each, str) else each for each in few]
        expected.append(plain(one.predict(cut, batch_size=2), np.ndarray.tolist))
    (tmp_path / "asked.json").write_text(json.dumps(asked))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "asked.json"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other)
