"""A trained run as the teacher of another one."""

from __future__ import annotations

import jax

from bigmodel.experiment import Assets, Data, InputError
from bigmodel.inference.loading import load
from bigmodel.quantized import restored
from bigmodel.run_directory.sums import params_digest
from bigmodel.training.teaching.distillation import Teacher, Teaching


def load_teacher(options: Teacher, data: Data, assets: Assets | None = None) -> Teaching | None:
    """The teacher that options name, if any, for a network that is trained on some data.

    Args:
        options: where it is, and how it teaches.
        data: what the student learns from. Its assets say what the numbers of a batch mean, and
            the teacher's have to say the same.
        assets: those of a trained run, which needs no teacher any more to be evaluated.

    Raises:
        InputError: there is no such run, it has no logits, or it read other inputs.
        StorageError: its files are damaged or cannot be read.
    """
    if not options.run or assets is not None:
        return None
    option = f"--teacher.run {options.run}"
    try:
        run = load(options.run)
    except InputError as error:
        raise InputError(f"--teacher.run: {error}") from None
    if run.predictor.model is None:
        raise InputError(f"{option} is neither a classifier nor a language model; give such a run")
    for name, content in data.assets.items():
        if run.assets.get(name) != content:
            raise InputError(
                f"{option} was trained on other inputs, for its {name} differs from that of this "
                "data; give a run with the same options of --data"
            )
    variables = jax.device_get(restored(run.variables))
    return Teaching(options, run.predictor.model, variables, params_digest(variables))
