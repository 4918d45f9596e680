"""What every sink gets, shown with one that keeps it in memory."""

import sys
import threading
import time
from pathlib import Path

import pytest
import tracked
from recorded import digest, read, summary

from bigmodel.experiment import InputError
from bigmodel.run_directory.directory import RunDirectory
from bigmodel.runtime.entry import directory_of
from bigmodel.runtime.settings import Run, Settings
from bigmodel.tracking import sinks as sinks_module
from bigmodel.tracking.sinks import Row, Sinks, Start

MODULE = "bigmodel.tracking.wandb_sink"
SINKS = ("wandb",)
FAILED = (
    "--run.sinks wandb failed: ConnectionError: no network; what it lacks is in the run directory"
)


class Memory:
    """A server with all its runs; ``fails`` names where it is broken."""

    def __init__(self) -> None:
        self.starts: list[Start] = []
        self.rows: list[Row] = []
        self.summaries: list[dict | None] = []
        self.fails = ""
        self.id = "one"
        self.sent: int | None = None

    def check(self) -> None:
        pass

    def open_sink(self, start: Start) -> "Memory":
        self._may_fail("open")
        self.starts.append(start)
        return self

    def send(self, row: Row) -> None:
        self._may_fail("send")
        self.rows.append(row)

    def close(self, summary: dict | None) -> None:
        self._may_fail("close")
        self.summaries.append(summary)

    def values(self) -> dict[int, dict[str, float]]:
        assert len({row.step for row in self.rows}) == len(self.rows), "a step was sent twice"
        return {row.step: row.values for row in self.rows}

    def _may_fail(self, where: str) -> None:
        if self.fails == where:
            raise ConnectionError("no network\nand more lines")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed run without sinks."""
    directory = tmp_path_factory.mktemp("plain")
    assert tracked.run(directory, ()) == 0
    return directory


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Memory:
    """In the place of a sink and of its package."""
    found = Memory()
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages/wandb.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "packages")
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    monkeypatch.setitem(sys.modules, MODULE, found)
    return found


def test_no_sink_is_imported_that_was_not_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{room}{name}" for name in ("wandb", "mlflow") for room in ("", "bigmodel.tracking.")]
    names = [f"{name}_sink" if "." in name else name for name in names]
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert tracked.run(tmp_path, ()) == 0
    assert not [name for name in names if name in sys.modules]
    assert not (tmp_path / "sinks").exists()


def test_a_sink_gets_a_row_for_each_step_with_all_that_the_directory_has(
    memory: Memory, tmp_path: Path
) -> None:
    assert tracked.run(tmp_path / "a", SINKS) == 0
    assert memory.values() == tracked.rows(tmp_path / "a")
    assert memory.summaries == [summary(tmp_path / "a")]
    (start,) = memory.starts
    assert start.config == read(tmp_path / "a", "config.json")
    files = {path for row in memory.rows for path in row.figures.values()}
    assert files == set((tmp_path / "a/figures").iterdir())
    assert all(
        path.stem == f"{name}-{row.step:08d}"
        for row in memory.rows
        for name, path in row.figures.items()
        if name != "curves"
    )


def test_a_run_that_goes_on_sends_the_rest_and_nothing_twice(
    memory: Memory, plain: Path, tmp_path: Path
) -> None:
    tracked.crash(tmp_path / "a", SINKS)
    # Later than the checkpoint of step 20. The row of the step at which it failed is not whole.
    assert max(memory.values()) == 25
    assert memory.summaries == [None]
    assert tracked.run(tmp_path / "a", SINKS) == 0
    assert tracked.computed(memory.values()) == tracked.computed(tracked.rows(plain))
    assert [start.id for start in memory.starts] == [None, "one"]
    figures = [path.name for row in memory.rows for path in row.figures.values()]
    assert sorted(figures) == sorted(path.name for path in (plain / "figures").iterdir())


def test_a_sink_that_knows_what_it_has_gets_the_rest_of_the_history(
    memory: Memory, tmp_path: Path
) -> None:
    tracked.crash(tmp_path / "a", SINKS)
    memory.sent = 5
    memory.rows = [row for row in memory.rows if row.step <= memory.sent]
    assert tracked.run(tmp_path / "a", SINKS) == 0
    assert memory.values() == tracked.rows(tmp_path / "a")


def test_a_sink_that_is_asked_for_later_gets_what_was_before(
    memory: Memory, tmp_path: Path
) -> None:
    tracked.crash(tmp_path / "a", ())
    assert tracked.run(tmp_path / "a", SINKS) == 0
    assert memory.values() == tracked.rows(tmp_path / "a")
    assert "samples" in next(row for row in memory.rows if row.step == 10).figures


def test_files_of_users_beside_the_figures_are_left_alone(memory: Memory, tmp_path: Path) -> None:
    tracked.crash(tmp_path / "a", ())
    for name in ("mine-1.pdf", "mine-00000001.svg", "mine-1.png", "mine-\u00b2.txt"):
        (tmp_path / "a/figures" / name).write_text("mine")
    assert tracked.run(tmp_path / "a", SINKS) == 0
    assert not [row for row in memory.rows if "mine" in row.figures]


@pytest.mark.usefixtures("memory")
def test_sinks_are_no_part_of_what_a_run_is(plain: Path) -> None:
    names = {
        directory_of(Settings(run=Run(sinks=sinks)), Path("cnn.py"), "") for sinks in ((), SINKS)
    }
    assert len(names) == 1
    assert tracked.run(plain, SINKS) == 0, "the same run, which is complete"


def test_a_run_is_the_same_with_a_sink_that_fails(
    memory: Memory, plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    memory.fails = "send"
    assert tracked.run(tmp_path / "a", SINKS) == 0
    assert capsys.readouterr().err.splitlines() == [f"warning: {FAILED}"]
    same = tracked.computed(tracked.rows(plain))
    assert tracked.computed(tracked.rows(tmp_path / "a")) == same
    assert digest(tmp_path / "a") == digest(plain)


@pytest.mark.parametrize("where", ["open", "send", "close"])
def test_a_sink_that_fails_is_warned_of_once(memory: Memory, tmp_path: Path, where: str) -> None:
    memory.fails = where
    warnings: list[str] = []
    sinks = Sinks(SINKS, path=tmp_path, warn=warnings.append)
    for step in range(3):
        sinks.add(step, 0.0, values={"train/loss": 1.0})
    sinks.finish({"status": "completed"})
    sinks.close()
    assert warnings == [FAILED]


def test_what_a_sink_failed_to_take_is_sent_when_the_run_goes_on(
    memory: Memory, tmp_path: Path
) -> None:
    memory.fails = "send"
    tracked.crash(tmp_path / "a", SINKS)
    memory.fails = ""
    assert tracked.run(tmp_path / "a", SINKS) == 0
    assert memory.values() == tracked.rows(tmp_path / "a")


def test_a_sink_that_hangs_and_fails_later_is_not_waited_for_and_one_warning(
    memory: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sinks_module, "CLOSE_SECONDS", 0.1)
    let_go = threading.Event()

    def send(row: Row) -> None:
        del row
        let_go.wait(60)
        raise ConnectionError("no network")

    monkeypatch.setattr(memory, "send", send)
    warnings: list[str] = []
    sinks = Sinks(SINKS, path=tmp_path, warn=warnings.append)
    before = time.monotonic()
    sinks.add(1, 0.0, values={"train/loss": 1.0})
    sinks.send()
    sinks.close()
    assert time.monotonic() - before < 30
    let_go.set()
    for thread in threading.enumerate():
        if thread.name == "sink wandb":
            thread.join()
    (warning,) = warnings
    assert "wandb has not taken everything" in warning


def test_a_process_that_does_not_write_opens_no_sink(tmp_path: Path) -> None:
    def sinks() -> Sinks:
        raise AssertionError("opened")

    directory = RunDirectory(tmp_path, writing=False)
    directory.resume(0, sinks)
    directory.log(1, {"train/loss": 1.0}, seconds=0.0)
    directory.close()


@pytest.mark.parametrize("folder_of_that_name", [False, True])
def test_a_missing_package_is_bad_input_that_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder_of_that_name: bool
) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path / "packages")])
    for name in [name for name in sys.modules if name.split(".")[0] == "wandb"]:
        monkeypatch.delitem(sys.modules, name)
    if folder_of_that_name:
        (tmp_path / "packages/wandb").mkdir(parents=True)
    with pytest.raises(InputError, match=r"--run.sinks wandb .*pip install -e '\.\[wandb\]'"):
        tracked.run(tmp_path / "a", SINKS)
    assert not (tmp_path / "a").exists()


def test_what_a_sink_cannot_use_is_refused_before_anything_is_written(
    memory: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check() -> None:
        raise InputError("nobody is logged in")

    monkeypatch.setattr(memory, "check", check)
    with pytest.raises(InputError, match="nobody is logged in"):
        tracked.run(tmp_path / "a", SINKS)
    assert not (tmp_path / "a").exists()
