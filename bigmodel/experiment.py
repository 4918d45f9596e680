"""The contract between a thing to train and the loop that trains it.

An :class:`Experiment` is a value made of pure functions. It knows no seed, no device and
no file, so a run is a pure function of the experiment and the seed: batches come from
``(seed, step)``, random keys from ``(seed, step)``, and a resumed run needs only the step.

This module imports neither JAX nor Flax, so that rooms which may not know them can name
the contract too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    import jax
    from jax.sharding import PartitionSpec

Array: TypeAlias = "jax.Array"
Key: TypeAlias = "jax.Array"
PyTree: TypeAlias = Any

Size: TypeAlias = Any
"""The length of an axis: a number, or a symbol while a function is exported for any length."""

Batch: TypeAlias = Mapping[str, Any]
"""Arrays by name, the example on the first axis. All training batches of an experiment have the
same names, shapes and dtypes, and so have all evaluation batches. ``weight`` is 1 where an entry
is real and 0 where it is padding."""

Variables: TypeAlias = Mapping[str, PyTree]
"""What a model is made of: ``params``, and any other collection such as ``batch_stats``."""

Assets: TypeAlias = Mapping[str, bytes]
"""Files by name: what a run knows of its data, such as the names of its classes."""

Rules: TypeAlias = "Sequence[tuple[str, PartitionSpec]]"
"""Partition rules: pairs of a regular expression for a parameter's path and a partition spec. The
module ``bigmodel.partition`` says which of them decides."""

Figure: TypeAlias = "str | np.ndarray | Callable[[], np.ndarray]"
"""What a person looks at: text, or pixels as uint8 ``[height, width]`` or ``[height, width, 3]``,
or a function that draws them, which is called where they are wanted."""

Shown: TypeAlias = Mapping[str, Figure]
"""Figures by name."""


class InputError(ValueError):
    """What the user gave cannot be used. The message is one line: what, where, what to do."""


class Mean(NamedTuple):
    """A mean kept as its sum and its count, so that parts of the data add up exactly.

    ``total`` may be an array of any shape; ``count`` is a scalar. The value is
    ``total / count``.
    """

    total: Any
    count: Any


class Rows(NamedTuple):
    """One row for each example, gathered over all batches of an evaluation split, in order.

    For what is no mean over examples, such as the area under a ROC curve. ``values`` is an
    array, or arrays by name, with the example on the first axis; rows of ``weight`` 0, which
    is ``[batch]``, are left out.
    """

    values: Any
    weight: Any


Metrics: TypeAlias = Mapping[str, Mean]
"""What a training step measured, by name."""

Measured: TypeAlias = Mapping[str, Mean | Rows]
"""What an evaluation measured, by name."""

Results: TypeAlias = Mapping[str, "float | Figure"]
"""The results of an evaluation, by name: numbers and figures."""


class Projection(NamedTuple):
    """What of the parameters is trained at a step of so many.

    ``gradients(gradients, params, step, steps)`` gives those that the optimizer sees, and
    ``params(before, after, step, steps)`` the parameters after its update.
    """

    gradients: Callable[[PyTree, PyTree, Array, int], PyTree]
    params: Callable[[PyTree, PyTree, Array, int], PyTree]


class Model(NamedTuple):
    """A network as two pure functions; the seam behind which Flax, or anything else, hides.

    ``init(key, batch)`` gives the variables. ``apply(variables, batch, train=..., key=...)`` gives
    ``(outputs, updates)``: the outputs, and the new values of all collections but ``params`` (an
    empty mapping where there are none). ``key`` is None where nothing is random, as in evaluation.
    ``begins_with`` is a digest of what was learned before and the variables begin with, empty where
    all are drawn. ``projection``, if any, changes gradients and what updates lead to.
    ``privacy`` are the options of a training that protects each example, None for any other.
    """

    init: Callable[[Key, Batch], Variables]
    apply: Callable[..., tuple[PyTree, Variables]]
    partition: Rules
    begins_with: str = ""
    projection: Projection | None = None
    privacy: Any = None


WHOLE = slice(None)
"""All rows of a batch."""


class Train(Protocol):
    """Training batches."""

    def __call__(self, seed: Any, step: int, rows: slice = WHOLE, /) -> Batch:
        """Rows of the batch of a step; parts make up the whole, bit for bit."""


class Data(NamedTuple):
    """Real data as batches of numpy arrays.

    ``train(seed, step)`` is the batch of that step and nothing else decides it, ``train(seed,
    step, rows)`` what it has in a slice of its rows, which is all that a process makes. ``splits``
    maps the name of an evaluation split to its batches, the last one padded with weight 0.
    ``fingerprint`` is a sha256 over the arrays. ``assets`` are the files from which a
    :class:`Predictor` is made without the data, such as a trained tokenizer: name to content.
    ``inputs`` are the examples of the splits, in order, as a user would hand them to it: what its
    ``encode`` makes of those of a batch are arrays of that batch. ``receive`` makes of a batch what
    the experiment reads; a step does it on the devices (:mod:`bigmodel.receiving`).
    ``seen`` are the training examples in order, as a split has them: none is augmented.
    ``column(split, name, option=...)`` is what their source says of each example of a split, also
    where no network reads it: numbers with NaN, or texts with "", where it says nothing.
    ``sampled`` makes other training batches, of ``examples`` that are drawn one by one
    (:class:`~bigmodel.data.poisson.Poisson`).
    ``bare`` is the fingerprint of the data alone, where that of what else a run learns from, such
    as a teacher, is part of ``fingerprint``.
    """

    train: Train
    splits: Mapping[str, Sequence[Batch]]
    batch_size: int
    steps_per_epoch: int
    fingerprint: str
    assets: Assets = MappingProxyType({})
    inputs: Mapping[str, Sequence[Any]] = MappingProxyType({})
    receive: Callable[[Batch], Batch] = dict
    seen: Sequence[Batch] = ()
    column: Callable[..., np.ndarray] | None = None
    examples: int = 0
    sampled: Callable[[Any], Train] | None = None
    bare: str = ""

    @property
    def alone(self) -> str:
        """The fingerprint of the data alone."""
        return self.bare or self.fingerprint

    @property
    def example(self) -> Batch:
        """The structure of a training batch: one row in the place of all."""
        row = self.train(0, 0, slice(0, 1))
        return {n: np.broadcast_to(a, (self.batch_size, *a.shape[1:])) for n, a in row.items()}


@runtime_checkable
class State(Protocol):
    """Everything that training changes: a dataclass that is a pytree, with the parameters in it.

    See ``jax.tree_util.register_dataclass``.

    Only ``evaluated`` leaves training. ``eval_step`` and ``show`` use it, and so does whatever
    loads a trained run to predict, to export it or to go on from it. All of it belongs to the
    same weights: where parameters are averaged, so are the statistics of batch normalization
    beside them, for those of the last step describe other activations. It holds no moments of the
    optimizer and nothing that only training needs, such as a discriminator.
    """

    @property
    def params(self) -> PyTree:
        """The trained parameters."""

    @property
    def evaluated(self) -> Variables:
        """The variables to evaluate, as a model's ``apply`` takes them: averaged if any are."""


