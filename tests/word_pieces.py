"""A small tokenizer.json of pieces of words, as BERT's files have it."""

import json

VOCABULARY = (
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "want", "##want", "##ed", "wa", "un", "runn",
    "##ing", ",", "low", "lowest", "[", "]", "sep",
)  # fmt: skip


def content(vocabulary=VOCABULARY):
    special = [
        {"id": i, "content": token, "special": True, "normalized": False, "single_word": False,
         "lstrip": False, "rstrip": False}
        for i, token in enumerate(vocabulary[:5])
    ]  # fmt: skip
    pieces = {
        "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100, "vocab": {t: i for i, t in enumerate(vocabulary)},
    }  # fmt: skip
    saved = {
        "version": "1.0",
        # As those of sentence encoders have them.
        "truncation": {
            "direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0
        },
        "padding": {
            "strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": None,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]",
        },
        "added_tokens": special,
        "normalizer": {
            "type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
            "strip_accents": None, "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": None,
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": pieces,
    }  # fmt: skip
    return json.dumps(saved).encode()
