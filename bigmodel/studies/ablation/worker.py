"""The process that makes runs of a study, whose compiled programs they share.

It reads a task a line from its standard input, as JSON: where to print, the runs of a trial, or
the runs to make. It answers with a line for each run that has ended or, of one in turns, has made
its first step, for the trial, and for the questions which devices it has and what is measured.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from bigmodel import errors
from bigmodel.processes.signals import Interrupted, StopRequest
from bigmodel.runtime.compilation import use_compilation_cache
from bigmodel.studies.ablation.making import Maker, Task
from bigmodel.tracking.progress import redirect_output


def main(script: Path) -> None:
    """Works until its input ends or a signal stops it."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(line: Mapping[str, Any]) -> None:
        answers.write(json.dumps(line) + "\n")
        answers.flush()

    with StopRequest() as stop:
        try:
            use_compilation_cache()
            maker = Maker(script, stop)
            for line in sys.stdin:
                message = json.loads(line)
                if "log" in message:
                    redirect_output(Path(message["log"]))
                    maker.drawing = message["drawing"]
                    continue
                if "platform" in message:
                    answer({"platform": jax.default_backend()})
                    continue
                if "metrics" in message:
                    answer({"metrics": maker.metrics(message["metrics"])})
                    continue
                if stop.requested:
                    break
                tasks = [Task(tuple(o), s, d) for o, s, d in message["runs"]]
                if "trial" in message:
                    count, crew = message["trial"], message["crew"]
                    answer(maker.try_out(tasks, count=count, workers=crew)._asdict())
                else:
                    maker.make(tasks, lambda: answer({"begun": True}), answer)
        except Interrupted:
            os._exit(errors.RESUME)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
