"""Trainings of several processes to which something happens at a random moment.

    python tests/fault_trial.py --trials 50 --processes 2 4

Each trial begins a training with ``launch.py run --processes N --retries 3``, lets one thing
happen to it and, where the launcher says so or a disk had been full, types the command again. It
has to end with the digest of the undisturbed training; no process may be left, and nothing may
take longer than the watchdog and a minute more. Where the only checkpoint was damaged it has to say
so, and to begin anew once the run directory is gone. The tests run a few of them.

What happens: ``kill``, ``stop`` and ``term`` send SIGKILL, SIGSTOP and SIGTERM to a random rank;
``flip`` and ``truncate`` damage a file of the newest checkpoint and kill a rank; ``disk`` fills
the disk of the run, a small tmpfs (which needs root); ``none`` leaves it in peace.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bigmodel.run_directory.sums import find_damage

ROOT = Path(__file__).parent.parent
SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "term": signal.SIGTERM}
KINDS = (*SIGNALS, "flip", "truncate", "disk", "none")
OPTIONS = (
    *("--data.name=digits", "--model.widths=16", "--data.batch-size=64"),
    *("--run.log-every=10", "--run.eval-every=20"),
)


class Training(NamedTuple):
    """One training: where it runs, on how many processes, how long, and when it hangs."""

    directory: Path
    processes: int
    steps: int
    watchdog: float

    @property
    def command(self) -> list[str]:
        """What a user types."""
        return [
            *(sys.executable, str(ROOT / "launch.py"), "run", str(ROOT / "experiments" / "mlp.py")),
            *(f"--processes={self.processes}", "--retries=3", f"--watchdog={self.watchdog:g}"),
            *("--", f"--run.dir={self.directory}", f"--run.steps={self.steps}", *OPTIONS),
        ]

    def ranks(self) -> list[int]:
        """The process ids of what runs now, beside the launcher."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                mine = f"--run.dir={self.directory}".encode() in words
                if mine and not any(word.endswith(b"launch.py") for word in words):
                    found.append(int(entry.name))
        return sorted(found)

    def saved(self) -> list[Path]:
        """The finished checkpoints."""
        return [path for path in (self.directory / "checkpoints").glob("*") if path.name.isdigit()]

    def newest(self) -> Path | None:
        """The newest finished checkpoint."""
        return max(self.saved(), key=lambda path: int(path.name), default=None)

    def digest(self) -> str:
        """That of the parameters at the end."""
        return json.loads((self.directory / "summary.json").read_text())["params_digest"]


class TrialError(AssertionError):
    """A trial did not end as it should; the message has what was printed."""


