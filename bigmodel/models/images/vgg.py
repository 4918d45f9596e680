"""VGG (Simonyan and Zisserman, 2015): several convolutions of 3x3 before each pooling.

The paper's networks are for images of 224x224; their 16 layers are widths 64, 128, 256, 512
and 512, convolutions 2, 2, 3, 3 and 3, dense layers of 4096 and 4096. This one has the same
shape for small images.
"""

from __future__ import annotations

from bigmodel.models.images.cnn import ConvNet

VGG = ConvNet(
    widths=(24, 48, 96),
    convolutions=(2,),
    dense=(256, 256),
    dropout=0.3,
    activation="relu",
    pooling="max",
)
