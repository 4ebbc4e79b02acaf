"""Makes a model with a multilingual vocabulary: `multilingual.py MINILM TO`.

The folder is MINILM's, of sentence-transformers, but for its vocabulary, which is as large as
XLM-RoBERTa's, and its word embeddings, which are random; so it is as large as
paraphrase-multilingual-MiniLM-L12-v2. Everything is the same each time.
"""

import json
import math
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

COPIED = [
    "1_Pooling/config.json",
    "config_sentence_transformers.json",
    "modules.json",
    "sentence_bert_config.json",
]
ENTRIES = 250_002
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
ALPHABETS = [
    "etaoinshrdlcumwfgypbvkjxqz",
    "оеаинтслвркдмупяьызбгчйхжшюцщэф",
    "αοιετσνηυρπκμλωδγχθφβξζψ",
    "이다는의가에하을로고지서기도리한",
    "的一是不了人在有我他这个们中来上大为和国",
]
SIGMA = 0.02


def spellings(random):
    """Words and parts of words, most of them of four to eight letters."""
    known = dict.fromkeys(SPECIAL)
    while len(known) < ENTRIES:
        letters = ALPHABETS[random.choice(len(ALPHABETS), p=[0.55, 0.2, 0.05, 0.1, 0.1])]
        weights = 1 / np.arange(1, len(letters) + 1)
        length = 1 + random.binomial(10, 0.45)
        chosen = random.choice(list(letters), length, p=weights / weights.sum())
        known["▁" * int(random.integers(2)) + "".join(chosen)] = None
    return list(known)


def added(token_id, token):
    flags = dict.fromkeys(["single_word", "lstrip", "rstrip", "normalized"], False)
    return {"id": token_id, "content": token, **flags, "special": True}


def tokenizer(entries):
    """As transformers writes that of XLM-RoBERTa, without its normaliser's table."""
    special = {t: {"id": t, "ids": [SPECIAL.index(t)], "tokens": [t]} for t in ("<s>", "</s>")}
    start, end = ({"SpecialToken": {"id": token, "type_id": 0}} for token in special)
    first, second = ({"Sequence": {"id": text, "type_id": 0}} for text in "AB")
    space = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    scores = [0.0 if i < len(SPECIAL) else -8 - math.log(i) for i in range(len(entries))]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [added(*pair) for pair in enumerate(SPECIAL)],
        "normalizer": {"type": "NFKC"},
        "pre_tokenizer": space,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [start, first, end],
            "pair": [start, first, end, end, second, end],
            "special_tokens": special,
        },
        "decoder": space,
        "model": {
            "type": "Unigram",
            "unk_id": SPECIAL.index("<unk>"),
            "vocab": list(zip(entries, scores)),
            "byte_fallback": False,
        },
    }


def widen(model, random):
    """Gives the word embeddings as many rows as there are entries."""
    table = max(model.graph.initializer, key=lambda tensor: max(tensor.dims, default=0))
    values = random.standard_normal((ENTRIES, table.dims[1]), dtype=np.float32) * SIGMA
    table.CopyFrom(numpy_helper.from_array(values, table.name))


def main(minilm, folder):
    random = np.random.default_rng(0)
    (folder / "1_Pooling").mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        shutil.copyfile(minilm / name, folder / name)
    names = {"bos_token": 0, "pad_token": 1, "eos_token": 2, "unk_token": 3}
    tokens = {name: SPECIAL[token_id] for name, token_id in names.items()}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", **tokens}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    file = json.dumps(tokenizer(spellings(random)), ensure_ascii=False, indent=2)
    (folder / "tokenizer.json").write_text(file)
    config = json.loads((minilm / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": ENTRIES}))
    model = onnx.load(minilm / "model.onnx")
    widen(model, random)
    onnx.save(model, folder / "model.onnx")


main(*map(Path, sys.argv[1:]))
