"""Images as devices get them, and what becomes of them there: numbers, and mixtures of two.

All of it is written in operators that arrays of NumPy and JAX share.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bigmodel.experiment import Batch

# Numbers one of the independent random streams of a seed.
MIXING_STREAM = 5
HIGH = np.float32(1 / 255 - 1 / 255 % 2**-23)
LOW = np.float32(1 / 255 - float(HIGH))
"""1/255 in two parts: a byte times the first, which has 16 bits, is exact."""


def unit_range(image: Any) -> Any:
    """Bytes as float32 in [0, 1]: x / 255, correctly rounded; what is no bytes stays as it is.

    Without a division, which compilers for devices round otherwise than the host.
    """
    if image.dtype != np.uint8:
        return image
    wide = image.astype(np.float32)
    return wide * HIGH + wide * LOW


def mixtures(
    seed: int, step: int, rows: slice, *, size: int, shape: tuple[int, int], mixup: float,
    cutmix: float,
) -> dict[str, np.ndarray]:  # fmt: skip
    """How these rows of a batch of ``size`` are mixed, which :func:`received` does.

    A row is mixed with the one as far from the other end of the batch. In mixup (Zhang et al.,
    2018) its share is drawn from Beta(mixup, mixup). In CutMix (Yun et al., 2019) a box of the
    image's proportions comes from the other one; its area is 1 less a share from
    Beta(cutmix, cutmix) before it is cut at the border. Where both are asked for, each row is
    mixed in one of the two ways, which are as likely.

    Returns:
        ``share`` float32 ``[batch]``, of the row's own label; ``blend`` float32 ``[batch]``, of its
        own pixels; and ``box`` int32 ``[batch, 4]``, the top, the left, the bottom and the right of
        what comes from the other one.
    """
    random = np.random.default_rng([seed, MIXING_STREAM, step])
    height, width = shape
    blend = random.beta(mixup, mixup, size) if mixup else np.ones(size)
    area = 1 - random.beta(cutmix, cutmix, size) if cutmix else np.zeros(size)
    if mixup and cutmix:
        cut = random.random(size) < 0.5
        blend, area = np.where(cut, 1, blend), np.where(cut, area, 0)
    centre = random.random((size, 2)) * shape
    half = np.sqrt(area)[:, None] * shape / 2
    box = np.rint(np.clip([centre - half, centre + half], 0, shape)).astype(np.int32)
    box = np.concatenate([*box], axis=1)
    covered = (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1]) / (height * width)
    found = {"share": blend * (1 - covered), "blend": blend}
    return {**{name: v[rows].astype(np.float32) for name, v in found.items()}, "box": box[rows]}


def received(batch: Batch) -> Batch:
    """A batch as it is read: ``image`` float32 in [0, 1], mixed as :func:`mixtures` says.

    A mixed one has ``other_label`` beside ``label``, whose share is ``share``.
    """
    image = unit_range(batch["image"])
    if "box" not in batch:
        return {**batch, "image": image}
    top, left, bottom, right = (batch["box"][:, i, None, None, None] for i in range(4))
    y = np.arange(image.shape[1], dtype=np.int32)[None, :, None, None]
    x = np.arange(image.shape[2], dtype=np.int32)[None, None, :, None]
    outside = ~((y >= top) & (y < bottom) & (x >= left) & (x < right))
    own = batch["blend"][:, None, None, None] * outside.astype(np.float32)
    rest = {name: array for name, array in batch.items() if name not in ("blend", "box")}
    mixed = own * image + (1 - own) * image[::-1]
    return {**rest, "image": mixed, "other_label": batch["label"][::-1]}
