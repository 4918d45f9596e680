"""Whatever has learned, as a value: a trained run, or weights in another layout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jax.sharding import Mesh

from bigmodel.experiment import InputError
from bigmodel.inference.foreign import Foreign
from bigmodel.inference.trained import Trained, load_run
from bigmodel.pretrained.source import is_foreign
from bigmodel.run_directory.trained import At


def load(
    path: str | Path,
    at: At = "best",
    *,
    script: str | Path | None = None,
    options: Sequence[str] = (),
    mesh: Mesh | None = None,
) -> Trained | Foreign:
    """Reads a trained run, a folder in Hugging Face's layout, or a GGUF file.

    Of a run neither the optimizer's moments nor the training data are read. Nothing of what others
    wrote is executed.

    Args:
        path: the run directory, the folder or the file.
        at: of a run, the checkpoint: ``best`` by the metric ``--run.best``, or the last one where
            that was not evaluated; ``last``; or a step.
        script: the experiment's, where it is no longer where the run found it.
        options: command line options that change what is answered, such as
            ``--sampling.temperature 0``.
        mesh: devices to split the variables over; by default the first one.

    Raises:
        InputError: there is nothing that can be read, or a run has no such checkpoint or script.
        StorageError: files are damaged or cannot be read.
    """
    path = Path(path)
    if not is_foreign(path):
        return load_run(path, at, script=script, options=options, mesh=mesh)
    if at != "best" or script is not None:
        raise InputError(f"{path} is no run directory: it has neither checkpoints nor a script")
    foreign = Foreign(path, options=options, mesh=mesh)
    # Each is read, and checked, in this order.
    _ = foreign.source, foreign.predictor, foreign.variables
    return foreign
