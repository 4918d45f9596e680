"""Weights in another layout as a value, which answers as a trained run does.

model = bigmodel.load("all-MiniLM-L6-v2")
model.predict(["A man is eating.", "Someone has a meal."])
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from bigmodel.experiment import Assets, InputError, Variables
from bigmodel.inference.answering import Named, encode
from bigmodel.inference.foreign_predictors import Asking, Made, make
from bigmodel.inference.value import Value
from bigmodel.partition import fitting, spec_of
from bigmodel.predictor import Predictor
from bigmodel.pretrained.source import Source, read_foreign
from bigmodel.runtime.command_line import parse
from bigmodel.tree import named_leaves, nested


class Foreign(Value):
    """A folder in Hugging Face's layout, or a GGUF file.

    Nothing of it is read before it is asked for; ``bigmodel.load`` asks for everything.

    Args:
        path: the folder or the file.
        options: command line options that change what is answered: see :class:`Asking`.
        mesh: devices to split the variables over, as training would; by default the first one.
    """

    def __init__(
        self, path: str | Path, *, options: Sequence[str] = (), mesh: Mesh | None = None
    ) -> None:
        self.path = Path(path)
        self._options, self._mesh = options, mesh

    def __repr__(self) -> str:
        """The path, as ``load`` takes it."""
        return f"Foreign({str(self.path)!r})"

    @functools.cached_property
    def source(self) -> Source:
        """What the files say."""
        return read_foreign(self.path)

    @functools.cached_property
    def config(self) -> Asking:
        """How it is asked."""
        return parse(Asking(), self._options, description="") if self._options else Asking()

    @functools.cached_property
    def _made(self) -> Made:
        try:
            return make(self.source, self.config)
        except InputError as error:
            said = str(error)
            raise InputError(said if said.startswith("--") else f"{self.path}: {said}") from None

    @property
    def predictor(self) -> Predictor:
        """What encodes inputs, applies the model, and decodes its outputs."""
        return self._made.predictor

    @property
    def assets(self) -> Assets:
        """The files that a run would keep to encode its inputs."""
        return self._made.assets

    @functools.cached_property
    def variables(self) -> Variables:
        """The variables in float32, nested as the model's ``apply`` takes them.

        Raises:
            InputError: they are not those of the network that the files describe; the first one
                is named.
        """
        model, sample = self._made.model, self._made.sample
        batch = encode(self.predictor, [Named(sample, "a sample")])
        wanted = named_leaves(jax.eval_shape(model.init, jax.random.key(0), batch))
        found = self.source.variables
        for path, leaf in wanted.items():
            shape = found[path].shape if path in found else None
            if shape != leaf.shape:
                there = "is not there" if shape is None else f"has shape {list(shape)}"
                raise InputError(
                    f"{self.path}: {path} {there}, and its config asks for {list(leaf.shape)}"
                )
        return nested({path: self._placed(path, found[path]) for path in wanted})

    def _placed(self, path: str, array: np.ndarray) -> jax.Array:
        array = np.asarray(array, np.float32)
        if self._mesh is None:
            return jax.device_put(array, jax.devices()[0])
        spec = spec_of(self._made.model.partition, path, array.ndim) or PartitionSpec()
        fits = fitting(spec, array.shape, self._mesh.shape)
        return jax.device_put(array, NamedSharding(self._mesh, fits))