def scalars(measured: Measured) -> dict[str, float]:
    """The means of an evaluation as numbers: the ``summarize`` of most experiments.

    Where nothing counted, there is no mean, and it is NaN.
    """
    return {
        name: float(metric.total / metric.count) if metric.count else float("nan")
        for name, metric in measured.items()
        if isinstance(metric, Mean)
    }


class Experiment(NamedTuple):
    """One thing to train, as pure functions of explicit arguments.

    ``train_step`` also returns the gradients. The loop reads no more of them than which are
    finite, inside the compiled step, so that a run that diverges can name the first
    parameter that did; the compiler removes the rest.

    ``flops`` are those of the model in a training step, forward and backward, where a formula
    knows them better than a count of the step's products does: what a causal mask hides is
    computed and not needed. None leaves it to the count.

    ``show`` makes figures of the variables that are evaluated; None shows nothing.

    ``summarize`` turns what ``eval_step`` measured, put together over a whole split in
    float64, into results: numbers become metrics, text and pixels figures.

    ``maximize`` are the names, without the split, of the metrics of which more is better, not less.
    ``privacy`` says how training examples are protected
    (:class:`~bigmodel.training.privacy.accounting.Mechanism`), None where they are not.
    """

    init: Callable[[Key], Any]
    train_step: Callable[[Any, Batch, Key], tuple[Any, Metrics, PyTree]]
    eval_step: Callable[[Any, Batch], Measured]
    data: Data
    partition: Rules
    show: Callable[[Variables], Shown] | None = None
    summarize: Callable[[Measured], Results] = scalars
    flops: float | None = None
    maximize: frozenset[str] = frozenset()
    privacy: Any = None


def is_maximized(metric: str, maximize: Collection[str]) -> bool:
    """Whether more of a metric is better, which may be named with its split: ``test/accuracy``."""
    return metric.rpartition("/")[2] in maximize
