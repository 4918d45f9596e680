import importlib.util
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractDevice, AbstractMesh, AxisType, use_abstract_mesh
from rare import rare

from bigmodel import models
from bigmodel.experiment import InputError
from bigmodel.models.attention.fused import attend_sequence, cudnn, splash
from bigmodel.models.attention.masks import padding_mask
from bigmodel.models.attention.parts import attend_in_parts
from bigmodel.planning import target
from bigmodel.sharding.mesh import MeshShape, make_mesh
from bigmodel.tracking.flops import count_work

DEVICES = {"cuda": "NVIDIA H100 80GB HBM3", "tpu": "TPU v5 lite", "cpu": "cpu"}
CALLS = {"cuda": "__cudnn$fmhaSoftmaxBackward", "tpu": "tpu_custom_call"}
PADDED = padding_mask(jnp.array([256, 77], jnp.int32), 256)[:, None]
each_kind = pytest.mark.parametrize(
    "options",
    [
        rare({"window": 256}, id="causal"),
        pytest.param({"window": 64}, id="window"),
        pytest.param({"mask": PADDED}, id="padded"),
        rare({}, id="all"),
    ],
)


def on(platform, **axes):
    """A mesh of devices that are not here, by default of one."""
    device = AbstractDevice(DEVICES[platform], 1, {"cuda": "gpu"}.get(platform, platform))
    axes = axes or {"data": 1}
    types = (AxisType.Auto,) * len(axes)
    mesh = AbstractMesh(tuple(axes.values()), tuple(axes), types, abstract_device=device)
    return use_abstract_mesh(mesh)


@pytest.fixture
def with_cudnn(monkeypatch):
    """As where cuDNN is installed, which JAX asks for when it traces."""
    private = "jax._src.cudnn.fused_attention_stablehlo"
    monkeypatch.setattr(f"{private}.check_cudnn_version", lambda: 91000)


def spec(time=256, heads=4, size=64, dtype="bfloat16", batch=2, sharding=None):
    return jax.ShapeDtypeStruct((batch, time, heads, size), dtype, sharding=sharding)


def gradients(attended, *arrays):
    def loss(*arrays):
        return jnp.sum(jnp.sin(attended(*arrays).astype(jnp.float32)))

    return jax.value_and_grad(loss, argnums=(0, 1, 2))(*arrays)


def lowered(platform, *arrays, **options):
    attended = partial(attend_sequence, attention="auto", **options)
    with on(platform):
        traced = jax.jit(partial(gradients, attended)).trace(*arrays)
        return traced.lower(lowering_platforms=(platform,)).as_text()


@each_kind
@pytest.mark.parametrize(
    "kernel", [partial(cudnn, implementation="xla"), partial(splash, interpret=True)]
)
def test_kernels_are_the_same_attention(kernel, options):
    query, key, value = (
        jax.random.normal(jax.random.key(n), spec(heads=count, size=8).shape, jnp.float32)
        for n, count in enumerate((4, 2, 2))
    )
    options = {"mask": None, "window": None} | options
    found = jax.jit(partial(gradients, partial(kernel, **options)))(query, key, value)
    expected = jax.jit(partial(gradients, partial(attend_in_parts, **options)))(query, key, value)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("with_cudnn")
@each_kind
@pytest.mark.parametrize("platform", CALLS)
def test_the_kernel_of_the_platform_is_in_what_it_runs(platform, options):
    text = lowered(platform, spec(), spec(heads=2), spec(heads=2), **options)
    assert CALLS[platform] in text
    if platform == "cuda" and "window" in options:
        (length,) = set(re.findall(r"sliding_window_length\W+22\W+(\d+)", text))
        assert int(length) == (64 if options["window"] == 64 else 0)


@pytest.mark.usefixtures("with_cudnn")
@pytest.mark.parametrize(("platform", "products"), [("cuda", 7), ("tpu", 9)])
def test_products_of_kernels_count(platform, products):
    attended = partial(attend_sequence, attention="auto", window=256)
    with on(platform):
        program = jax.make_jaxpr(partial(gradients, attended))(*[spec()] * 3)
    # Each of 2 FLOPs for a feature, an example, a head and a pair of positions.
    expected = products * 2 * 64 * 2 * 4 * 256**2
    assert count_work(program).flops == pytest.approx(expected, rel=0.01)


@pytest.mark.usefixtures("with_cudnn")
@pytest.mark.parametrize(
    ("platform", "changes"),
    [
        ("cuda", {"dtype": "float32"}),
        ("cuda", {"size": 12}),
        ("cuda", {"time": 9}),
        ("tpu", {"time": 192}),
        ("cuda", {"after": 99}),
        ("tpu", {"global_tokens": 1}),
    ],
)
def test_auto_takes_none_that_does_not_take_the_inputs(platform, changes):
    names = [name for name in changes if name in ("after", "global_tokens")]
    options = {name: changes[name] for name in names}
    shape = {name: value for name, value in changes.items() if name not in names}
    text = lowered(platform, *[spec(**shape)] * 3, window=100, **options)
    assert CALLS[platform] not in text