def undisturbed(training: Training) -> tuple[str, float]:
    """The digest of a training in peace, and how many seconds it takes."""
    started = time.monotonic()
    done = subprocess.run(training.command, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise TrialError(done.stdout + done.stderr)
    return training.digest(), time.monotonic() - started


def try_once(training: Training, kind: str, *, moment: float, chance: random.Random) -> list[str]:
    """A training to which something happens so many seconds after it began.

    Returns what was printed by each start of it. A TrialError says that it hangs, leaves a process
    or a damaged checkpoint, or ends otherwise.
    """
    printed = []
    only = False
    where = f"{kind} at {moment:.1f} s"
    ballast = training.directory.parent / "ballast"
    for attempt in range(5):
        process = subprocess.Popen(
            training.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        if attempt == 0:
            time.sleep(moment)
            only = happen(training, kind, ballast, chance)
        try:
            # Each of three retries may be used up.
            output, _ = process.communicate(timeout=4 * (training.watchdog + 60.0))
        except subprocess.TimeoutExpired:
            process.kill()
            raise TrialError(f"{where}: hangs: {process.communicate()[0]}") from None
        printed.append(output)
        if training.ranks():
            raise TrialError(f"{where}: left {training.ranks()}: {output}")
        if process.returncode == 0:
            return printed
        if kind == "disk" and process.returncode == 1:
            check_said_and_kept(training, output)
            ballast.unlink(missing_ok=True)
        elif process.returncode == 1 and only and "all checkpoints in" in output:
            shutil.rmtree(training.directory)
        elif process.returncode != 75:
            raise TrialError(f"{where}: status {process.returncode}: {output}")
    raise TrialError(f"{where}: never came to its end: {printed[-1]}")


def happen(training: Training, kind: str, ballast: Path, chance: random.Random) -> bool:
    """Does to a training what a kind says, and gives whether it damaged its only checkpoint."""
    newest = training.newest()
    only = kind in ("flip", "truncate") and len(training.saved()) == 1
    if kind in ("flip", "truncate") and newest is not None:
        files = [path for path in newest.rglob("*") if path.is_file() and path.stat().st_size]
        with contextlib.suppress(OSError):
            path = chance.choice(sorted(files))
            content = bytearray(path.read_bytes())
            at = chance.randrange(len(content))
            if kind == "flip":
                content[at] ^= 1 << chance.randrange(8)
            path.write_bytes(content if kind == "flip" else content[:at])
    if kind == "disk":
        with contextlib.suppress(OSError), ballast.open("wb") as file:
            while True:
                file.write(bytes(4096))
                file.flush()
    elif kind != "none" and (ranks := training.ranks()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(chance.choice(ranks), SIGNALS.get(kind, signal.SIGKILL))
    return only


def check_said_and_kept(training: Training, output: str) -> None:
    """Of a full disk: the message names the path, and the last checkpoint is whole."""
    errors = [line for line in output.splitlines() if line.startswith("error: ")]
    if not any(str(training.directory.parent) in line for line in errors):
        raise TrialError(f"disk: no error names the path: {output}")
    newest = training.newest()
    if newest is not None and (found := find_damage(newest)):
        raise TrialError(f"disk: the last checkpoint is damaged: {found}")


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """A tmpfs of a few megabytes at a folder; false where that is not allowed."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
    done = subprocess.run(["mount", *options], capture_output=True, check=False)
    try:
        yield done.returncode == 0
    finally:
        if done.returncode == 0:
            subprocess.run(["umount", "--lazy", str(folder)], check=False)


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of the program."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--processes", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS[:-1])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--watchdog", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Runs the trials and prints what came of them."""
    options = read_options(arguments)
    chance = random.Random(options.seed)
    print(f"seed {options.seed}", flush=True)
    wrong = 0
    with tempfile.TemporaryDirectory() as name:
        known = {}
        for count in options.processes:
            training = Training(Path(name) / f"whole-{count}", count, options.steps, 600.0)
            digest, _ = undisturbed(training)
            # How long it takes when its programs are compiled.
            again = training._replace(directory=Path(name) / f"again-{count}")
            known[count] = undisturbed(again)
            if known[count][0] != digest:
                raise TrialError("two undisturbed trainings have other digests")
            print(f"{count} processes: {known[count][1]:.1f} s undisturbed", flush=True)
        for trial in range(options.trials):
            count = options.processes[trial % len(options.processes)]
            kind = options.kinds[(trial // len(options.processes)) % len(options.kinds)]
            digest, seconds = known[count]
            moment = chance.uniform(0.0, seconds)
            folder = Path(name) / f"trial-{trial}"
            with small_disk(folder) if kind == "disk" else contextlib.nullcontext(True) as ready:
                if not ready:
                    print(f"trial {trial}: left out, {kind} needs a tmpfs", flush=True)
                    continue
                training = Training(folder / "run", count, options.steps, options.watchdog)
                started = time.monotonic()
                try:
                    printed = try_once(training, kind, moment=moment, chance=chance)
                    if training.digest() != digest:
                        raise TrialError(f"another digest: {printed[-1]}")
                    result = f"same digest after {len(printed)} starts of the launcher"
                except TrialError as error:
                    wrong += 1
                    result = f"FAILED: {error}"
            took = f"{time.monotonic() - started:.0f} s"
            what = f"trial {trial}: {count} processes, {kind} at {moment:.1f} s"
            print(f"{what}: {result}, {took}", flush=True)
    print(f"{wrong} of {options.trials} trials failed")
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
