"""Real data to numpy arrays to ``batch(seed, step)``. Imports no JAX.

Options and loaders are imported when they are asked for, so that one kind of data needs no
package of another.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bigmodel.data.captions.captions import CaptionData as CaptionData
    from bigmodel.data.captions.captions import load_captions as load_captions
    from bigmodel.data.dialogues.chat import Chat as Chat
    from bigmodel.data.dialogues.chat import chat_of as chat_of
    from bigmodel.data.dialogues.chat import read_chat as read_chat
    from bigmodel.data.dialogues.dialogues import load_dialogues as load_dialogues
    from bigmodel.data.images.images import Images as Images
    from bigmodel.data.images.images import load_images as load_images
    from bigmodel.data.images.options import ImageData as ImageData
    from bigmodel.data.images.reading import ImageReader as ImageReader
    from bigmodel.data.images.reading import image_reader as image_reader
    from bigmodel.data.known_ratings import RatingReader as RatingReader
    from bigmodel.data.known_ratings import rating_reader as rating_reader
    from bigmodel.data.ratings import RatingData as RatingData
    from bigmodel.data.ratings import Ratings as Ratings
    from bigmodel.data.ratings import load_ratings as load_ratings
    from bigmodel.data.scenes.boxes import BoxReader as BoxReader
    from bigmodel.data.scenes.boxes import load_boxes as load_boxes
    from bigmodel.data.scenes.masks import load_masks as load_masks
    from bigmodel.data.scenes.scenes import SceneData as SceneData
    from bigmodel.data.sequences.reading import sequence_reader as sequence_reader
    from bigmodel.data.sequences.reading import series_reader as series_reader
    from bigmodel.data.sequences.sequences import SequenceData as SequenceData
    from bigmodel.data.sequences.sequences import load_sequences as load_sequences
    from bigmodel.data.sequences.series import SeriesData as SeriesData
    from bigmodel.data.sequences.series import load_series as load_series
    from bigmodel.data.sequences.sources import SequenceSource as SequenceSource
    from bigmodel.data.sequences.sources import labelled_reader as labelled_reader
    from bigmodel.data.sequences.sources import load_forecasts as load_forecasts
    from bigmodel.data.sequences.sources import load_labelled as load_labelled
    from bigmodel.data.sounds.reading import sound_reader as sound_reader
    from bigmodel.data.sounds.sounds import SoundData as SoundData
    from bigmodel.data.sounds.sounds import load_sounds as load_sounds
    from bigmodel.data.sounds.sounds import load_speech as load_speech
    from bigmodel.data.tables.reading import table_reader as table_reader
    from bigmodel.data.tables.table import TableData as TableData
    from bigmodel.data.tables.table import load_table as load_table
    from bigmodel.data.tagging.reading import TagReader as TagReader
    from bigmodel.data.tagging.reading import tag_reader as tag_reader
    from bigmodel.data.tagging.tagged import TaggedData as TaggedData
    from bigmodel.data.tagging.tagged import load_tagged as load_tagged
    from bigmodel.data.texts.labelled_text import LabelledTextData as LabelledTextData
    from bigmodel.data.texts.labelled_text import load_labelled_text as load_labelled_text
    from bigmodel.data.texts.masking import Masking as Masking
    from bigmodel.data.texts.masking import masked as masked
    from bigmodel.data.texts.masking import masks_of as masks_of
    from bigmodel.data.texts.pairs import PairData as PairData
    from bigmodel.data.texts.pairs import load_pairs as load_pairs
    from bigmodel.data.texts.reading import MaskReader as MaskReader
    from bigmodel.data.texts.reading import PromptReader as PromptReader
    from bigmodel.data.texts.reading import TextReader as TextReader
    from bigmodel.data.texts.reading import read_tokenizer as read_tokenizer
    from bigmodel.data.texts.reading import text_reader as text_reader
    from bigmodel.data.texts.reading import word_reader as word_reader
    from bigmodel.data.texts.text import Text as Text
    from bigmodel.data.texts.text import TextData as TextData
    from bigmodel.data.texts.text import load_text as load_text
    from bigmodel.data.texts.text import with_prompts as with_prompts
    from bigmodel.data.texts.vocabulary import pair_reader as pair_reader
    from bigmodel.data.texts.words import WordData as WordData
    from bigmodel.data.texts.words import Words as Words
    from bigmodel.data.texts.words import load_words as load_words
    from bigmodel.data.videos.reading import video_reader as video_reader
    from bigmodel.data.videos.videos import VideoData as VideoData
    from bigmodel.data.videos.videos import load_videos as load_videos

_PLACES = {
    "captions.captions": ("CaptionData", "load_captions"),
    "dialogues.chat": ("Chat", "chat_of", "read_chat"),
    "dialogues.dialogues": ("load_dialogues",),
    "images.images": ("Images", "load_images"),
    "images.options": ("ImageData",),
    "images.reading": ("ImageReader", "image_reader"),
    "known_ratings": ("RatingReader", "rating_reader"),
    "ratings": ("RatingData", "Ratings", "load_ratings"),
    "scenes.boxes": ("BoxReader", "load_boxes"),
    "scenes.masks": ("load_masks",),
    "scenes.scenes": ("SceneData",),
    "sequences.reading": ("sequence_reader", "series_reader"),
    "sequences.sequences": ("SequenceData", "load_sequences"),
    "sequences.series": ("SeriesData", "load_series"),
    "sequences.sources": (
        "SequenceSource",
        "labelled_reader",
        "load_forecasts",
        "load_labelled",
    ),
    "sounds.reading": ("sound_reader",),
    "sounds.sounds": ("SoundData", "load_sounds", "load_speech"),
    "tables.reading": ("table_reader",),
    "tables.table": ("TableData", "load_table"),
    "tagging.reading": ("TagReader", "tag_reader"),
    "tagging.tagged": ("TaggedData", "load_tagged"),
    "texts.labelled_text": ("LabelledTextData", "load_labelled_text"),
    "texts.masking": ("Masking", "masked", "masks_of"),
    "texts.pairs": ("PairData", "load_pairs"),
    "texts.reading": (
        "MaskReader",
        "PromptReader",
        "TextReader",
        "read_tokenizer",
        "text_reader",
        "word_reader",
    ),
    "texts.text": ("Text", "TextData", "load_text", "with_prompts"),
    "texts.vocabulary": ("pair_reader",),
    "videos.reading": ("video_reader",),
    "videos.videos": ("VideoData", "load_videos"),
    "texts.words": ("WordData", "Words", "load_words"),
}
_ROOM_OF = {name: room for room, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ROOM_OF[name]}"), name)
