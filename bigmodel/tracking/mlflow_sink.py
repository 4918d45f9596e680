"""MLflow as a sink.

Its environment says where: ``MLFLOW_TRACKING_URI``, ``MLFLOW_EXPERIMENT_NAME``. Without them that
is the database ``mlflow.db`` in the current directory.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from bigmodel.config import flat
from bigmodel.tracking.sinks import Row, Start

PARAMS = 100
"""The most parameters that MLflow takes at once."""
ENDS = {"completed": "FINISHED", "stopped early": "FINISHED", None: "KILLED"}


def check() -> None:
    """Any address is taken; whether something answers there is found out later."""


def open_sink(start: Start) -> MlflowSink:
    """Starts a run, or resumes one."""
    client = MlflowClient()
    if start.id is not None:
        client.update_run(start.id, status="RUNNING")
        return MlflowSink(client, start.id)
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "Default")
    experiment = os.environ.get("MLFLOW_EXPERIMENT_ID") or mlflow.set_experiment(name).experiment_id
    run = client.create_run(experiment, run_name=start.path.resolve().name).info.run_id
    params = [Param(name, str(value)) for name, value in flat(start.config).items()]
    for first in range(0, len(params), PARAMS):
        client.log_batch(run, params=params[first : first + PARAMS])
    return MlflowSink(client, run)


class MlflowSink:
    """One run of MLflow, whose artifacts are the figures and the summary."""

    # It would take all that it has to find out.
    sent = None

    def __init__(self, client: MlflowClient, run: str) -> None:
        self._client = client
        self.id = run

    def send(self, row: Row) -> None:
        """Logs a row; its figures first, for it counts as sent only as a whole."""
        for path in row.figures.values():
            self._client.log_artifact(self.id, str(path), "figures")
        at = round(row.time * 1000)
        metrics = [Metric(name, value, at, row.step) for name, value in row.values.items()]
        self._client.log_batch(self.id, metrics=metrics)

    def close(self, summary: Mapping[str, Any] | None) -> None:
        """Ends the run; its tags say how, and the digest of its parameters."""
        status = None if summary is None else summary["status"]
        if summary is not None:
            self._client.log_dict(self.id, dict(summary), "summary.json")
            for name in ("status", "reason", "params_digest"):
                if name in summary:
                    self._client.set_tag(self.id, name, summary[name])
        self._client.set_terminated(self.id, ENDS.get(status, "FAILED"))
