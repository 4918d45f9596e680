"""A process goes on when nobody can read what it prints."""

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PROGRAM = """
import sys
from rich.console import Console
from rich.progress import Progress
from bigmodel.output import protect_output, warn
protect_output()
for _ in range(1000):
    print("0.5 \\u00b1 0.1", flush=True)
warn("no reader")
console = Console(file=sys.stdout)
with Progress(console=console) as bar:
    bar.update(bar.add_task("training", total=2), completed=1)
    console.print("loss 0.5 \\u00b1 0.1")
print("not flushed", file=sys.stderr)
print("not flushed")
open(sys.argv[1], "w").close()
"""


@contextmanager
def full() -> Iterator[int]:
    with open("/dev/full", "wb") as file:
        yield file.fileno()


@contextmanager
def closed_pipe() -> Iterator[int]:
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@contextmanager
def closed_terminal() -> Iterator[int]:
    ours, theirs = pty.openpty()
    os.close(ours)
    yield theirs
    os.close(theirs)


def run(done: Path, output: int, **options) -> int:
    program = [sys.executable, "-c", PROGRAM, str(done)]
    return subprocess.run(program, stdout=output, stderr=output, check=False, **options).returncode


@pytest.mark.parametrize("where", [full, closed_pipe, closed_terminal])
def test_output_that_cannot_be_written_is_dropped(where, tmp_path: Path) -> None:
    with where() as output:
        assert run(tmp_path / "done", output) == 0
    assert (tmp_path / "done").exists()


def test_a_file_never_gets_the_number_of_a_closed_stream() -> None:
    code = "import os; from bigmodel.output import protect_output; protect_output(); print(1); "
    code += "assert os.open(os.devnull, os.O_RDONLY) > 2"
    command = ["sh", "-c", f'exec "{sys.executable}" -c "$0" <&- >&- 2>&-', code]
    assert subprocess.run(command, check=False).returncode == 0


def test_characters_that_a_terminal_lacks_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "printed"
    plain = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    with path.open("wb") as file:
        assert run(tmp_path / "done", file.fileno(), env=plain) == 0
    assert path.read_text("ascii").startswith("0.5 ? 0.1\n")
