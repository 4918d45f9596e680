"""The code to repeat a recorded run with: the present one, or that of its commit."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import bigmodel
from bigmodel.experiment import InputError
from bigmodel.run_directory.recorded import Recorded
from bigmodel.tracking.progress import say


class Code(NamedTuple):
    """An experiment's script, and the folder that ``bigmodel`` is imported from."""

    script: Path
    root: Path


def present_code(recorded: Recorded, script: Path | None) -> Code:
    """Finds the present code of a run, whose script may be elsewhere now.

    Raises:
        InputError: where there is no such script.
    """
    found = script or Path(recorded.manifest["script"])
    if not found.is_file():
        hint = "see experiments/" if script else "name it by --script, or try --checkout"
        raise InputError(f"its script {found} is not there; {hint}")
    return Code(found.resolve(), Path(bigmodel.__file__).resolve().parent.parent)


@contextlib.contextmanager
def checkout(recorded: Recorded, folder: Path) -> Iterator[Code]:
    """Checks out the recorded commit with its recorded diff in ``folder/code``.

    Says what it cannot have: files that git did not follow, and changes of binary files.

    Raises:
        InputError: where there is no such code to be had, saying why.
    """
    git = recorded.manifest.get("git")
    if git is None:
        raise InputError("its script was in no git repository, so --checkout finds no code")
    script = Path(recorded.manifest["script"])
    # Where it is, or was.
    folder_of_script = next(parent for parent in script.parents if parent.is_dir())
    top = Path(_git(folder_of_script, "rev-parse", "--show-toplevel").strip())
    inside = script.relative_to(top)
    untracked = git["untracked"].splitlines()
    if inside.as_posix() in untracked:
        raise InputError(f"its script {inside} was not followed by git, so --checkout has none")
    tree = folder / "code"
    try:
        _git(top, "worktree", "add", "--detach", str(tree), git["commit"])
        if untracked:
            say(f"  not to be had, for git did not follow them: {', '.join(untracked)}")
        diff, binary = without_binary(git["diff"])
        if binary:
            say(f"  not to be had, for they are binary: {', '.join(binary)}")
        if diff:
            _git(tree, "apply", "--whitespace=nowarn", "-", given=diff)
        own = tree if (tree / "bigmodel").is_dir() else Path(bigmodel.__file__).parent.parent
        yield Code((tree / inside).resolve(), own.resolve())
    finally:
        if tree.exists():
            _git(top, "worktree", "remove", "--force", str(tree))
        _git(top, "worktree", "prune")


def without_binary(diff: str) -> tuple[str, list[str]]:
    """Splits a diff into the text changes, and the names of binary files that it only mentions."""
    parts = re.split(r"^(?=diff --git )", diff, flags=re.MULTILINE)
    mentioned = re.compile(r"^Binary files .* and (?:b/)?(.*) differ$", re.MULTILINE)
    names = [found.group(1) for part in parts if (found := mentioned.search(part))]
    return "".join(part for part in parts if not mentioned.search(part)), names


def _git(folder: Path, *arguments: str, given: str | None = None) -> str:
    done = subprocess.run(
        # A hook of the user's could do anything to the tree.
        ["git", "-C", str(folder), "-c", "core.hooksPath=/dev/null", *arguments],
        input=None if given is None else given.encode(),
        check=False,
        capture_output=True,
    )
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["no word"]
        raise InputError(f"git {arguments[0]} fails in {folder}: {said[-1]}")
    return done.stdout.decode(errors="replace")
