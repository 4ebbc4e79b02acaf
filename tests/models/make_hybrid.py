#!/usr/bin/env python3
"""Makes the folders `hybrid-*`: BGE-M3 in small, with FlagEmbedding's own results.

    pip install FlagEmbedding==1.4.2 transformers==4.57.6 torch==2.15.0
    python tests/models/make_hybrid.py

A folder is what BAAI/bge-m3 has: XLM-RoBERTa, its tokenizer, the modules of
sentence-transformers (the first token's vector, divided by its norm), and beside them
`sparse_linear.pt` and `colbert_linear.pt`. `hybrid-bge-m3` has PyTorch's files, and the layers in
float16, as that model does; `hybrid-onnx` has the graph of `xlm-roberta-embedding`, and narrower
vectors for tokens. Weights come from fixed seeds; every run writes the same bytes.
Nothing is downloaded, and nothing here is output of this project.

Cases are `encode` of BGEM3FlagModel; the requests are its lexical weights and ColBERT vectors, and
`compute_score`, a pair at a time, since it pads documents with zeros.
"""

import json
import logging
import os
import re
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}

import torch
import transformers
from FlagEmbedding import BGEM3FlagModel
from safetensors.torch import load_file

logging.disable(logging.CRITICAL)

MODELS = Path(__file__).parent
BASE = MODELS / "xlm-roberta-embedding"
LIMIT = 64
HIDDEN = 32

TEXTS = [
    "",
    "The house in Baker Street.",
    "a house, a house, my house for a house",
    "Zoë flew from Zürich to 東京 😀 today!",
    "what is spelled like <mask> or </s> or <unk> is one",
    "Let me see, said Holmes, standing at the corner and glancing along the line. " * 4,
]
QUERIES = ["Who lives in the house in Baker Street?", "holmes", ""]
# A ranking that a rounding error would turn into another is refused.
TOLERANCE = 1e-4


def write_json(path, value):
    path.parent.mkdir(exist_ok=True)
    text = json.dumps(value, indent=1, ensure_ascii=False)
    # Numbers of a list on one line.
    text = re.sub(r"\[[^\[\]{}\"]*\]", lambda it: re.sub(r"\s+", " ", it[0]).replace("[ ", "[").replace(" ]", "]"), text)
    path.write_text(text + "\n", encoding="utf-8")


def rounded(values):
    return [round(float(value), 7) for value in values]


