"""Networks without the channels and heads that weigh least (Li et al., 2017)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from bigmodel.compression.coupling import Axes, Axis, Part, coupled
from bigmodel.experiment import Experiment, InputError, Variables
from bigmodel.frozen import merged
from bigmodel.inference.measuring import evaluating
from bigmodel.inference.trained import Trained
from bigmodel.tree import map_named, named_leaves

COUNTS = ("widths", "dense", "hidden")
"""Options of a model that are numbers of channels, one for each layer."""


class Narrowed(NamedTuple):
    """A smaller network: its config, its variables, and where in the axes of the larger one's.

    ``entries`` has an array of indices for each axis of each variable, by path.
    """

    config: Any
    variables: Variables
    entries: Mapping[str, list[np.ndarray]]


def narrowed(run: Trained, experiment: Experiment, keep: float) -> Narrowed:
    """The network with this share of its channels and heads.

    Of the entries of each part of an axis that the smaller network has fewer of, those stay that
    have the largest share of the squares of all parameters with that part.

    Args:
        run: What is made smaller.
        experiment: Its experiment, by whose evaluation the parts are found.
        keep: The share.

    Raises:
        InputError: its options do not say how many channels it has, or the network tells them
            apart.
    """
    config = dataclasses.replace(run.config, model=fewer(run.config.model, keep))
    small = run.build(model=config.model)
    wanted = named_leaves(jax.eval_shape(lambda: merged(small.init(jax.random.key(0)).evaluated)))
    leaves = named_leaves(run.variables)
    axes = coupled(
        evaluating(experiment), run.variables, next(iter(experiment.data.splits.values()))[0]
    )
    sizes = smaller_parts(run, axes, {path: leaf.shape for path, leaf in wanted.items()})
    kept = {
        part: np.sort(np.argsort(-weight, kind="stable")[: sizes[part]])
        for part, weight in weights(leaves, axes, sizes).items()
    }
    entries = {path: [entries_of(axis, kept) for axis in axes[path]] for path in leaves}
    variables = map_named(
        lambda path, leaf: np.asarray(leaf)[np.ix_(*entries[path])], run.variables
    )
    return Narrowed(config, variables, entries)


def smaller_parts(
    run: Trained, axes: Mapping[str, Axes], wanted: Mapping[str, tuple[int, ...]]
) -> dict[Part, int]:
    """How many entries of which parts the shapes of a smaller network have.

    Raises:
        InputError: an axis is smaller of which all parts are fixed, or in other measure.
    """
    sizes: dict[Part, int] = {}
    for path, leaf in named_leaves(run.variables).items():
        for axis, before, after in zip(axes[path], leaf.shape, wanted[path], strict=True):
            part = next((part for part in axis if cuts(part, before, after)), None)
            if before != after and part is not None:
                sizes.setdefault(part, part.size * after // before)
    for path, shape in wanted.items():
        found = tuple(math.prod(sizes.get(p, p.size) for p in axis) for axis in axes[path])
        if found != shape:
            raise InputError(
                f"--to channels cannot make {path} of {run.path} smaller, for the network tells "
                "its channels apart; docs/compression.md has those that take part"
            )
    return sizes


def cuts(part: Part, before: int, after: int) -> bool:
    """Whether an axis becomes smaller where this part of it does."""
    return not part.fixed and part.size * after % before == 0


def weights(
    leaves: Mapping[str, Any], axes: Mapping[str, Sequence[Axis]], parts: Collection[Part]
) -> dict[Part, np.ndarray]:
    """What the entries of parts weigh: their shares of the squares of each parameter, added up."""
    found = {part: np.zeros(part.size) for part in parts}
    for name, leaf in leaves.items():
        if name.startswith("params/"):
            squares = np.square(np.asarray(leaf, np.float64))
            whole = [part for axis in axes[name] for part in axis]
            split = squares.reshape([part.size for part in whole]) / max(squares.sum(), 1e-30)
            for n, part in enumerate(whole):
                if part in found:
                    found[part] += split.sum(axis=tuple(m for m in range(split.ndim) if m != n))
    return found


def entries_of(axis: Axis, kept: Mapping[Part, np.ndarray]) -> np.ndarray:
    """The indices along an axis of what is kept of its parts."""
    each = np.ix_(*(kept.get(part, np.arange(part.size)) for part in axis))
    return (
        np.ravel_multi_index(each, [part.size for part in axis]).ravel() if axis else np.arange(1)
    )


def fewer(options: Any, keep: float) -> Any:
    """Options of a model with this share of its channels and heads.

    Raises:
        InputError: none of the options says how many there are.
    """

    def share(count: float) -> Any:
        return type(count)(max(1, round(count * keep))) if isinstance(count, int) else count * keep

    named = getattr(options, "network", options)
    changes: dict[str, Any] = {}
    for name in COUNTS:
        if counts := getattr(named, name, ()):
            changes[name] = tuple(map(share, counts))
    if hasattr(options, "expansion"):
        changes["expansion"] = share(options.expansion)
    if hasattr(options, "head_size"):
        heads, shared = options.heads, options.kv_heads
        changes["head_size"] = options.size
        changes["heads"] = share(heads)
        if shared is not None:
            changes["kv_heads"] = share(shared)
    if hasattr(options, "depth"):
        changes["width"] = share(options.channels)
    known = {field.name for field in dataclasses.fields(options)} if changes else set()
    if not changes.keys() <= known or not changes:
        raise InputError(
            f"--to channels: {type(options).__name__} has no option that says how many channels "
            "or heads it has; docs/compression.md has those that take part"
        )
    return dataclasses.replace(options, **changes)
