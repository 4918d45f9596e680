"""LeNet-5 (LeCun et al., 1998).

Two convolutions of 5x5 on images of 32x32, each followed by a mean over 2x2 pixels, then dense
layers of 120 and 84 units and the classes. All maps of the first pooling are read by all of the
second convolution, and the last layer is a softmax's.
"""

from __future__ import annotations

from bigmodel.models.images.cnn import ConvNet

LENET = ConvNet(
    widths=(6, 16),
    convolutions=(1,),
    kernel=5,
    padding="valid",
    dense=(120, 84),
    dropout=0.0,
    activation="tanh",
    pooling="mean",
    resolution=32,
)