def linear(inputs, outputs, seed, dtype):
    """A state dict of torch.nn.Linear, drawn widely."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: (0.35 * torch.randn(shape, generator=generator)).to(dtype)
    return {"weight": draw(outputs, inputs), "bias": draw(outputs)}


def make_folder(folder, colbert_dim, dtype):
    """All but the encoder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in ["config.json", "tokenizer.json"]:
        shutil.copyfile(BASE / name, folder / name)
    config = json.loads((BASE / "tokenizer_config.json").read_text(encoding="utf-8"))
    write_json(folder / "tokenizer_config.json", {**config, "bos_token": "<s>", "eos_token": "</s>"})
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    write_json(folder / "modules.json", [
        {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for index, (path, kind) in enumerate(modules)
    ])
    write_json(folder / "1_Pooling/config.json", {
        "word_embedding_dimension": HIDDEN, "pooling_mode_cls_token": True,
        "pooling_mode_mean_tokens": False, "pooling_mode_max_tokens": False,
        "pooling_mode_mean_sqrt_len_tokens": False,
    })
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": LIMIT, "do_lower_case": False})
    torch.save(linear(HIDDEN, 1, 1, dtype), folder / "sparse_linear.pt")
    torch.save(linear(HIDDEN, colbert_dim, 2, dtype), folder / "colbert_linear.pt")


def model_of(folder, colbert_dim):
    """FlagEmbedding's model of the folder, with the encoder of `xlm-roberta-embedding`."""
    place = Path(tempfile.mkdtemp(prefix="hybrid-"))
    shutil.copytree(folder, place, dirs_exist_ok=True)
    shutil.copyfile(BASE / "model.safetensors", place / "model.safetensors")
    return BGEM3FlagModel(str(place), use_fp16=False, devices="cpu", colbert_dim=colbert_dim)


def sparse(weights):
    pairs = sorted((int(id), weight) for id, weight in weights.items())
    return [{"index": id, "value": round(float(weight), 7)} for id, weight in pairs]


def colbert(vectors, ids):
    """The vectors, each with the id of its token; the first token has none."""
    assert len(vectors) == len(ids) - 1
    return [{"token_info": {"token_id": id}, "embedding": rounded(row)} for id, row in zip(ids[1:], vectors)]


def ranking(model, mode, query):
    scores = [model.compute_score((query, text), max_query_length=LIMIT, max_passage_length=LIMIT)[mode]
              for text in TEXTS]
    ranked = sorted(enumerate(scores), key=lambda it: -it[1])
    for (_, one), (_, next) in zip(ranked, ranked[1:]):
        assert one == next == 0 or one - next > TOLERANCE, (mode, query, scores)
    return [{"index": index, "score": round(float(score), 7)} for index, score in ranked]


def make_references(folder, name, colbert_dim):
    model = model_of(folder, colbert_dim)
    results = [model.encode(text, max_length=LIMIT, return_dense=True, return_sparse=True,
                            return_colbert_vecs=True) for text in TEXTS]
    ids = [model.tokenizer(text, truncation=True, max_length=LIMIT)["input_ids"] for text in TEXTS]
    reference = (f"FlagEmbedding {version('FlagEmbedding')}, transformers {transformers.__version__}, "
                 f"torch {torch.__version__.split('+')[0]}; float32, one text at a time")
    dense = [rounded(it["dense_vecs"]) for it in results]
    weights = [sparse(it["lexical_weights"]) for it in results]
    vectors = [colbert(it["colbert_vecs"], of) for it, of in zip(results, ids)]
    assert any(weights) and all(any(row) for row in dense)
    write_json(folder / "golden.json", {
        "model": name, "architecture": "xlm-roberta", "task": "sentence_embedding", "reference": reference,
        "cases": [{"text": text, "input_ids": of, "tokens": len(model.tokenizer(text)["input_ids"]), "embedding": row}
                  for text, of, row in zip(TEXTS, ids, dense)],
    })
    items = [{"text": text} for text in TEXTS]
    requests = [
        {"name": "vectors dense", "options": {"vectors": "dense"}, "items": items,
         "results": [{"embedding": row} for row in dense]},
        {"name": "vectors sparse", "options": {"vectors": "sparse"}, "items": items,
         "results": [{"sparse_embedding": it} for it in weights]},
        {"name": "vectors colbert", "options": {"vectors": "colbert"}, "items": items,
         "results": [{"embeddings": it} for it in vectors]},
        {"name": "vectors all", "options": {"vectors": "all"}, "items": items,
         "results": [{"embedding": row, "sparse_embedding": of, "embeddings": all}
                     for row, of, all in zip(dense, weights, vectors)]},
    ]
    modes = {"dense": "dense", "sparse": "sparse", "colbert": "colbert", "all": "colbert+sparse+dense"}
    for query in QUERIES:
        for vectors_option, mode in modes.items():
            requests.append({
                "name": f"query {query!r} {vectors_option}",
                "options": {"query": query, "vectors": vectors_option},
                "items": items, "results": ranking(model, mode, query),
            })
        # What a query has where nobody says.
        requests.append({**requests[-1], "name": f"query {query!r}", "options": {"query": query}})
    write_json(folder / "requests.json", {"requests": requests})


def main():
    folder = MODELS / "hybrid-bge-m3"
    make_folder(folder, HIDDEN, torch.float16)
    torch.save(load_file(BASE / "model.safetensors"), folder / "pytorch_model.bin")
    make_references(folder, "hybrid-bge-m3", -1)

    folder = MODELS / "hybrid-onnx"
    make_folder(folder, 24, torch.float32)
    shutil.copyfile(BASE / "model.onnx", folder / "model.onnx")
    make_references(folder, "hybrid-onnx", 24)


if __name__ == "__main__":
    main()
