"""Accelerators by name: their peak performance, as stated by their makers.

Sources: for TPUs the pages "TPU v5e", "TPU v5p" and "TPU v6e" of Google Cloud's documentation,
except for the memory, which is what the TPU compiler allows a program; for GPUs NVIDIA's data
sheets of the A100, the H100, the H200, the L4 and the L40S, and, for the B200, an eighth of the
HGX B200. FLOP/s are those without sparsity; cards without NVLink are linked by PCI Express.
"""

from __future__ import annotations

import difflib
from typing import NamedTuple

from bigmodel.experiment import InputError

GIB = 2.0**30


class Chip(NamedTuple):
    """One device as JAX counts them.

    ``bfloat16`` and ``float32`` are FLOP/s of matrix products of arrays of that dtype at JAX's
    default precision: for float32 that is one pass in bfloat16 on a TPU, and TF32 on a GPU.
    ``memory`` is in bytes, ``memory_bandwidth`` and ``link_bandwidth`` in bytes/s. The latter is
    what a device sends to its neighbours over all of its links together: half of the figure
    for both directions. ``kinds`` are parts of JAX's ``device_kind``.
    """

    bfloat16: float
    float32: float
    memory: float
    memory_bandwidth: float
    link_bandwidth: float
    kinds: tuple[str, ...]


CHIPS: dict[str, Chip] = {
    "v5e": Chip(197e12, 197e12, 15.75 * GIB, 819e9, 200e9, ("TPU v5 lite", "TPU v5e")),
    "v5p": Chip(459e12, 459e12, 95.74 * GIB, 2765e9, 600e9, ("TPU v5p", "TPU v5")),
    "v6e": Chip(918e12, 918e12, 31.25 * GIB, 1640e9, 400e9, ("TPU v6 lite", "TPU v6e")),
    "a100": Chip(312e12, 156e12, 80e9, 2039e9, 300e9, ("A100",)),
    "a100-40gb": Chip(312e12, 156e12, 40e9, 1555e9, 300e9, ("A100-SXM4-40GB",)),
    "h100": Chip(989e12, 494e12, 80e9, 3350e9, 450e9, ("H100",)),
    "h200": Chip(989e12, 494e12, 141e9, 4800e9, 450e9, ("H200",)),
    "b200": Chip(2250e12, 1125e12, 180e9, 8000e9, 900e9, ("B200",)),
    "l4": Chip(121e12, 60e12, 24e9, 300e9, 32e9, ("L4",)),
    "l40s": Chip(362e12, 183e12, 48e9, 864e9, 32e9, ("L40S",)),
}


def find_chip(name: str) -> Chip:
    """The chip of a name; raises InputError, which names the nearest, where there is none."""
    if name not in CHIPS:
        near = difflib.get_close_matches(name.lower(), CHIPS, n=1, cutoff=0.3)
        hint = f"did you mean {near[0]}? " if near else ""
        raise InputError(f"there is no chip {name!r}; {hint}there are {', '.join(CHIPS)}")
    return CHIPS[name]


def name_of_kind(kind: str) -> str | None:
    """The name of the chip with a ``device_kind`` of JAX; None for an unknown one.

    The longest match decides: an ``NVIDIA L40S`` is not an L4.
    """
    fitting = {part: name for name, chip in CHIPS.items() for part in chip.kinds if part in kind}
    return fitting[max(fitting, key=len)] if fitting else None
