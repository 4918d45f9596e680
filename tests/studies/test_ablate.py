"""Studies that are made: every run is what its script makes alone, whatever the others do."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from made_study import (
    ENVIRONMENT,
    LENGTH,
    ROOT,
    Made,
    ablate,
    logged,
    made,
    read,
    results,
    write_script,
)

from bigmodel.files import write_json

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ablate")]
WHATS = ("--vary", "what=broken,killed,large,diverging,nothing", "--seeds-by", "sequential")


def alone(script: Path, directory: Path, *options: str) -> Path:
    """A run of a script by itself."""
    words = [sys.executable, str(script), *options, f"--run.dir={directory}"]
    subprocess.run(words, env=ENVIRONMENT, check=True, capture_output=True)
    return directory


def same_bits(one: Path, other: Path) -> bool:
    digests = [read(path, "summary.json")["params_digest"] for path in (one, other)]
    return digests[0] == digests[1] and logged(one) == logged(other)


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of which all runs but the last fail, each in its own way."""
    script = write_script(tmp_path_factory.mktemp("failing"))
    ablate(script, *WHATS, "--seeds", "1", status=1)
    return script


def test_a_run_sequential_is_bit_for_bit_that_of_a_process_of_its_own(sequential, tmp_path) -> None:
    """It shares the program of a cell with other numbers."""
    last = made(sequential.folder)[3]
    options = [*LENGTH, "--optimizer.learning-rate=0.2", "--seed=1"]
    assert same_bits(last.directory, alone(sequential.script, tmp_path / "a", *options))
    manifest = read(last.directory, "manifest.json")
    assert manifest["seeds_by"] == "sequential"
    directory = last.directory.relative_to(sequential.folder)
    assert manifest["command"][2:] == [*options, f"--run.dir={directory}"]


def test_cells_and_seeds_are_different_runs(sequential: Made) -> None:
    found = made(sequential.folder)
    assert [(run.cell.name[-4:], run.seed) for run in found] == [
        ("0.05", 0), ("0.05", 1), ("=0.2", 0), ("=0.2", 1), ("1e38", 0), ("1e38", 1),
    ]  # fmt: skip
    assert [run.state for run in found] == [*4 * ["completed"], *2 * ["not finite"]]
    assert len({run.summary["params_digest"] for run in found[:4]}) == 4


def test_side_by_side_metrics_are_within_a_hundred_thousandth(sequential, side_by_side) -> None:
    found = made(side_by_side.folder)
    for run, other in zip(found, made(sequential.folder), strict=True):
        assert read(run.directory, "manifest.json")["seeds_by"] == "vmap"
        for ours, line in zip(logged(run.directory), logged(other.directory), strict=True):
            assert ours == pytest.approx(line, rel=1e-5)


def test_a_run_that_fails_is_recorded_with_its_reason_and_others_are_made(failing: Path) -> None:
    found = made(failing.parent)
    assert [(run.state, run.reason) for run in found[:3]] == [
        ("failed", "ValueError: no such"),
        ("failed", "its process was ended by SIGKILL (by hand, or because memory ran out)"),
        ("failed", "out of memory: RESOURCE_EXHAUSTED: Out of memory allocating 7 bytes"),
    ]
    assert found[3].state == "not finite"
    assert found[3].reason.startswith("not finite at step 3: loss")
    assert found[4].state == "completed"
    rows = [(row["state"], row["reason"]) for row in results(failing.parent)]
    assert rows == [(run.state, run.reason) for run in found]


def test_seeds_are_added_and_what_failed_is_made_again_where_that_is_asked_for(
    failing: Path,
) -> None:
    before = [run.summary for run in made(failing.parent)]
    (failing.parent / "spared").touch()
    done = ablate(failing, *WHATS, "--seeds", "2", "--retry-failed", status=1)
    found = made(failing.parent)
    states = ["failed", "completed", "failed", "not finite", "completed"]
    assert [run.state for run in found[::2]] == [run.state for run in found[1::2]] == states
    assert same_bits(found[2].directory, found[8].directory)
    kept = [run.summary for run in found[::2]]
    assert kept[3:] == before[3:]
    # Of ten runs two had ended and are not made again.
    lines = [line.split()[0] for line in done.stdout.splitlines() if " seed " in line]
    assert lines == [f"{count}/10" for count in range(3, 11)]


@pytest.mark.matrix
def test_what_failed_is_not_made_again_by_itself_and_cells_are_added(
    sequential: Made, tmp_path: Path
) -> None:
    shutil.copytree(sequential.folder / "studies", tmp_path / "studies")
    first = made(tmp_path)[0].directory
    shutil.rmtree(first)
    write_json(first / "failed.json", {"reason": "by hand"})
    words = ("--vary", "optimizer.learning-rate=0.05,0.2,1e38,0.4", *sequential.words[2:])
    done = ablate(sequential.script, *words, folder=tmp_path, status=1)
    lines = [line.split()[0] for line in done.stdout.splitlines() if ": completed" in line]
    assert lines == ["7/8", "8/8"]
    assert made(tmp_path)[0].reason == "by hand"


@pytest.mark.matrix
def test_a_full_disk_stops_all_in_one_line_and_the_study_goes_on_later(
    sequential: Made, tmp_path: Path
) -> None:
    full = sequential.again(tmp_path, status=1, FILE_LIMIT="4000")
    assert full.stderr.startswith("error: cannot write ")
    assert full.stderr.count("\n") == 1
    assert {run.state for run in made(tmp_path)} == {"begun", "missing"}
    sequential.again(tmp_path)
    assert results(tmp_path) == results(sequential.folder)


@pytest.mark.matrix
@pytest.mark.parametrize("seeds_by", ["sequential", "vmap", "processes"])
@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_every_run_of_a_network_is_that_of_its_script(name, seeds_by, tmp_path: Path) -> None:
    script = ROOT / "experiments" / f"{name}.py"
    sizes = {
        "mlp": ["--model.widths", "32", "32", "--ensemble.members=2"],
        "cnn": ["--model.widths", "8", "16", "--model.dense=16", "--data.batch-size=32"],
    }
    options = [*sizes[name], "--run.steps=30", "--run.eval-every=15", "--run.log-every=5"]
    options += ["--optimizer.weight-decay=0.1"]
    vary = ("--vary", "model.dropout=0.1,0.4", "--with", "optimizer.learning-rate=5e-3,1e-3")
    words = (*vary, "--seeds", "2", "--seeds-by", seeds_by)
    ablate(script, *words, "--", *options, folder=tmp_path)
    for number, run in enumerate(made(tmp_path)):
        assert run.state == "completed"
        cell = [f"--{option}={value}" for option, value in run.cell.options.items()]
        own = alone(script, tmp_path / str(number), *options, *cell, f"--seed={run.seed}")
        if seeds_by != "vmap":
            assert same_bits(run.directory, own)
            continue
        for ours, theirs in zip(logged(run.directory), logged(own), strict=True):
            assert ours.keys() == theirs.keys()
            for metric, value in theirs.items():
                # What is counted changes by whole examples: one of 143 at the most.
                counted = not metric.endswith(("loss", "norm", "rate", "step"))
                assert ours[metric] == pytest.approx(value, rel=1e-5, abs=0.007 * counted)


def test_a_report_that_cannot_be_made_of_runs_that_are_there_is_no_bad_input(tmp_path) -> None:
    script = write_script(tmp_path)
    said = ablate(script, "--seeds", "1", "--metric", "train/los", "--", *LENGTH, status=1).stderr
    assert "there is no report of studies/" in said
    assert "no metric train/los; did you mean train/loss?" in said
