import re

import jax
import jax.numpy as jnp
import linear
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from bigmodel.experiment import InputError, Model
from bigmodel.training.ensemble import Ensemble, classifiers
from bigmodel.training.transfer.beginning import Init, beginning
from bigmodel.tree import named_leaves


def init(key, batch):
    del batch
    kernel, head, layers = (
        jax.random.normal(k, (2, 3), jnp.float32) for k in jax.random.split(key, 3)
    )
    params = {
        "encoder": {
            "kernel": kernel,
            "positions": {"embedding": jnp.ones((4, 2), jnp.float32)},
            "blocks": {"stacked": {"bias": layers}},
        },
        "head": {"kernel": head},
    }
    return {"params": params, "statistics": {"mean": jnp.zeros(2, jnp.float32)}}


MODEL = Model(init, lambda *_, **__: (None, {}), ((".*", P()),))
KERNEL = np.arange(6, dtype=np.float32).reshape(2, 3)
POSITIONS = np.arange(12, dtype=np.float32).reshape(6, 2)
LEARNED = {
    "params/encoder/kernel": KERNEL,
    "params/encoder/positions/embedding": POSITIONS,
    "params/encoder/blocks_0/bias": KERNEL[0],
    "params/encoder/blocks_1/bias": KERNEL[1],
    "params/head/kernel": np.zeros((2, 9), np.float32),
    "statistics/mean": np.array([7, 8], np.float32),
}


def begun(learned=LEARNED, tell=str, **options):
    model = beginning(MODEL, learned, Init("runs/a", **options), sha256="abc", tell=tell)
    return jax.jit(model.init)(jax.random.key(0), {})


def test_what_fits_is_taken_and_the_rest_is_initialised_as_before():
    lines = []
    found, before = begun(tell=lines.append), init(jax.random.key(0), {})
    encoder = found["params"]["encoder"]
    np.testing.assert_array_equal(encoder["kernel"], KERNEL)
    np.testing.assert_array_equal(encoder["blocks"]["stacked"]["bias"], KERNEL)
    np.testing.assert_array_equal(encoder["positions"]["embedding"], POSITIONS[:4])
    np.testing.assert_array_equal(found["statistics"]["mean"], [7, 8])
    np.testing.assert_array_equal(
        found["params"]["head"]["kernel"], before["params"]["head"]["kernel"]
    )
    assert jax.tree.structure(found) == jax.tree.structure(before)
    assert lines == [
        "begins with 20 parameters of runs/a; 18 (head/kernel) are left there, 6 (head/kernel) "
        "made anew"
    ]


def test_blocks_of_a_stack_are_taken_one_by_one():
    learned = {"params/encoder/blocks/stacked/bias": KERNEL, "params/encoder/kernel": KERNEL}
    found = begun(learned)["params"]["encoder"]
    np.testing.assert_array_equal(found["blocks"]["stacked"]["bias"], KERNEL)


def test_each_member_begins_with_its_own_of_an_ensemble_of_as_many():
    before = jax.jit(classifiers(MODEL, Ensemble(2)).init)(jax.random.key(7), {})
    learned = {path: np.asarray(leaf) for path, leaf in named_leaves(before).items()}
    model = beginning(MODEL, learned, Init("runs/a"), sha256="abc", tell=str)
    found = jax.jit(classifiers(model, Ensemble(2)).init)(jax.random.key(0), {})
    jax.tree.map(np.testing.assert_array_equal, found, before)
    for members in (1, 3):
        with pytest.raises(InputError, match=r"an ensemble of 2 .* give --ensemble.members 2"):
            classifiers(model, Ensemble(members)).init(jax.random.key(0), {})


@pytest.mark.parametrize(
    ("options", "taken"),
    [
        ({"include": ("kernel",)}, {"encoder/kernel"}),
        ({"include": ("encoder",), "exclude": ("positions", "bias$")}, {"encoder/kernel"}),
        ({"exclude": (".",)}, set()),
        (
            {"rename": ("^encoder/kernel=old", r"^(\w+)/blocks_(\d)=\1/blocks_\2")},
            {"encoder/positions/embedding", "encoder/blocks/stacked/bias"},
        ),
    ],
)
def test_patterns_choose_and_rename_what_is_taken(options, taken):
    found, before = begun(**options), init(jax.random.key(0), {})
    changed = jax.tree.map(lambda a, b: not np.array_equal(a, b), found, before)["params"]
    paths = jax.tree_util.tree_leaves_with_path(changed)
    names = {jax.tree_util.keystr(p, simple=True, separator="/") for p, differs in paths if differs}
    assert names == taken


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (
            {"params/encoder/kernel": np.zeros((2, 4))},
            {},
            "encoder/kernel has shape [2, 4] in runs/a and [2, 3] here",
        ),
        ({"params/encoder/positions/embedding": np.zeros((3, 2))}, {}, "has shape [3, 2] in"),
        (
            {},
            {"rename": ("^=other/",)},
            "runs/a has other/encoder/kernel, other/encoder/positions/embedding",
        ),
        ({}, {"include": ("decoder",)}, "--init.include decoder finds nothing in runs/a"),
        ({}, {"include": ("head",), "exclude": ("head",)}, "leaves nothing of --init.include head"),
        ({}, {"rename": ("k=k", "^decoder=")}, "--init.rename ^decoder= finds nothing in runs/a"),
        (
            {},
            {"rename": (r"blocks_\d=blocks_0",)},
            "--init.rename makes encoder/blocks_0/bias of both encoder/blocks_0/bias and encoder/b",
        ),
        (
            {},
            {"lora_rank": 2, "lora": ("kernel", "decoder")},
            "--init.lora decoder finds no kernel; there are encoder/",
        ),
    ],
)
def test_what_does_not_fit_is_named(change, options, message):
    with pytest.raises(InputError, match=re.escape(message)):
        begun(LEARNED | change, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lora_rank": 8}, "--init.from is not given"),
        ({"from_": "a", "rename": ("b",)}, "--init.rename b has no =; write OLD=NEW"),
        ({"from_": "a", "rename": (r"b=\1",)}, r"--init.rename 'b=\\1' is no regex: invalid group"),
        ({"from_": "a", "rename": (r"b=\g<c>",)}, "is no regex: unknown group name 'c'"),
        ({"from_": "a", "include": ("a{9999999999}",)}, "is no regex: the repetition number is"),
        ({"from_": "a", "exclude": ("(",)}, "--init.exclude '(' is no regex"),
        ({"from_": "a", "lora_alpha": 0.0}, "--init.lora-alpha above 0"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, message):
    with pytest.raises(InputError, match=re.escape(message)):
        Init(**options)


def test_what_a_run_begins_with_is_data_of_it():
    learned = {"params/kernel": np.zeros((8, 3), np.float32)}
    digests = {
        linear.experiment(
            model=beginning(linear.MODEL, learned, Init("a"), sha256=sha256, tell=str)
        ).data.fingerprint
        for sha256 in ("x", "y", "x")
    }
    assert len(digests) == 2
    assert "linear" not in digests
