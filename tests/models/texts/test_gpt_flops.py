import jax
import jax.numpy as jnp
import pytest

from bigmodel.models.attention.moe import Routed
from bigmodel.models.texts.gpt import Gpt
from bigmodel.models.texts.gpt_flops import train_flops
from bigmodel.tracking.flops import count_work

BATCH, TIME, VOCABULARY = 2, 16, 40
SIZES = {"layers": 3, "width": 32, "heads": 4}


def counted(options: Gpt) -> float:
    model = options.build(vocab_size=VOCABULARY, context=TIME)
    batch = {"tokens": jnp.zeros((BATCH, TIME), jnp.int32)}
    shapes = jax.eval_shape(model.init, jax.random.key(0), batch)

    def loss(params):
        outputs, _ = model.apply({"params": params}, batch, train=True, key=None)
        logits = outputs.logits if isinstance(outputs, Routed) else outputs
        return jnp.sum(jnp.sin(logits))

    return count_work(jax.make_jaxpr(jax.grad(loss))(shapes["params"])).model_flops


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"activation": "swiglu", "expansion": 3.0, "tied": False},
        {"kv_heads": 2},
        {"kv_heads": 2, "head_size": 16},
        {"remat": True},
        {"window": 4},
        {"window": 4, "global_tokens": 2},
        {"experts": 2, "experts_per_token": 2},
    ],
    ids=str,
)
def test_the_formula_is_the_count_without_what_the_mask_hides(changes) -> None:
    options = Gpt(**SIZES, **changes)
    formula = train_flops(options, vocab_size=VOCABULARY, context=TIME, batch_size=BATCH)
    window = options.window or TIME
    hidden = TIME - (window - window**2 / (2 * TIME))
    # The first ones are hidden from none but those that are nearer: 2 of 12, and 1 of 2 more.
    hidden -= options.global_tokens * (TIME - window - 1) / TIME
    each = 12 * 3 * options.heads * options.size * hidden
    if options.experts:
        # The outputs of the experts are added up by a product with their weights.
        each += 6 * 3 * 32 * options.experts
    assert counted(options) - each * BATCH * TIME == formula


def test_a_token_of_llama_7b_takes_six_flops_for_each_parameter_but_the_embedding() -> None:
    llama = Gpt(layers=32, width=4096, heads=32, activation="swiglu", expansion=2.6875, tied=False)
    flops = train_flops(llama, vocab_size=32_000, context=2048, batch_size=1) / 2048
    # 6,738,415,616 parameters (Touvron et al., 2023), among them the embedding and 65 norms.
    parameters = 6_738_415_616 - 32_000 * 4096 - 65 * 4096
    assert flops == 6 * parameters + 12 * 32 * 4096 * 1024
