"""Networks: one architecture a file. The only room that imports Flax.

The public names are imported when they are asked for, so that a script imports its own network
alone.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bigmodel.models.clip import Clip as Clip
    from bigmodel.models.images.autoencoder import Autoencoder as Autoencoder
    from bigmodel.models.images.cnn import ConvNet as ConvNet
    from bigmodel.models.images.cnn1d import ConvNet1d as ConvNet1d
    from bigmodel.models.images.dcgan import Dcgan as Dcgan
    from bigmodel.models.images.named_cnn import NamedCnn as NamedCnn
    from bigmodel.models.images.resnet import ResNet as ResNet
    from bigmodel.models.images.unet import Detector as Detector
    from bigmodel.models.images.unet import PixelUnet as PixelUnet
    from bigmodel.models.images.unet import Unet as Unet
    from bigmodel.models.images.vit import Vit as Vit
    from bigmodel.models.images.vqvae import Vqvae as Vqvae
    from bigmodel.models.images.xception import Xception as Xception
    from bigmodel.models.linen import model as model
    from bigmodel.models.mlp import Mlp as Mlp
    from bigmodel.models.recommender import Recommender as Recommender
    from bigmodel.models.rnn import Rnn as Rnn
    from bigmodel.models.sounds.listener import Listener as Listener
    from bigmodel.models.text_to_image import TextToImage as TextToImage
    from bigmodel.models.texts.beam import Beam as Beam
    from bigmodel.models.texts.bert import Bert as Bert
    from bigmodel.models.texts.generation import Sampling as Sampling
    from bigmodel.models.texts.gpt import Gpt as Gpt
    from bigmodel.models.texts.gpt_flops import train_flops as train_flops
    from bigmodel.models.texts.seq2seq import Seq2Seq as Seq2Seq
    from bigmodel.models.texts.transformer import Transformer as Transformer
    from bigmodel.models.texts.word2vec import SkipGram as SkipGram
    from bigmodel.models.videos.video_net import VideoNet as VideoNet

_PLACES = {
    "clip": ("Clip",),
    "images.autoencoder": ("Autoencoder",),
    "images.cnn": ("ConvNet",),
    "images.cnn1d": ("ConvNet1d",),
    "images.dcgan": ("Dcgan",),
    "images.named_cnn": ("NamedCnn",),
    "images.resnet": ("ResNet",),
    "images.unet": ("Detector", "PixelUnet", "Unet"),
    "images.vit": ("Vit",),
    "images.vqvae": ("Vqvae",),
    "images.xception": ("Xception",),
    "linen": ("model",),
    "mlp": ("Mlp",),
    "recommender": ("Recommender",),
    "rnn": ("Rnn",),
    "sounds.listener": ("Listener",),
    "text_to_image": ("TextToImage",),
    "texts.beam": ("Beam",),
    "texts.bert": ("Bert",),
    "texts.generation": ("Sampling",),
    "texts.gpt": ("Gpt",),
    "texts.gpt_flops": ("train_flops",),
    "texts.seq2seq": ("Seq2Seq",),
    "texts.transformer": ("Transformer",),
    "texts.word2vec": ("SkipGram",),
    "videos.video_net": ("VideoNet",),
}


def __getattr__(name: str) -> Any:
    for place, names in _PLACES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{place}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
