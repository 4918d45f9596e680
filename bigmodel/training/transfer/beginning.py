"""Models that begin with what others have learned, in whole or in part."""

from __future__ import annotations

import functools
import hashlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bigmodel.experiment import Batch, Data, InputError, Key, Model, Variables
from bigmodel.frozen import divided
from bigmodel.partition import STACKED
from bigmodel.pretrained import positions
from bigmodel.training.ensemble import MEMBERS
from bigmodel.training.transfer.adapters import with_factors
from bigmodel.training.transfer.freezing import few, matches, merging
from bigmodel.tree import map_named, named_leaves

HEAD = r"(^|/)head(/|$)"
"""Parameters that are made anew where those that were learned have other shapes."""


@dataclass(frozen=True)
class Init:
    """What parameters begin with instead of random numbers, and what is trained of them.

    A path has no collection: ``encoder/blocks_0/attention/query/kernel``.
    """

    from_: str = ""
    """run directory, folder with config.json and *.safetensors, or GGUF file to begin with; texts
    are read with its tokenizer"""
    include: tuple[str, ...] = ()
    """path patterns of the parameters to take from there; by default all that have a place here"""
    exclude: tuple[str, ...] = ()
    """path patterns of the parameters not to take, whatever include says"""
    rename: tuple[str, ...] = ()
    """OLD=NEW: what to put into paths from there for what a regular expression finds in them"""
    lora_rank: int = 0
    """rank of the products that are trained beside kernels, while all that was taken stays as it
    is (Hu et al., 2021); 0 trains everything"""
    lora_alpha: float = 16.0
    """what the products are multiplied with, divided by their rank"""
    lora: tuple[str, ...] = (r"(^|/)kernel$",)
    """path patterns of the kernels that get such products"""

    def __post_init__(self) -> None:
        """Raises InputError for options that begin with nothing, or are no patterns."""
        changed = any(getattr(self, field.name) != field.default for field in fields(self))
        if changed and not self.from_:
            raise InputError("--init.from is not given, and other options of --init need it")
        if self.lora_rank < 0 or not 0 < self.lora_alpha < math.inf:
            raise InputError("--init.lora-rank must be at least 0, and --init.lora-alpha above 0")
        for name in ("include", "exclude", "rename", "lora"):
            for pattern in getattr(self, name):
                old, equals, new = pattern.rpartition("=")
                if name == "rename" and not equals:
                    raise InputError(f"--init.rename {pattern} has no =; write OLD=NEW")
                searched, put = (old, new) if name == "rename" else (pattern, "")
                try:
                    re.sub(searched, put, "")
                except (re.error, IndexError, OverflowError) as error:
                    raise InputError(f"--init.{name} {pattern!r} is no regex: {error}") from None


def beginning(
    model: Model,
    learned: Mapping[str, np.ndarray],
    options: Init,
    *,
    sha256: str,
    tell: Callable[[str], object],
) -> Model:
    """The model, whose initial variables are those that were learned, as far as they fit.

    With a rank, all that is taken is frozen, and kernels get factors: see ``bigmodel.frozen``.

    Args:
        model: The model. What it has and was not learned is initialised as before.
        learned: Variables by path with their collection, those of blocks one by one or stacked:
            ``params/encoder/blocks_0/attention/query/kernel``.
        options: What is taken, and how it is trained.
        sha256: A digest of what was learned.
        tell: Is told in one line how much was taken, left and made anew.

    Returns:
        The model. Its ``init`` raises InputError where nothing fits, or a parameter other than
        those of a head has another shape, naming the first.
    """
    members = [chosen(each, options) for each in by_member(learned)]
    given = members[0]
    tell = functools.cache(tell)  # ``init`` is traced several times.

    def init(key: Key, batch: Batch) -> Variables:
        variables = model.init(key, batch)
        taken: dict[str, Any] = {}
        read: set[str] = set()
        for path, leaf in named_leaves(variables).items():
            sources = _sources(path, leaf.shape)
            if not all(source in given for source in sources):
                continue
            found = [
                each[path] if sources == [path] else np.stack([each[s] for s in sources])
                for each in members
            ]
            fits = [fitted(path, each, leaf.shape, options.from_) for each in found]
            if fits[0] is not None:
                taken[path] = own([np.asarray(each, leaf.dtype) for each in fits], options.from_)
                read |= {*sources}
        ours = {path: leaf for path, leaf in named_leaves(variables).items() if _is_param(path)}
        if given and not any(path in taken for path in ours):
            theirs = [_bare(path) for path in given]
            raise InputError(
                f"--init.from {options.from_} has {few(theirs)}, and this model "
                f"{few([_bare(path) for path in ours])}: none of the same path; see --init.rename"
            )
        if given:
            left = {path: array for path, array in given.items() if path not in read}
            tell(report(options.from_, ours, taken, left))
        begun = map_named(lambda path, leaf: taken.get(path, leaf), variables)
        if not options.lora_rank:
            return begun
        frozen = [_bare(path) for path in ours if path in taken]
        rank, alpha = options.lora_rank, options.lora_alpha
        return with_factors(divided(begun, frozen), key, options.lora, rank=rank, alpha=alpha)

    return merging(model)._replace(init=init, begins_with=sha256)


