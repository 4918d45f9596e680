"""Files are recognised by their content, which is read anew only where they may have changed."""

import hashlib
import json
import os
import time

import pytest

from bigmodel.data.prepared import contents as module
from bigmodel.data.prepared.contents import (
    check_unchanged,
    contents,
    digest_of,
    listed,
    what_changed,
)

OLD = time.time_ns() - 3600 * 10**9


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / name for name in "ab"]
    for path in paths:
        path.write_text(path.name, encoding="utf-8")
        os.utime(path, ns=(OLD, OLD))
    return paths


@pytest.fixture
def read(monkeypatch):
    """The names of the files that are read."""
    names: list[str] = []
    original = module.read_contents

    def noting(paths):
        names.extend(path.name for path in paths)
        return original(paths)

    monkeypatch.setattr(module, "read_contents", noting)
    return names


def test_a_file_is_read_again_only_where_it_may_have_changed(files, read, tmp_path):
    cache = str(tmp_path / "cache")
    first = contents(files, cache=cache)
    assert [each.sha256 for each in first] == [hashlib.sha256(c).hexdigest() for c in (b"a", b"b")]
    assert contents(files, cache=cache) == first
    assert read == ["a", "b"]
    files[1].write_text("c", encoding="utf-8")
    os.utime(files[1], ns=(OLD + 1, OLD + 1))
    assert digest_of(contents(files, cache=cache)) != digest_of(first)
    assert read == ["a", "b", "b"]


def test_a_file_that_was_just_written_is_not_taken_for_known(files, read, tmp_path):
    files[0].write_text("a", encoding="utf-8")
    for _ in range(2):
        contents(files, cache=str(tmp_path / "cache"))
    assert read == ["a", "b", "a"]


def test_the_digest_is_of_the_contents_and_their_order_alone(files, tmp_path):
    def digest(paths):
        return digest_of(contents(paths, cache=str(tmp_path / "cache")))

    whole = digest(files)
    moved = [path.rename(tmp_path / f"moved {path.name}") for path in files]
    assert digest(moved) == whole != digest(moved[::-1])


def test_a_file_that_changes_under_a_run_is_named(files, tmp_path, refused):
    found = contents(files, cache=str(tmp_path / "cache"))
    check_unchanged(found)
    files[1].touch()
    with refused(f"{files[1]} has changed since this run has read it"):
        check_unchanged(found)
    files[1].unlink()
    with refused(f"{files[1]} has changed"):
        check_unchanged(found)


def test_a_cache_that_cannot_be_written_is_done_without(files, tmp_path):
    (tmp_path / "file").touch()
    assert len(contents(files, cache=str(tmp_path / "file"))) == 2


def test_what_has_changed_between_two_starts_is_named(files, tmp_path):
    def files_now():
        return json.loads(listed(contents(files, cache=str(tmp_path / "cache"))))

    before = files_now()
    assert what_changed(before, files_now()) == ""
    files[1].write_bytes(b"else")
    assert what_changed(before, files_now()) == f"{files[1].name} is another one"
    gone = files.pop()
    assert what_changed(before, files_now()) == f"{gone.name} is missing"
    assert what_changed(files_now(), before) == f"{gone.name} is new"
