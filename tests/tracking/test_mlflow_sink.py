"""Runs in a local database of MLflow, as its own client reads them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tracked
from recorded import digest, read

from bigmodel.config import flat

pytest.importorskip("mlflow.tracking", reason="pip install -e '.[mlflow]'")
pytest.importorskip("alembic", reason="pip install -e '.[mlflow]'")
from mlflow import MlflowClient

# The newest SQLAlchemy has deprecated what MLflow does.
pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.xdist_group("mlflow")]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a database, which takes seconds to make."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("place")
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/tracked.db")
        patch.setenv("MLFLOW_EXPERIMENT_NAME", "linear")
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        MlflowClient().search_experiments()
        yield folder


def only_run(name: str) -> Any:
    client = MlflowClient()
    (found,) = client.search_runs(
        [client.get_experiment_by_name("linear").experiment_id],
        f"attributes.run_name = '{name}'",
    )
    return found


def history(run: Any) -> dict[int, dict[str, float]]:
    found: dict[int, dict[str, float]] = {}
    for name in run.data.metrics:
        for metric in MlflowClient().get_metric_history(run.info.run_id, name):
            row = found.setdefault(metric.step, {})
            assert name not in row, "sent twice"
            row[name] = metric.value
    return found


def test_the_database_has_what_the_run_directory_has(place: Path) -> None:
    assert tracked.run(place / "a", ("mlflow",)) == 0
    run = only_run("a")
    assert history(run) == tracked.rows(place / "a")
    assert run.info.status == "FINISHED"
    assert run.data.tags["params_digest"] == digest(place / "a")
    assert run.data.tags["status"] == "completed"
    config = flat(read(place / "a", "config.json"))
    assert run.data.params == {name: str(value) for name, value in config.items()}
    files = MlflowClient().list_artifacts(run.info.run_id, "figures")
    there = {path.name for path in (place / "a/figures").iterdir()}
    assert {Path(file.path).name for file in files} == there


def test_a_run_that_goes_on_does_so_in_the_same_run_and_nothing_is_sent_twice(place: Path) -> None:
    tracked.crash(place / "b", ("mlflow",))
    assert only_run("b").info.status == "KILLED"
    assert tracked.run(place / "b", ("mlflow",)) == 0
    run = only_run("b")
    assert run.info.status == "FINISHED"
    assert tracked.computed(history(run)) == tracked.computed(tracked.rows(place / "b"))
