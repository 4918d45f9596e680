"""What can be asked: variables, and a predictor of them."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from bigmodel.experiment import Assets, Batch, InputError, PyTree, Variables
from bigmodel.inference.answering import BATCH, Named, answers
from bigmodel.predictor import Predictor

if TYPE_CHECKING:
    from bigmodel.inference.explanation.explaining import Explanation, Method


class Value(ABC):
    """Variables that answer inputs, wherever they are from.

    ``path`` is where they are.
    """

    path: Path

    @property
    def step(self) -> int | None:
        """The number of updates that they have had, where that is known."""
        return None

    @property
    @abstractmethod
    def config(self) -> Any:
        """The options."""

    @property
    @abstractmethod
    def assets(self) -> Assets:
        """The files that say what the numbers of its batches mean."""

    @property
    @abstractmethod
    def variables(self) -> Variables:
        """The variables, nested as the model's ``apply`` takes them."""

    @property
    @abstractmethod
    def predictor(self) -> Predictor:
        """What encodes inputs, applies the model, and decodes its outputs."""

    @functools.cached_property
    def jitted(self) -> Any:
        """``apply(variables, batch)``, compiled once for each shape of a batch."""
        return jax.jit(self.predictor.apply)

    def apply(self, batch: Batch) -> PyTree:
        """The outputs for an encoded batch, on the device."""
        return self.jitted(self.variables, dict(batch))

    def predict(self, inputs: Iterable[Any], *, batch_size: int = BATCH) -> list[Any]:
        """The answer to each input, in order.

        Args:
            inputs: what ``predictor.inputs`` says, such as paths of image files.
            batch_size: how many are computed at once; it does not change the answers beyond
                rounding.

        Raises:
            InputError: an input cannot be used; the message says which.
        """
        return list(answers(self.predictor, self.apply, inputs, batch_size=batch_size))

    def stream(self, each: Any) -> Iterator[str]:
        """The text of the answer to an input, in pieces as they come.

        Raises:
            InputError: the input cannot be used, or no text is written.
        """
        if self.predictor.stream is None:
            raise InputError(f"{self.path} writes no text piece by piece; use predict")
        return self.predictor.stream(self.variables, each)

    def explain(
        self, each: Any, *, method: Method = "integrated_gradients", **options: Any
    ) -> Explanation:
        """What of an input its answer is due to.

        Args:
            each: what ``predictor.inputs`` says, such as the path of an image file.
            method: gradients, smoothgrad, integrated_gradients, grad_cam, rollout or occlusion.
            options: the other fields of
                :class:`~bigmodel.inference.explanation.explaining.How`, such as ``label``.

        Raises:
            InputError: the input cannot be used, or the network does not support the method;
                those that it supports are named.
        """
        from bigmodel.inference.explanation.explaining import How, explanations

        how = How(method, **options)
        [(_, found)] = explanations(self, [Named(each, "the input")], how)
        return found

    def activations(self, each: Any, pattern: str = "*") -> dict[str, np.ndarray]:
        """What layers give for an input, by path, in the order in which they end.

        Args:
            each: what ``predictor.inputs`` says, such as the path of an image file.
            pattern: paths such as ``encoder/blocks_0/attention`` match it as those of files do,
                from the right: ``blocks_*``, ``blocks_*/attention``, ``*`` for all.

        Returns:
            Arrays as the layers give them, for a batch of one; of a layer that is called more
            than once the last.

        Raises:
            InputError: the input cannot be used, no layer is of the pattern, or one is where it
                cannot be read.
        """
        from bigmodel.inference.explanation.activations import activations

        return activations(self, each, pattern)

    @functools.cached_property
    def networks(self) -> dict[Any, Any]:
        """What explanations have found of the network, by the shapes of an input."""
        return {}
