"""A trained run as a value: its config, its variables, and what it answers.

run = bigmodel.load("runs/cnn-5e16c17c")
run.predict(["a.png", "b.png"])
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from jax.sharding import Mesh

from bigmodel.config import ConfigError, from_json
from bigmodel.data.personal.masking import masked_inputs
from bigmodel.experiment import Assets, Experiment, InputError, Variables
from bigmodel.inference.value import Value
from bigmodel.predictor import Predictor
from bigmodel.run_directory.history import History
from bigmodel.run_directory.recorded import Recorded, find_runs
from bigmodel.run_directory.trained import At, choose_step, read_evaluated, read_usable
from bigmodel.runtime.command_line import parse
from bigmodel.runtime.xla import with_precision
from bigmodel.script import load_script
from bigmodel.training.compression.awareness import rounded
from bigmodel.training.compression.reading import reading_predictor
from bigmodel.training.transfer.beginning import Init


class Trained(Value):
    """A run and the variables of one of its checkpoints.

    Nothing of it is read before it is asked for; :func:`load` asks for everything, so that what
    is wrong is said at once.

    Args:
        path: the run directory.
        at: the checkpoint: ``best``, ``last``, or a step.
        script: the experiment's, where it is no longer where the run found it.
        options: command line options that change the config for predictions, such as
            ``--sampling.temperature 0``.
        mesh: devices to split the variables over, as training did; by default the first one.
    """

    def __init__(
        self,
        path: str | Path,
        at: At = "best",
        *,
        script: str | Path | None = None,
        options: Sequence[str] = (),
        mesh: Mesh | None = None,
    ) -> None:
        self.path = Path(path)
        self._at, self._script, self._options, self._mesh = at, script, options, mesh

    def __repr__(self) -> str:
        """The path, as ``load`` takes it."""
        return f"Trained({str(self.path)!r})"

    @functools.cached_property
    def recorded(self) -> Recorded:
        """The files of the run."""
        return read_usable(self.path)

    @functools.cached_property
    def script(self) -> ModuleType:
        """The experiment's script as a module."""
        return load_script(find_script(self.recorded, self._script))

    @functools.cached_property
    def config(self) -> Any:
        """The config of the run, changed by the options."""
        default = self.script.Config()
        try:
            config = from_json(default, self.recorded.config)
        except ConfigError as error:
            name = Path(self.script.__file__ or "").name
            raise InputError(f"{self.path} cannot be used: {name} has changed: {error}") from None
        if not self._options:
            return config
        return parse(_without_test(config, self._options), self._options, description="")

    @property
    def assets(self) -> Assets:
        """The files that say what the numbers of its batches mean."""
        return self.recorded.assets

    @property
    def history(self) -> History:
        """The lines of ``metrics.jsonl``."""
        return self.recorded.history

    @property
    def summary(self) -> Mapping[str, Any]:
        """The final metrics; empty before the run has ended."""
        return self.recorded.summary

    def build(self, assets: Assets | None = None, *, model: Any = None) -> Experiment:
        """The experiment with the run's own data, or with the assets of a run to evaluate others.

        What the run began with and its teacher may be gone; the run itself has all that it needs.
        With other options of the ``model`` the network begins with random numbers.
        """
        # Imported here, for it loads runs itself.
        from bigmodel.inference.teaching import own_tokens

        config = self.config if model is None else dataclasses.replace(self.config, model=model)
        if config.init.from_:
            init = Init(str(self.path), exclude=() if model is None else (".*",))
            config = dataclasses.replace(config, init=init)
        if hasattr(config, "teacher"):
            config = dataclasses.replace(config, teacher=type(config.teacher)())
        if hasattr(config, "tokens"):
            config = dataclasses.replace(config, tokens=own_tokens(config.tokens, self.path))
        build: Callable[..., Experiment] = self.script.build
        return build(config) if assets is None else build(config, assets)

    @functools.cached_property
    def step(self) -> int:
        """The number of updates that the variables have had."""
        return choose_step(self.recorded, self._at)

    @functools.cached_property
    def variables(self) -> Variables:
        """The variables that evaluations use, nested as the predictor's ``apply`` takes them.

        Those of few bits are as :mod:`bigmodel.quantized` has them, and ``restored`` gives floats.
        """
        found = read_evaluated(self.recorded, self.step, mesh=self._mesh)
        return rounded(found, self.config.quantization)

    @functools.cached_property
    def predictor(self) -> Predictor:
        """What encodes inputs, applies the model, and decodes its outputs."""
        make = getattr(self.script, "predictor", None)
        if make is None:
            raise InputError(f"{self.script.__file__} has no predictor; see experiments/")
        found = reading_predictor(make(self.config, self.assets))
        precision = self.config.run.matmul_precision
        found = masked_inputs(found, getattr(self.config, "data", None), self.assets)
        return found._replace(apply=with_precision(found.apply, precision))


def load_run(
    path: str | Path,
    at: At = "best",
    *,
    script: str | Path | None = None,
    options: Sequence[str] = (),
    mesh: Mesh | None = None,
) -> Trained:
    """Reads a trained run, without the optimizer's moments and without its training data.

    The arguments are those of :class:`Trained`. The best checkpoint is that of the metric
    ``--run.best``; where that was not evaluated it is the last one.

    Raises:
        InputError: there is no run, it has no such checkpoint, or its script is not found.
        StorageError: its files are damaged or cannot be read.
    """
    trained = Trained(path, at, script=script, options=options, mesh=mesh)
    # Each is read, and checked, in this order.
    _ = trained.recorded, trained.step, trained.predictor, trained.variables
    return trained


def runs(folder: str | Path = "runs") -> list[Trained]:
    """The runs in a folder, at any depth, by the order of their names; they are not read yet."""
    return [Trained(path) for path in find_runs(Path(folder))]


def _without_test(config: Any, options: Sequence[str]) -> Any:
    """A config without the other test set of its data, where options name other data instead."""
    given = {option.partition("=")[0].replace("_", "-") for option in options}
    data: Any = getattr(config, "data", None)
    if "--data.path" not in given or not hasattr(data, "test_path"):
        return config
    return dataclasses.replace(config, data=dataclasses.replace(data, test_path=""))


def find_script(recorded: Recorded, given: str | Path | None) -> Path:
    """The script of a run: the one that is given, or that of the manifest.

    Where that has moved, one of its name in ``experiments/`` here, or beside ``bigmodel``.

    Raises:
        InputError: there is none.
    """
    if given is not None:
        return Path(given)
    script = Path(recorded.manifest["script"])
    package = Path(__file__).parent.parent.parent
    for folder in (Path(recorded.manifest.get("directory", "")), Path.cwd(), package):
        for path in (folder / script, folder / "experiments" / script.name):
            if path.is_file():
                return path
    raise InputError(f"the script {script} of {recorded.path} is not there; give it by --script")
