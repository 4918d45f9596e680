import jax
import jax.numpy as jnp
import numpy as np
import pytest
from initial import initial
from rare import rare

from bigmodel.models.images.dcgan import Dcgan

SHAPES = [(8, 8, 1), (28, 28, 1), (7, 10, 3)]
TINY = Dcgan(latent=5, widths=(4, 6))


def latents(count: int) -> dict[str, np.ndarray]:
    return {"latent": np.random.default_rng(0).standard_normal((count, 5), np.float32)}


@pytest.mark.parametrize(
    ("dtype", "shape"),
    [
        ("float32", SHAPES[0]),
        *(rare("float32", shape) for shape in SHAPES[1:]),
        rare("bfloat16", SHAPES[0]),
    ],
    ids=str,
)
def test_images_have_the_shape_and_the_range_of_the_data(shape: tuple, dtype: str) -> None:
    generator, discriminator = Dcgan(latent=5, widths=(4, 6), dtype=dtype).build(shape, 10)
    variables = initial(generator.init, jax.random.key(0), latents(1))
    images, _ = generator.apply(variables, latents(3), train=False)
    assert images.shape == (3, *shape)
    assert images.dtype == jnp.float32
    assert 0 <= images.min() <= images.max() <= 1
    judge = initial(discriminator.init, jax.random.key(1), {"image": images})
    logits, _ = discriminator.apply(judge, {"image": images}, train=False)
    assert logits.shape == (3,)
    assert logits.dtype == jnp.float32


def test_discriminator_judges_each_image_by_itself() -> None:
    _, discriminator = TINY.build((8, 8, 1), 10)
    images = np.random.default_rng(0).random((6, 8, 8, 1), np.float32)
    variables = initial(discriminator.init, jax.random.key(0), {"image": images})
    together, _ = discriminator.apply(variables, {"image": images}, train=True)
    alone = [discriminator.apply(variables, {"image": x[None]}, train=True)[0] for x in images]
    np.testing.assert_allclose(together, np.concatenate(alone), rtol=1e-4, atol=1e-5)


def test_the_class_decides_what_is_generated_and_how_it_is_judged() -> None:
    generator, discriminator = Dcgan(latent=5, widths=(4, 6), conditional=True).build((8, 8, 1), 3)
    given = {**latents(3), "label": np.arange(3, dtype=np.int32)}
    given["latent"] = np.repeat(given["latent"][:1], 3, axis=0)
    variables = initial(generator.init, jax.random.key(0), given)
    images, _ = generator.apply(variables, given, train=False)
    assert not np.allclose(images[0], images[1])
    seen = {"image": np.repeat(images[:1], 3, axis=0), "label": given["label"]}
    variables = initial(discriminator.init, jax.random.key(1), seen)
    logits, _ = discriminator.apply(variables, seen, train=False)
    assert len(np.unique(logits)) == 3
