"""Behaves like a training under a scheduler: SIGTERM saves and says 75, a restart goes on.

Options: --run.dir=DIR, and --fail=STATUS for a rank 1 that ends so at its first start.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

options = sys.argv[1:]
directory = Path(options[0].removeprefix("--run.dir="))
directory.mkdir(parents=True, exist_ok=True)
rank = os.environ["SLURM_PROCID"]
names = ("SLURM_PROCID", "SLURM_NTASKS", "SLURMD_NODENAME", "SLURM_STEP_NODELIST")
started = directory / f"started-{rank}.json"
first = not started.exists()
started.write_text(json.dumps({**{n: os.environ[n] for n in names}, "options": options[1:]}))
saved = directory / f"saved-{rank}"
if "--fail=9" in options and first and rank == "1":
    os.kill(os.getpid(), signal.SIGKILL)
if "--fail=2" in options:
    sys.exit(2)


def save(*_: object) -> None:
    time.sleep(0.5)
    saved.touch()
    sys.exit(75)


if "--wait" in options and not saved.exists():
    signal.signal(signal.SIGTERM, save)
    (directory / f"waiting-{rank}").touch()
    while True:
        time.sleep(0.05)
