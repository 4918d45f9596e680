"""Whatever has learned, as a value: a trained run, or weights in another layout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jax.sharding import Mesh

from bigmodel.experiment import InputError
from bigmodel.inference.foreign import Foreign
from bigmodel.inference.trained import Trained, load_run
from bigmodel.pretrained.source import is_foreign
from bigmodel.protection.sealing import opened, sealed_file
from bigmodel.protection.secrets import read_passphrase
from bigmodel.run_directory.directory import MANIFEST
from bigmodel.run_directory.trained import At


def load(
    path: str | Path,
    at: At = "best",
    *,
    script: str | Path | None = None,
    options: Sequence[str] = (),
    mesh: Mesh | None = None,
    passphrase_file: str | Path | None = None,
) -> Trained | Foreign:
    """Reads a trained run, a folder in Hugging Face's layout, a GGUF file, or an encrypted export.

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
        passphrase_file: has the passphrase of an encrypted export on its line; by default that is
            in ``BIGMODEL_PASSPHRASE``, or asked for.

    Raises:
        InputError: there is nothing that can be read, or a run has no such checkpoint or script,
            or the passphrase is another one.
        StorageError: files are damaged or cannot be read.
    """
    path = Path(path)
    if (sealed := sealed_file(path)) is not None:
        file = None if passphrase_file is None else Path(passphrase_file)
        with opened(sealed, read_passphrase(file, path)) as folder:
            if not (is_foreign(folder) or (folder / MANIFEST).exists()):
                raise InputError(
                    f"{path} is an export for another runtime; only those of the formats run and "
                    "huggingface are loaded: launch.py decrypt opens it"
                )
            value = load(folder, at, script=script, options=options, mesh=mesh)
        value.path = path
        return value
    if not is_foreign(path):
        return load_run(path, at, script=script, options=options, mesh=mesh)
    if at != "best" or script is not None:
        raise InputError(f"{path} is no run directory: it has neither checkpoints nor a script")
    foreign = Foreign(path, options=options, mesh=mesh)
    # Each is read, and checked, in this order.
    _ = foreign.source, foreign.predictor, foreign.variables
    return foreign
