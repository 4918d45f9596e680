"""Writes a trained run as a folder that another runtime reads, without this package.

    python launch.py export runs/cnn-5e16c17c --format onnx --out exports/cnn

The folder has the model, the files that say what its numbers mean, the names and shapes of its
arrays, a sample input with its output, and a README whose five lines run it. Where the runtime is
installed, it is then asked with held-out examples of the run's data, or with those of --input, and
must answer as the run does. --sign signs all files with a key, and --encrypt makes them one file
that a passphrase opens: see docs/protection.md. What comes after -- changes options of the run,
such as those of sampling.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import itertools
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from bigmodel.errors import EXPECTED, naming
from bigmodel.experiment import InputError
from bigmodel.files import PARTIAL, made_folder, sync
from bigmodel.inference.predict import add_run, read
from bigmodel.output import warn
from bigmodel.protection.sealing import SEALED, seal
from bigmodel.protection.secrets import add_passphrase, check_installed, read_passphrase
from bigmodel.protection.signatures import read_private, sign

if TYPE_CHECKING:
    from bigmodel.export.program import Program
    from bigmodel.inference.trained import Trained

FORMATS = ("stablehlo", "onnx", "savedmodel", "litert", "safetensors", "huggingface", "run")
EXAMPLES = 16
TOLERANCE = 1e-4


class Format(Protocol):
    """A module that writes one format."""

    INSTALL: str
    """The command that installs what it needs."""
    NEEDS: Sequence[str]
    """The modules without which it cannot be written."""
    RUNTIME: str
    """The module that reads it."""
    LINES: str
    """Python that runs it in its folder, and leaves ``RESULT``; the program's may stand for it."""
    RESULT: str
    """What the lines leave: the ``outputs`` or the ``variables`` of the program, by name."""

    def write(self, program: Program, folder: Path) -> Program:
        """Writes the model into a folder, and returns the program with the batch that it takes."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    add_run(parser)
    add = parser.add_argument
    add("--format", choices=FORMATS, required=True, help="what to write")
    add("--out", type=Path, required=True, metavar="DIR", help="new folder")
    help_text = "inputs to check with; default: held-out examples of the run's data"
    add("--input", nargs="+", metavar="INPUT", help=help_text)
    add(
        "--sign",
        type=Path,
        metavar="KEY",
        help="private Ed25519 key in PEM, to sign all files with",
    )
    add("--encrypt", action="store_true", help=f"all in one file {SEALED}, under a passphrase")
    add_passphrase(parser)


def execute(parsed: argparse.Namespace, options: Sequence[str]) -> int:
    """Writes the folder.

    Raises:
        InputError: for a run, a model or an input that cannot be used, and for an export that
            does not answer as the run does.
        StorageError: for files that cannot be read or written.
    """
    chosen = cast(Format, importlib.import_module(f"bigmodel.export.{parsed.format}"))
    for module in chosen.NEEDS:
        if importlib.util.find_spec(module) is None:
            raise InputError(f"--format {parsed.format} needs {module}: {chosen.INSTALL}")
    if parsed.passphrase_file is not None and not parsed.encrypt:
        raise InputError("--passphrase-file is for --encrypt; give both, or neither")
    key = None if parsed.sign is None else read_private(parsed.sign)
    with new_folder(parsed.out.resolve()) as folder:
        with encrypted(folder, parsed) as plain:
            report = write(chosen, plain, parsed, options)
        if key is not None:
            report += f"\n{sign(folder, key)}"
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    how = "launch.py decrypt opens it" if parsed.encrypt else "its README.md says how to run it"
    print(f"wrote {parsed.out}: {size / 1e3:,.0f} kB; {how}")
    print(report, flush=True)
    return 0


def write(chosen: Format, folder: Path, parsed: argparse.Namespace, options: Sequence[str]) -> str:
    """Writes an export, asks it, and says what it answered."""
    # Imported here, for other commands start without JAX.
    from bigmodel.export.program import make_program, reason, write_beside
    from bigmodel.inference.trained import load_run
    from bigmodel.tree import widened

    run = load_run(parsed.run, parsed.at, script=parsed.script, options=options)
    program = make_program(run, examples(run, parsed.input))
    if chosen.RESULT == "outputs":  # Few runtimes have bfloat16.
        program = program._replace(variables=widened(program.variables))
    try:
        program = chosen.write(program, folder)
    # Converters raise errors of many kinds for an operation that they do not know.
    except Exception as error:
        if isinstance(error, EXPECTED):
            raise
        raise InputError(
            f"{parsed.format} cannot be made of {parsed.run}: {reason(str(error))}"
        ) from error
    write_beside(program, run, folder, parsed.format, lines=program.lines or chosen.LINES)
    return check(chosen, program, folder, parsed.format)


@contextmanager
def encrypted(out: Path, parsed: argparse.Namespace) -> Iterator[Path]:
    """The folder to write to: ``out``, or a private one that becomes an encrypted file in it."""
    if not parsed.encrypt:
        yield out
        return
    check_installed("--encrypt")
    passphrase = read_passphrase(parsed.passphrase_file, parsed.out, new=True)
    with tempfile.TemporaryDirectory(prefix="bigmodel-") as plain:
        yield Path(plain)
        seal(Path(plain), out / SEALED, passphrase)


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to write to, which becomes ``out`` at the end, or else is removed.

    Raises:
        InputError: there are files in ``out``.
        StorageError: it cannot be written.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise InputError(f"--out {out} is not empty; choose another folder")
    partial = out.with_name(f".{out.name}{PARTIAL}")
    with made_folder(out.parent), naming(out):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            yield partial
            for path in partial.rglob("*"):
                sync(path)
            partial.replace(out)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def examples(run: Trained, arguments: Sequence[str] | None) -> list[Any]:
    """The first few of the inputs that are given, or of those that the run was tested on.

    Raises:
        InputError: there are none.
    """
    if arguments:
        return [named.value for named in itertools.islice(read(run, arguments), EXAMPLES)]
    try:
        splits = run.build().data.inputs
    except InputError as error:
        raise InputError(f"{error}; or give inputs to check with by --input") from None
    held_out = next(
        (splits[name] for name in ("test", "validation") if len(splits.get(name, ()))), ()
    )
    if not len(held_out):
        raise InputError(f"{run.path} has no held-out inputs; give some by --input")
    return list(held_out[:EXAMPLES])


def check(chosen: Format, program: Program, folder: Path, name: str) -> str:
    """Asks the runtime what the run has answered, and says how much they differ.

    Raises:
        InputError: by more than ``TOLERANCE``, or the runtime cannot run it.
    """
    if importlib.util.find_spec(chosen.RUNTIME.partition(".")[0]) is None:
        warn(f"not checked, for {chosen.RUNTIME} is not installed: {chosen.INSTALL}")
        return "not checked"
    from bigmodel.export.program import largest_difference

    lines = program.lines or chosen.LINES
    difference = largest_difference(program, folder, lines=lines, result=chosen.RESULT)
    if not difference <= TOLERANCE:
        raise InputError(
            f"the {name} answers otherwise than the run: the largest relative difference is "
            f"{difference:.1e}, over {TOLERANCE:.0e}; nothing was written"
        )
    return (
        f"{chosen.RUNTIME} agrees on {program.rows} examples: "
        f"largest relative difference {difference:.1e}"
    )
