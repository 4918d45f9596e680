"""Contrastive losses and recall, held against Optax and plain formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bigmodel.sharding.mesh import MeshShape, make_mesh
from bigmodel.training.retrieval.contrastive import infonce, sigmoid
from bigmodel.training.retrieval.recall import recalls

ROWS = 16


def vectors(seed=0, rows=ROWS):
    random = np.random.default_rng(seed)
    drawn = random.normal(size=(2, rows, 6)).astype(np.float32)
    image, text = drawn / np.linalg.norm(drawn, axis=2, keepdims=True)
    scalars = {"scale": np.float32(5), "bias": np.float32(-2)}
    return jax.tree.map(jnp.asarray, {"image": image, "text": text, **scalars})


def pairs(rows=ROWS):
    every = np.arange(rows, dtype=np.int32)
    return {"picture": every, "caption": every, "weight": np.ones(rows, np.float32)}


def shared():
    """Pairs of which some have the same text or the same image, and some are padding."""
    batch = {name: array.copy() for name, array in pairs().items()}
    batch["caption"][[1, 5]] = 0
    batch["picture"][7] = 6
    batch["weight"][-3:] = 0
    return batch


def logits(of):
    image, text = (np.asarray(of[name], np.float64) for name in ("image", "text"))
    return float(of["scale"]) * image @ text.T + float(of["bias"])


def mean(measured):
    return float(measured.total) / float(measured.count)


def test_of_pairs_that_differ_infonce_is_the_cross_entropy_of_optax_both_ways():
    of = jnp.asarray(logits(vectors()), jnp.float32)
    labels = jnp.arange(ROWS, dtype=jnp.int32)
    entropy = optax.losses.softmax_cross_entropy_with_integer_labels
    expected = (entropy(of, labels).mean() + entropy(of.T, labels).mean()) / 2
    assert mean(infonce(vectors(), pairs())) == pytest.approx(float(expected), rel=1e-5)


def test_of_pairs_that_differ_sigmoid_is_that_of_optax():
    labels = jnp.eye(ROWS, dtype=jnp.float32)
    of = jnp.asarray(logits(vectors()), jnp.float32)
    expected = optax.losses.sigmoid_binary_cross_entropy(of, labels).sum() / ROWS
    assert mean(sigmoid(vectors(), pairs())) == pytest.approx(float(expected), rel=1e-5)


def test_the_same_image_the_same_text_and_padding_are_no_negatives():
    of, batch = logits(vectors()), shared()
    nats = {infonce: [], sigmoid: []}
    for i in range(ROWS - 3):
        others = [
            j
            for j in range(ROWS - 3)
            if batch["picture"][i] != batch["picture"][j]
            and batch["caption"][i] != batch["caption"][j]
        ]
        counted = [i, *others]
        by_image = np.log(np.exp(of[i, counted]).sum()) - of[i, i]
        by_text = np.log(np.exp(of[counted, i]).sum()) - of[i, i]
        nats[infonce].append((by_image + by_text) / 2)
        no = np.log1p(np.exp(of[i, others])).sum()
        nats[sigmoid].append(np.log1p(np.exp(-of[i, i])) + no)
    for loss, expected in nats.items():
        measured = loss(vectors(), batch)
        assert measured.count == ROWS - 3
        assert mean(measured) == pytest.approx(np.mean(expected), rel=1e-5)


@pytest.mark.parametrize("loss", [infonce, sigmoid])
def test_a_pair_without_others_does_not_count(loss):
    caption, picture = (np.array(each, np.int32) for each in ([0, 1, 0], [0, 1, 1]))
    of, batch = vectors(rows=3), {**pairs(3), "caption": caption, "picture": picture}
    alone = loss(of, batch)
    assert alone.count == 2
    assert loss(vectors(rows=1), pairs(1)).count == 0
    gradient = jax.grad(lambda of: loss(of, batch).total)(of)
    assert all(bool(np.isfinite(each).all()) for each in jax.tree.leaves(gradient))


@pytest.mark.parametrize("loss", [infonce, sigmoid])
def test_negatives_come_from_all_devices(loss):
    """The loss and its gradient on 8 devices are those on one, and not those of eight batches."""
    of, batch = vectors(), shared()

    def value(of, batch):
        measured = loss(of, batch)
        return measured.total / measured.count

    mesh = make_mesh(MeshShape(8))
    spread = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())

    def place(array):
        return jax.device_put(array, spread if np.ndim(array) else whole)

    function = jax.jit(jax.value_and_grad(value))
    alone, gradient = function(of, batch)
    found, gradients = function(*jax.tree.map(place, (of, batch)))
    assert float(found) == pytest.approx(float(alone), rel=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), gradients, gradient)
    apart = [
        loss(
            {name: array[rows] if np.ndim(array) else array for name, array in of.items()},
            {name: array[rows] for name, array in batch.items()},
        )
        for rows in (slice(n, n + 2) for n in range(0, ROWS, 2))
    ]
    total, count = (sum(map(float, part)) for part in zip(*apart, strict=True))
    assert total / count < 0.8 * float(alone)


@pytest.mark.parametrize("block", [7, 1024])
def test_recall_is_that_of_a_plain_count(block, monkeypatch):
    monkeypatch.setattr("bigmodel.training.retrieval.recall.BLOCK", block)
    random = np.random.default_rng(0)
    of = jax.tree.map(np.asarray, vectors(1, rows=40))
    picture, caption = random.permutation(40) // 2, random.permutation(40) // 3
    found = recalls(of["image"], of["text"], picture, caption)
    image = {int(p): row for p, row in zip(picture, of["image"], strict=True)}
    text = {int(c): row for c, row in zip(caption, of["text"], strict=True)}
    # The vector of an image is that of its first pair, as all are alike.
    for number in range(40)[::-1]:
        image[int(picture[number])] = of["image"][number]
        text[int(caption[number])] = of["text"][number]
    own = {(int(p), int(c)) for p, c in zip(picture, caption, strict=True)}
    for count in (1, 5, 10):
        hits = [
            any(
                (p, c) in own
                for c in sorted(text, key=lambda c, p=p: -float(image[p] @ text[c]))[:count]
            )
            for p in image
        ]
        assert found[f"recall_at_{count}"] == pytest.approx(np.mean(hits))
        hits = [
            any(
                (p, c) in own
                for p in sorted(image, key=lambda p, c=c: -float(image[p] @ text[c]))[:count]
            )
            for c in text
        ]
        assert found[f"text_recall_at_{count}"] == pytest.approx(np.mean(hits))


def test_one_vector_for_all_finds_nothing_and_chance_is_that_of_draws():
    same = np.ones((12, 3), np.float32)
    caption = np.array([0, 0, *range(1, 11)])
    found = recalls(same, same, np.array([0, 1, 2, 2, *range(3, 11)]), caption)
    assert found["recall_at_5"] == found["text_recall_at_1"] == 0
    # Of 11 texts one image has two, the others one.
    assert found["chance_at_1"] == pytest.approx((2 / 11 + 10 / 11) / 11)
    assert found["chance_at_5"] == pytest.approx((1 - 6 / 11 * 5 / 10 + 10 * 5 / 11) / 11)