@pytest.mark.parametrize(
    ("platform", "attention", "changes", "message"),
    [
        (None, "cudnn", {}, "cudnn is for NVIDIA GPUs, and this runs on cpu; auto takes"),
        (None, "splash", {}, "splash is for TPUs, and this runs on cpu"),
        ("tpu", "cudnn", {}, "cudnn is for NVIDIA GPUs, and this runs on tpu"),
        ("cuda", "cudnn", {"dtype": "float32"}, "computes in bfloat16; add --model.dtype bfloat16"),
        ("cuda", "cudnn", {"size": 12}, "heads of 8, 16, ... to 128 features, not of 12"),
        ("cuda", "cudnn", {"time": 9}, "even numbers of positions, not 9"),
        ("tpu", "splash", {"time": 192}, "multiples of 128 positions, not 192"),
    ],
)
def test_what_a_kernel_cannot_do_is_said_in_one_line(platform, attention, changes, message):
    attended = partial(attend_sequence, attention=attention, window=100)
    place = on(platform) if platform else use_abstract_mesh(AbstractMesh((), ()))
    with place, pytest.raises(InputError, match=re.escape(message)):
        jax.eval_shape(attended, *[spec(**changes)] * 3)


@pytest.mark.parametrize("options", [{"after": 99}, {"global_tokens": 1}], ids=str)
def test_no_kernel_has_global_tokens_or_windows_on_both_sides(options):
    attended = partial(attend_sequence, attention="splash", window=100, **options)
    with on("tpu"), pytest.raises(InputError, match=r"splash takes neither .*; auto takes"):
        jax.eval_shape(attended, *[spec()] * 3)


def test_global_tokens_do_not_go_around_a_ring():
    attended = partial(attend_sequence, attention="auto", window=100, global_tokens=1)
    with on("cpu", sequence=2), pytest.raises(InputError, match=r"leave --mesh\.sequence out"):
        jax.eval_shape(attended, *[spec()] * 3)


def test_a_kernel_does_not_go_around_a_ring():
    with on("tpu", sequence=2), pytest.raises(InputError, match=r"leave --mesh\.sequence out"):
        jax.eval_shape(partial(attend_sequence, attention="splash", window=256), *[spec()] * 3)


SIZES = {"layers": 1, "width": 16, "heads": 2, "dtype": "bfloat16"}


@pytest.mark.usefixtures("with_cudnn")
@pytest.mark.parametrize("name", ["gpt", "bert", "vit"])
def test_models_use_it(name):
    lengths = jnp.array([8, 3], jnp.int32)
    batch = {
        "tokens": jnp.zeros((2, 8 if name == "gpt" else 7), jnp.int32),
        "length": lengths,
        "image": jnp.zeros((2, 8, 8, 1)),
    }
    model = {
        "gpt": lambda: models.Gpt(**SIZES).build(vocab_size=5, context=8),
        "bert": lambda: models.Bert(**SIZES).classifier(3, vocab_size=5, context=7),
        "vit": lambda: models.Vit(**SIZES).build(3),
    }[name]()
    variables = jax.eval_shape(model.init, jax.random.key(0), batch)

    def loss(variables, batch):
        return jnp.sum(model.apply(variables, batch, train=False)[0])

    with on("cuda"):
        step = jax.jit(jax.grad(loss))
        exported = jax.export.export(
            step,
            platforms=["cuda"],
            disabled_checks=[
                jax.export.DisabledSafetyCheck.custom_call(f"__cudnn$fmhaSoftmax{which}")
                for which in ("", "Backward")
            ],
        )(variables, batch)
    assert CALLS["cuda"] in exported.mlir_module()


@pytest.mark.skipif(not importlib.util.find_spec("libtpu"), reason="needs libtpu")
@pytest.mark.filterwarnings("ignore:Error reading persistent compilation cache")
def test_splash_attention_compiles_for_a_slice_and_its_memory_grows_linearly(monkeypatch):
    found = target.target(topology="v5e:2x4", devices=None, chip=None)
    for name in ("JAX_PLATFORMS", "JAX_NUM_CPU_DEVICES", "TPU_SKIP_MDS_QUERY"):
        monkeypatch.setenv(name, "")  # is put back at the end
    target.prepare(found)
    mesh = make_mesh(MeshShape(tensor=2), target.devices_of(found))

    def temporaries(time):
        with use_abstract_mesh(mesh.abstract_mesh):
            place = jax.sharding.NamedSharding(mesh, jax.P("data", None, "tensor"))
            arrays = [spec(time, heads, batch=4, sharding=place) for heads in (4, 2, 2)]
            attended = partial(attend_sequence, attention="auto", window=time)
            traced = jax.jit(partial(gradients, attended)).trace(*arrays)
            compiled = traced.lower(lowering_platforms=("tpu",)).compile()
        assert compiled.as_text().count(CALLS["tpu"]) == 3
        return compiled.memory_analysis().temp_size_in_bytes

    assert temporaries(8192) < 2.2 * temporaries(4096) + 2**20
