"""Prepared data is made once, whole or not at all."""

import errno
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bigmodel.data.prepared.cache import prepared, recorded
from bigmodel.errors import StorageError

KEY = {"source": "abc", "version": 1}
SLOW = """
import sys, time
from pathlib import Path
from bigmodel.data.prepared.cache import prepared

def make(folder):
    (folder / "a.bin").write_bytes(b"half")
    print("making", flush=True)
    time.sleep(float(sys.argv[2]))
    (folder / "a.bin").write_bytes(sys.argv[3].encode())

folder = prepared("things", {"source": "abc", "version": 1}, make, cache=sys.argv[1])
print((folder / "a.bin").read_text(encoding="utf-8"), flush=True)
"""


def slow(cache: Path, seconds: float, content: str) -> subprocess.Popen:
    """A process that takes so long to make a file of that content."""
    command = [sys.executable, "-c", SLOW, str(cache), str(seconds), content]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, encoding="utf-8", **pipes)


def line(process: subprocess.Popen) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def make(folder: Path) -> None:
    (folder / "a.bin").write_bytes(b"content")
    (folder / "b.bin").write_bytes(b"")


def never(folder: Path) -> None:
    raise AssertionError(f"{folder} is made again")


def test_it_is_made_once_for_a_key_and_found_again(tmp_path, capsys):
    made = prepared("things", KEY, make, cache=str(tmp_path))
    assert prepared("things", KEY, never, cache=str(tmp_path)) == made
    assert (made / "a.bin").read_bytes() == b"content"
    assert list(recorded(made)) == ["a.bin", "b.bin"]
    assert capsys.readouterr().err.count("prepared") == 1
    for kind, key in (("others", KEY), ("things", {**KEY, "source": "abd"})):
        assert prepared(kind, key, make, cache=str(tmp_path)) != made


def test_another_version_of_the_code_makes_its_own_and_says_so(tmp_path, capsys):
    old = prepared("things", KEY, make, cache=str(tmp_path))
    new = prepared("things", {**KEY, "version": 2}, make, cache=str(tmp_path))
    assert new != old
    assert f"{old.parent} is of another version" in capsys.readouterr().err
    assert prepared("things", KEY, never, cache=str(tmp_path)) == old


def test_what_a_kill_has_left_is_not_used(tmp_path):
    process = slow(tmp_path, 60, "never")
    assert line(process) == "making"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    [left] = tmp_path.rglob("a.bin")
    assert left.read_bytes() == b"half"
    made = prepared("things", KEY, make, cache=str(tmp_path))
    assert (made / "a.bin").read_bytes() == b"content"
    assert [*tmp_path.rglob("a.bin")] == [made / "a.bin"]


def test_one_of_several_processes_makes_it_and_the_others_wait(tmp_path):
    first = slow(tmp_path, 1.5, "first")
    assert line(first) == "making"
    others = [slow(tmp_path, 0, "other") for _ in range(2)]
    for other in others:
        out, err = other.communicate(timeout=30)
        assert out == "first\n"
        assert f"waits for what it prepares (it is process {first.pid} on this machine)" in err
    assert line(first) == "first"
    first.communicate()


@pytest.mark.parametrize(
    ("raised", "expected", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), StorageError,
         "cannot prepare data in .*things-.*: No space left on device; --data.cache"),
        (KeyError("a mistake"), KeyError, "a mistake"),
    ],
)  # fmt: skip
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, raised, expected, message):
    def fail(folder: Path) -> None:
        make(folder)
        raise raised

    with pytest.raises(expected, match=message) as error:
        prepared("things", KEY, fail, cache=str(tmp_path))
    assert "\n" not in str(error.value)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    prepared("things", KEY, make, cache=str(tmp_path))


def test_a_cache_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=f"cannot prepare data in {tmp_path}/file"):
        prepared("things", KEY, make, cache=str(tmp_path / "file"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.bin", b"conten", "has 6 bytes and had 7 when it was prepared"),
        ("a.bin", b"Content", "has changed since it was prepared"),
        ("b.bin", None, "is missing"),
        ("whole.json", None, "is missing or damaged"),
        ("whole.json", b"[", "is missing or damaged"),
    ],
)
def test_a_file_that_is_not_what_was_made_is_named(tmp_path, name, content, message, refused):
    made = prepared("things", KEY, make, cache=str(tmp_path))
    (made / name).unlink()
    if content is not None:
        (made / name).write_bytes(content)
    with refused(f"{made / name} {message}.*; remove {made.parent} and it is prepared again"):
        prepared("things", KEY, never, cache=str(tmp_path))


def test_the_key_is_kept_beside_the_files(tmp_path):
    made = prepared("things", KEY, make, cache=str(tmp_path))
    assert json.loads((made / "whole.json").read_bytes())["key"] == KEY