def chosen(learned: Mapping[str, np.ndarray], options: Init) -> dict[str, np.ndarray]:
    """What was learned and is to be taken, by its new paths, blocks one by one.

    Raises:
        InputError: a pattern finds nothing, or two parameters get one name.
    """
    named: dict[str, np.ndarray] = {}
    before: dict[str, str] = {}
    unused = {*options.rename}
    for path, array in by_block(learned).items():
        collection, _, name = path.partition("/")
        for rule in options.rename:
            old, _, new = rule.rpartition("=")
            name, count = re.subn(old, new, name)
            unused -= {rule} if count else set()
        there = before.setdefault(f"{collection}/{name}", path)
        if there != path:
            raise InputError(f"--init.rename makes {name} of both {_bare(there)} and {_bare(path)}")
        named[f"{collection}/{name}"] = array
    for rule in options.rename:
        if rule in unused:
            raise InputError(f"--init.rename {rule} finds nothing in {options.from_}")
    for option, patterns in (("include", options.include), ("exclude", options.exclude)):
        for pattern in patterns:
            if not any(re.search(pattern, _bare(path)) for path in named):
                raise InputError(f"--init.{option} {pattern} finds nothing in {options.from_}")
    if options.include and not any(
        matches(options.include, _bare(path)) and not matches(options.exclude, _bare(path))
        for path in named
    ):
        raise InputError(f"--init.exclude leaves nothing of --init.include {options.include[0]}")
    return {
        path: array
        for path, array in named.items()
        if not options.include or matches(options.include, _bare(path))
        if not matches(options.exclude, _bare(path))
    }


def by_block(variables: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Variables by path, of which stacks of blocks are views of each."""
    found = {}
    for path, array in variables.items():
        above, stacked, name = path.partition(f"/{STACKED}/")
        if stacked:
            found.update({f"{above}_{i}/{name}": each for i, each in enumerate(array)})
        else:
            found[path] = array
    return found


def by_member(variables: Mapping[str, np.ndarray]) -> list[Mapping[str, np.ndarray]]:
    """Variables by path of each member of an ensemble; of any other network its own."""
    within = f"/{MEMBERS}/"
    if not all(within in path for path in variables) or not variables:
        return [variables]
    count = min(map(len, variables.values()))
    return [
        {path.replace(within, "/", 1): array[i] for path, array in variables.items()}
        for i in range(count)
    ]


def own(fits: Sequence[np.ndarray], name: str) -> Any:
    """Of the variables of all members, those of the one that begins.

    Raises:
        InputError: there are other members than in the ensemble that begins, or this is none.
    """
    if len(fits) == 1:
        return fits[0]
    try:
        here = jax.lax.axis_size(MEMBERS)
    except NameError:
        here = 1
    if here != len(fits):
        raise InputError(
            f"--init.from {name} is an ensemble of {len(fits)} networks, and here are {here}; give "
            f"--ensemble.members {len(fits)}, or begin with a single network"
        )
    return jnp.asarray(np.stack(fits))[jax.lax.axis_index(MEMBERS)]


def _sources(path: str, shape: tuple[int, ...]) -> list[str]:
    """The paths, with blocks one by one, of which a variable is made."""
    above, stacked, name = path.partition(f"/{STACKED}/")
    return [f"{above}_{i}/{name}" for i in range(shape[0])] if stacked else [path]


def fitted(path: str, found: np.ndarray, shape: tuple[int, ...], name: str) -> np.ndarray | None:
    """A variable as a model of other sizes takes it, None for what is made anew.

    Raises:
        InputError: it has another shape, and is no head.
    """
    if found.shape == shape:
        return found
    resized = positions.fitted(path, found, shape)
    if resized is not None or re.search(HEAD, path):
        return resized
    raise InputError(
        f"{_bare(path)} has shape {list(found.shape)} in {name} and {list(shape)} here; use the "
        "options of --model and --data that it was trained with, or leave it out by --init.exclude"
    )


def report(
    name: str, ours: Mapping[str, Any], taken: Mapping[str, Any], left: Mapping[str, Any]
) -> str:
    """A line that says how many parameters were taken, left and made anew, and which."""

    def counted(leaves: Mapping[str, Any]) -> str:
        params = {path: leaf for path, leaf in leaves.items() if _is_param(path)}
        count = sum(math.prod(leaf.shape) for leaf in params.values())
        return f"{count:,}" + (f" ({few([_bare(p) for p in params])})" if params else "")

    whole = sum(math.prod(taken[path].shape) for path in ours if path in taken)
    anew = {path: leaf for path, leaf in ours.items() if path not in taken}
    return (
        f"begins with {whole:,} parameters of {name}; {counted(left)} are left there, "
        f"{counted(anew)} made anew"
    )


def _is_param(path: str) -> bool:
    return path.startswith("params/")


def _bare(path: str) -> str:
    return path.partition("/")[2]


def with_beginning(data: Data, *models: Model) -> Data:
    """The data, whose fingerprint also says with what the models begin."""
    digests = [model.begins_with for model in models if model.begins_with]
    if not digests:
        return data
    both = "\0".join([data.fingerprint, *digests])
    digest = hashlib.sha256(both.encode()).hexdigest()
    return data._replace(fingerprint=digest, bare=data.alone)
