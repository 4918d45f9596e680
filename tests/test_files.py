import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from bigmodel.errors import StorageError
from bigmodel.experiment import InputError
from bigmodel.files import LOCK, locked

HOLD = """
import sys, time
from pathlib import Path
from bigmodel.files import locked
with locked(Path(sys.argv[1]), otherwise="wait", shared=sys.argv[2] == "shared"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(params=[True, False], ids=["flock", "no flock"])
def folder(request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on a file system that can lock files, or on one where that does nothing."""
    if not request.param:
        monkeypatch.setattr("fcntl.flock", lambda *_: None)
    return tmp_path


def holder(folder: Path, kind: str = "exclusive") -> subprocess.Popen:
    command = [sys.executable, "-c", HOLD, str(folder), kind]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8")
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def lock(folder: Path, *, shared: bool = False) -> None:
    """Takes a lock and lets go of it."""
    with locked(folder, otherwise="wait", shared=shared):
        pass


def end(process: subprocess.Popen) -> None:
    process.kill()
    process.communicate()


def test_a_lock_names_its_process_and_ends_with_it_however_it_ends(folder: Path) -> None:
    other = holder(folder)
    for shared in (False, True):
        with pytest.raises(InputError, match=f"wait .it is process {other.pid} on this machine"):
            lock(folder, shared=shared)
    end(other)
    assert (folder / LOCK).exists()
    with locked(folder, otherwise="wait"):
        assert json.loads((folder / LOCK).read_bytes())["process"] == os.getpid()
    assert not [*folder.iterdir()]


def test_shared_locks_go_together_and_not_with_an_exclusive_one(folder: Path) -> None:
    other = holder(folder, "shared")
    with locked(folder, otherwise="wait", shared=True), locked(folder, otherwise="", shared=True):
        pass
    with pytest.raises(InputError, match=f"process {other.pid}"):
        lock(folder)
    assert not (folder / LOCK).exists()
    end(other)
    lock(folder)
    assert not [*folder.iterdir()]


def test_one_of_many_that_come_at_once_gets_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path), "exclusive"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    all_of = [subprocess.Popen(command, **pipes) for _ in range(5)]
    said = [process.stdout.readline() for process in all_of if process.stdout]
    for process in all_of:
        end(process)
    assert sorted(said) == [b"", b"", b"", b"", b"held\n"]


def test_a_process_that_locks_the_folder_itself_counts(tmp_path: Path, monkeypatch) -> None:
    """So does a run of an earlier version."""
    monkeypatch.setattr("bigmodel.files.TURN_SECONDS", 0.1)
    descriptor = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(InputError, match=f"another process is running in {tmp_path}; wait"):
        lock(tmp_path)
    os.close(descriptor)
    lock(tmp_path)


def claim(folder: Path, **other) -> None:
    """Leaves the lock of a process that cannot be seen from here."""
    facts = {"host": "node7", "process": 12, "started": "1", "job": None, **other}
    (folder / LOCK).write_text(json.dumps(facts))


def test_a_lock_of_another_host_counts_and_says_how_to_remove_it(folder: Path) -> None:
    claim(folder)
    with pytest.raises(InputError, match=rf"process 12 on node7; if that is gone, remove .*{LOCK}"):
        lock(folder)
    assert (folder / LOCK).exists()


def test_a_job_that_slurm_puts_on_another_host_takes_its_own_lock(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim(folder, job="31")
    monkeypatch.setenv("SLURM_JOB_ID", "31")
    lock(folder)


def test_a_later_process_of_the_same_number_is_another_one(folder: Path) -> None:
    claim(folder, host=socket.gethostname(), process=os.getpid())
    lock(folder)


def test_a_lock_that_a_power_cut_emptied_is_stale(folder: Path, monkeypatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    (folder / LOCK).touch()
    lock(folder)


@pytest.mark.filterwarnings("ignore")
def test_a_forked_process_does_not_end_the_lock(tmp_path: Path) -> None:
    with ExitStack() as held:
        held.enter_context(locked(tmp_path, otherwise=""))
        child = os.fork()
        if child == 0:
            held.close()
            os._exit(0)
        os.waitpid(child, 0)
        assert (tmp_path / LOCK).exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nowhere"):
        lock(tmp_path / "nowhere")
