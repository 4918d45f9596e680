"""Explanations equal captum's on a PyTorch network with the same weights.

pip install -e '.[captum]'
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from initial import initial

torch = pytest.importorskip("torch")
attr = pytest.importorskip("captum.attr")

from bigmodel.inference.explanation.explaining import How, Question, explain  # noqa: E402
from bigmodel.inference.explanation.network import Evaluated, Network, Read  # noqa: E402
from bigmodel.inference.explanation.units import units_of  # noqa: E402
from bigmodel.models.images.cnn import ConvNet  # noqa: E402
from bigmodel.models.taps import layers  # noqa: E402

INDEX, NOISE, SAMPLES, SEED = 3, 0.1, 6, 5
OPTIONS = ConvNet(widths=(4, 6), convolutions=(1, 2), dense=(12,), activation="relu")


@pytest.fixture(scope="module")
def ours():
    model = OPTIONS.build(5)
    image = jax.random.uniform(jax.random.key(0), (1, 8, 8, 2), jnp.float32)
    variables = initial(model.init, jax.random.key(1), {"image": image})
    apply = Evaluated(model.apply)
    batch = {"image": image}
    read = Read(Network(apply, "image"), layers(apply, variables, batch), str, int, 0)
    return Question(read, batch, units_of("image", batch, {}, None), INDEX, 0.0), variables


class Twin(torch.nn.Module):
    """The same network, which reads images with the channels in front."""

    def __init__(self, params):
        super().__init__()

        def conv(of):
            kernel = np.asarray(of["kernel"])
            layer = torch.nn.Conv2d(*kernel.shape[2:], 3, padding=1)
            return filled(layer, kernel.transpose(3, 2, 0, 1), of["bias"])

        def dense(of):
            kernel = np.asarray(of["kernel"])
            return filled(torch.nn.Linear(*kernel.shape), kernel.T, of["bias"])

        def filled(layer, weight, bias):
            layer.weight.data = torch.tensor(np.array(weight))
            layer.bias.data = torch.tensor(np.array(bias))
            return layer

        blocks = params["blocks_0"], params["blocks_1"]
        self.first, self.second = conv(blocks[0]["conv_0"]), conv(blocks[1]["conv_0"])
        self.third = conv(blocks[1]["conv_1"])
        self.dense, self.head = dense(params["dense"]), dense(params["head"])

    def forward(self, x):
        x = torch.nn.functional.max_pool2d(torch.relu(self.first(x)), 2)
        x = torch.relu(self.third(torch.relu(self.second(x))))
        x = torch.nn.functional.max_pool2d(x, 2).permute(0, 2, 3, 1).flatten(1)
        return self.head(torch.relu(self.dense(x)))


@pytest.fixture(scope="module")
def theirs(ours):
    question, variables = ours
    pixels = np.array(question.batch["image"]).transpose(0, 3, 1, 2)
    return Twin(variables["params"]).eval(), torch.tensor(pixels)


def assert_equal(found, expected):
    expected = expected.detach().numpy()
    expected = expected.transpose(0, 2, 3, 1) if expected.ndim == 4 else expected
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max(), rtol=0)


def test_gradients(ours, theirs):
    twin, pixels = theirs
    expected = attr.Saliency(twin).attribute(pixels.requires_grad_(), target=INDEX, abs=False)
    assert_equal(explain(*ours, How("gradients")).numbers, expected)


@pytest.mark.parametrize("baseline", [0.0, 0.3])
def test_integrated_gradients_and_their_gap(ours, theirs, baseline):
    question, variables = ours
    twin, pixels = theirs
    options = {"target": INDEX, "n_steps": 40, "return_convergence_delta": True}
    attribute = attr.IntegratedGradients(twin).attribute
    expected, gap = attribute(pixels, baselines=baseline, **options)
    how = How(steps=40, baseline=baseline)
    found = explain(question._replace(baseline=baseline), variables, how)
    assert_equal(found.numbers, expected)
    assert found.gap == pytest.approx(-float(gap[0]), abs=1e-4)


def test_smoothgrad_of_the_same_noise(ours, theirs, monkeypatch):
    question, _ = ours
    twin, pixels = theirs
    image = np.asarray(question.batch["image"])
    keys = jax.random.split(jax.random.key(SEED), SAMPLES)
    drawn = [jax.random.normal(key, image.shape, jnp.float32) for key in keys]
    noise = np.concatenate(drawn).transpose(0, 3, 1, 2) * NOISE * np.ptp(image)
    monkeypatch.setattr(torch, "normal", lambda *_: torch.tensor(noise))
    tunnel = attr.NoiseTunnel(attr.Saliency(twin))
    options = {"nt_type": "smoothgrad", "nt_samples": SAMPLES, "stdevs": 1.0, "abs": False}
    expected = tunnel.attribute(pixels.detach(), target=INDEX, **options)
    how = How("smoothgrad", samples=SAMPLES, noise=NOISE, seed=SEED)
    assert_equal(explain(*ours, how).numbers, expected)


def test_grad_cam_at_the_last_convolution(ours, theirs):
    twin, pixels = theirs
    method = attr.LayerGradCam(twin, twin.third)
    expected = method.attribute(pixels, target=INDEX, relu_attributions=True)
    found = explain(*ours, How("grad_cam"))
    assert_equal(found.numbers, expected[:, 0])


def test_occlusion(ours, theirs):
    twin, pixels = theirs
    options = {"sliding_window_shapes": (2, 2, 2), "strides": (2, 1, 1), "target": INDEX}
    expected = attr.Occlusion(twin).attribute(pixels.detach(), **options)
    found = explain(*ours, How("occlusion", window=2))
    np.testing.assert_allclose(found.values, expected[0, 0].detach().numpy(), atol=1e-4)
