"""Losses, metrics, optimizers, and builders that make experiments of models and data.

The names in ``_NAMES`` are imported when they are asked for, so that one costs no more than it
needs.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bigmodel.training.class_report import (
        classification_report as classification_report,
    )
    from bigmodel.training.classification import classifier as classifier
    from bigmodel.training.ensemble import Ensemble as Ensemble
    from bigmodel.training.ensemble import one_member as one_member
    from bigmodel.training.ensemble import regressors as regressors
    from bigmodel.training.fitting import fit as fit
    from bigmodel.training.generative.adversarial import adversarial as adversarial
    from bigmodel.training.generative.autoencoding import Kind as Kind
    from bigmodel.training.generative.autoencoding import autoencoding as autoencoding
    from bigmodel.training.generative.autoencoding import coding as coding
    from bigmodel.training.generative.autoencoding import pca_squared_error as pca_squared_error
    from bigmodel.training.generative.autoencoding import (
        reconstruction_predictor as reconstruction_predictor,
    )
    from bigmodel.training.generative.diffusion import Prediction as Prediction
    from bigmodel.training.generative.diffusion import Sampling as Sampling
    from bigmodel.training.generative.diffusion import denoising_error as denoising_error
    from bigmodel.training.generative.diffusion import noising as noising
    from bigmodel.training.generative.diffusion import sampler as sampler
    from bigmodel.training.generative.diffusion import with_noise as with_noise
    from bigmodel.training.generative.frechet import with_distance as with_distance
    from bigmodel.training.generative.gan_losses import LossName as LossName
    from bigmodel.training.generative.latents import latents as latents
    from bigmodel.training.generative.latents import with_latents as with_latents
    from bigmodel.training.generative.quality import Quality as Quality
    from bigmodel.training.generative.quantizing import Tokens as Tokens
    from bigmodel.training.generative.quantizing import dump_codebook as dump_codebook
    from bigmodel.training.generative.quantizing import quantizing as quantizing
    from bigmodel.training.generative.quantizing import read_codebook as read_codebook
    from bigmodel.training.generative.samples import SampleReader as SampleReader
    from bigmodel.training.generative.samples import TextSampleReader as TextSampleReader
    from bigmodel.training.generative.samples import image_predictor as image_predictor
    from bigmodel.training.generative.samples import with_sample_inputs as with_sample_inputs
    from bigmodel.training.metrics import Metric as Metric
    from bigmodel.training.metrics import accuracy as accuracy
    from bigmodel.training.metrics import cross_entropy as cross_entropy
    from bigmodel.training.metrics import next_token as next_token
    from bigmodel.training.metrics import token_accuracy as token_accuracy
    from bigmodel.training.metrics import weighted as weighted
    from bigmodel.training.optimizers import Optimizer as Optimizer
    from bigmodel.training.predictors import class_predictor as class_predictor
    from bigmodel.training.predictors import number_predictor as number_predictor
    from bigmodel.training.predictors import recommendation_predictor as recommendation_predictor
    from bigmodel.training.regression import absolute_error as absolute_error
    from bigmodel.training.regression import forecast_report as forecast_report
    from bigmodel.training.regression import regression_report as regression_report
    from bigmodel.training.regression import regressor as regressor
    from bigmodel.training.regression import squared_error as squared_error
    from bigmodel.training.retrieval.contrastive import contrastive as contrastive
    from bigmodel.training.scenes.detection import box_predictor as box_predictor
    from bigmodel.training.scenes.detection import detector as detector
    from bigmodel.training.scenes.segmentation import segment_predictor as segment_predictor
    from bigmodel.training.scenes.segmentation import segmenter as segmenter
    from bigmodel.training.sounds.transcription import text_predictor as text_predictor
    from bigmodel.training.sounds.transcription import transcriber as transcriber
    from bigmodel.training.supervision import TrainState as TrainState
    from bigmodel.training.supervision import supervised as supervised
    from bigmodel.training.teaching.distillation import Teacher as Teacher
    from bigmodel.training.teaching.distillation import distilled as distilled
    from bigmodel.training.teaching.distillation import with_logits as with_logits
    from bigmodel.training.teaching.taught import taught as taught
    from bigmodel.training.texts.filling import mask_predictor as mask_predictor
    from bigmodel.training.texts.language_model import language_model as language_model
    from bigmodel.training.texts.language_model import perplexity as perplexity
    from bigmodel.training.texts.negative_sampling import negative_sampling as negative_sampling
    from bigmodel.training.texts.negative_sampling import ranked as ranked
    from bigmodel.training.texts.prompting import longest_prompt as longest_prompt
    from bigmodel.training.texts.prompting import prompt_predictor as prompt_predictor
    from bigmodel.training.texts.sequence_to_sequence import by_rouge as by_rouge
    from bigmodel.training.texts.sequence_to_sequence import (
        sequence_to_sequence as sequence_to_sequence,
    )
    from bigmodel.training.texts.sequence_to_sequence import (
        translation_predictor as translation_predictor,
    )
    from bigmodel.training.texts.tagging import tag_predictor as tag_predictor
    from bigmodel.training.texts.tagging import tagger as tagger
    from bigmodel.training.texts.vectors import neighbours as neighbours
    from bigmodel.training.texts.vectors import principal_plane as principal_plane
    from bigmodel.training.texts.vectors import word_predictor as word_predictor

_NAMES = {
    "class_report": "classification_report",
    "classification": "classifier",
    "ensemble": "Ensemble one_member regressors",
    "fitting": "fit",
    "generative.adversarial": "adversarial",
    "generative.autoencoding": "Kind autoencoding coding pca_squared_error "
    "reconstruction_predictor",
    "generative.diffusion": "Prediction Sampling denoising_error noising sampler with_noise",
    "generative.frechet": "with_distance",
    "generative.gan_losses": "LossName",
    "generative.latents": "latents with_latents",
    "generative.quality": "Quality",
    "generative.quantizing": "Tokens dump_codebook quantizing read_codebook",
    "generative.samples": "SampleReader TextSampleReader image_predictor with_sample_inputs",
    "metrics": "Metric accuracy cross_entropy next_token token_accuracy weighted",
    "optimizers": "Optimizer",
    "predictors": "class_predictor number_predictor recommendation_predictor",
    "regression": "absolute_error forecast_report regression_report regressor squared_error",
    "retrieval.contrastive": "contrastive",
    "scenes.detection": "box_predictor detector",
    "scenes.segmentation": "segment_predictor segmenter",
    "sounds.transcription": "text_predictor transcriber",
    "supervision": "TrainState supervised",
    "teaching.distillation": "Teacher distilled with_logits",
    "teaching.taught": "taught",
    "texts.filling": "mask_predictor",
    "texts.language_model": "language_model perplexity",
    "texts.negative_sampling": "negative_sampling ranked",
    "texts.prompting": "longest_prompt prompt_predictor",
    "texts.sequence_to_sequence": "by_rouge sequence_to_sequence translation_predictor",
    "texts.tagging": "tag_predictor tagger",
    "texts.vectors": "neighbours principal_plane word_predictor",
}
_PLACES = {name: module for module, names in _NAMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
