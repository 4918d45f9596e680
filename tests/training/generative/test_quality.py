import jax
import numpy as np
import pytest

from bigmodel.data.images.images import ImageData, load_images
from bigmodel.experiment import InputError
from bigmodel.models.images.cnn import ConvNet
from bigmodel.training.generative.quality import Quality

SMALL = Quality(ConvNet(widths=(4,), convolutions=(1,), dense=(6,), dropout=0.0), steps=5)


def test_features_are_those_of_a_trained_classifier_and_centred() -> None:
    images = load_images(ImageData(batch_size=64))
    features = jax.jit(SMALL.features(images.data, images.classes))
    given = jax.device_put(images.data.train(0, 0)["image"])
    found = np.asarray(features(given))
    assert found.shape == (64, 6)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-5)
    again = SMALL.features(images.data, images.classes)(given)
    np.testing.assert_allclose(found, again, atol=1e-6)


def test_a_classifier_that_is_not_trained_is_refused() -> None:
    with pytest.raises(InputError, match="quality"):
        Quality(steps=0)
