"""Weights & Biases as a sink.

Its environment says where and how: ``WANDB_PROJECT``, ``WANDB_MODE``, ``WANDB_DIR``. Offline it
keeps each start of a run in a folder of its own; ``wandb sync`` puts them together.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import wandb

from bigmodel.experiment import InputError
from bigmodel.tracking.sinks import Row, Start

FINISH_SECONDS = 20
"""How long the package waits for its last uploads, which it would do forever."""
FLUSH_SECONDS = 1.0
"""Seconds of logged data that a killed run can lose offline; the package's default is 15."""


def check() -> None:
    """Raises InputError if no user is logged in, since the package would then prompt for a key."""
    settings = wandb.setup().settings
    online = settings.mode in (None, "online", "shared")
    if online and not wandb.login(prompt=False, verify=False):
        raise InputError(
            "--run.sinks wandb: nobody is logged in to Weights & Biases; run `wandb login`, or set "
            "WANDB_MODE=offline"
        )


def open_sink(start: Start) -> WandbSink:
    """Starts a run, or resumes one."""
    settings = wandb.Settings(
        console="off",
        quiet=True,
        finish_timeout=FINISH_SECONDS,
        finish_timeout_raises=True,
        x_transaction_log_flush_interval=FLUSH_SECONDS,
    )
    run = wandb.init(
        id=start.id,
        name=start.path.resolve().name,
        config=dict(start.config) if start.id is None else None,
        resume=None if start.id is None else "allow",
        # Runs of one process do not know of each other.
        reinit="create_new",
        settings=settings,
    )
    return WandbSink(run)


class WandbSink:
    """One run of Weights & Biases; its steps are those of the training."""

    def __init__(self, run: wandb.Run) -> None:
        self._run = run
        self.id = run.id
        # The server knows best what arrived before a run was killed; offline there is none.
        self.sent = run.step - 1 if run.resumed else None

    def send(self, row: Row) -> None:
        """Logs a row as one of its history."""
        figures = {name: _figure(path) for name, path in row.figures.items()}
        self._run.log({**row.values, **figures}, step=row.step)

    def close(self, summary: Mapping[str, Any] | None) -> None:
        """Ends the run; what stands in a summary becomes the run's."""
        if summary is None:
            # Not a failure there, but a run that waits to go on.
            self._run.mark_preempting()
        else:
            self._run.summary.update(dict(summary))
        well = summary is not None and summary["status"] in ("completed", "stopped early")
        self._run.finish(exit_code=0 if well else 1)


def _figure(path: Path) -> wandb.Image | wandb.Html:
    if path.suffix == ".txt":
        return wandb.Html(
            f"<pre>{html.escape(path.read_text(encoding='utf-8'))}</pre>", inject=False
        )
    return wandb.Image(str(path))
