"""Writes goldens/*.json: what sentence-transformers gives for the calls that the tests repeat.

Run from anywhere: python make_goldens.py (with requirements-torch.txt installed).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer

HERE = Path(__file__).parent
MODELS = HERE.parents[2] / "tests" / "models"
TEXTS = [
    "We have already a clue.",
    "I smiled and shook my head.",
    "There are rumours of foul play in the matter, and it is said that the police have caused "
    "the arrest of the woman who had caused the original disturbance, in the belief that, from "
    "jealousy or some other motive, she may have been concerned in the strange disappearance of "
    "the bride, and that she had been seen by several people upon that very morning in the street "
    "beside the house, where nobody had looked for her before the evening papers told of it.",
    "",
    "My father was a schoolmaster in Chesterfield.",
]
PAIRS = [[TEXTS[0], text] for text in TEXTS[1:]]

EMBEDDINGS = {
    "plain": {"method": "encode", "args": [TEXTS]},
    "one": {"method": "encode", "args": [TEXTS[0]]},
    "query": {"method": "encode_query", "args": [TEXTS[:2]]},
    "document": {"method": "encode_document", "args": [TEXTS[:2]]},
    "prompt": {"method": "encode", "args": [TEXTS[:2]], "kwargs": {"prompt": "find: "}},
    "normalized": {"method": "encode", "args": [TEXTS], "kwargs": {"normalize_embeddings": True}},
    "truncated": {"method": "encode", "args": [TEXTS], "kwargs": {"truncate_dim": 8}},
    "truncated-normalized": {
        "method": "encode",
        "args": [TEXTS],
        "kwargs": {"truncate_dim": 8, "normalize_embeddings": True},
    },
    "tokens": {
        "method": "encode",
        "args": [TEXTS[:2]],
        "kwargs": {"output_value": "token_embeddings"},
    },
    "tokens-one": {
        "method": "encode",
        "args": [TEXTS[0]],
        "kwargs": {"output_value": "token_embeddings"},
    },
    "binary": {"method": "encode", "args": [TEXTS], "kwargs": {"precision": "binary"}},
    "ubinary": {"method": "encode", "args": [TEXTS], "kwargs": {"precision": "ubinary"}},
    "int8": {"method": "encode", "args": [TEXTS], "kwargs": {"precision": "int8"}},
    "uint8": {"method": "encode", "args": [TEXTS], "kwargs": {"precision": "uint8"}},
    "shorter": {"method": "encode", "args": [TEXTS], "set": {"max_seq_length": 12}},
    "tokenize": {"method": "tokenize", "args": [TEXTS[:3]]},
}
SIMILARITIES = {
    f"similarity-{name}": {"method": "similarity", "similarity": name}
    for name in ("cosine", "dot", "euclidean", "manhattan")
} | {
    f"pairwise-{name}": {"method": "similarity_pairwise", "similarity": name}
    for name in ("cosine", "dot", "euclidean", "manhattan")
}
NAMED = {"named": {"method": "encode", "args": [TEXTS[:2]], "kwargs": {"prompt_name": "query"}}}
DEFAULT = {
    "default-prompt": {
        "method": "encode",
        "args": [TEXTS[:2]],
        "init": {"prompts": {"mine": "mine: "}, "default_prompt_name": "mine"},
    },
    "init-truncated": {"method": "encode", "args": [TEXTS[:2]], "init": {"truncate_dim": 8}},
}
SCORES = {
    "predict": {"method": "predict", "args": [PAIRS]},
    "predict-one": {"method": "predict", "args": [PAIRS[0]]},
    "predict-prompt": {"method": "predict", "args": [PAIRS[:2]], "kwargs": {"prompt": "find: "}},
    "predict-shorter": {"method": "predict", "args": [PAIRS], "set": {"max_length": 16}},
}
SEVERAL = {
    "predict-softmax": {"method": "predict", "args": [PAIRS], "kwargs": {"apply_softmax": True}}
}
RANKS = {
    "rank": {"method": "rank", "args": [TEXTS[0], TEXTS[1:]]},
    "rank-documents": {
        "method": "rank",
        "args": [TEXTS[0], TEXTS[1:]],
        "kwargs": {"top_k": 2, "return_documents": True},
    },
}
CALLS = {
    "st-mean-normalize": EMBEDDINGS | SIMILARITIES | DEFAULT,
    "st-prompts": EMBEDDINGS | NAMED,
    "st-prompts-excluded": EMBEDDINGS | NAMED,
    "st-matryoshka": EMBEDDINGS,
    "st-mean-dense-normalize": EMBEDDINGS | DEFAULT,
    "st-weightedmean": EMBEDDINGS,
    "cls-pair-rerank": SCORES | RANKS,
    "cls-pair-nli": SCORES | SEVERAL,
    "cls-regression": SCORES | RANKS,
}


def plain(result: Any) -> Any:
    """A result as JSON: numbers rounded to what float32 holds."""
    if isinstance(result, (torch.Tensor, np.ndarray)):
        return plain(result.tolist())
    if isinstance(result, Mapping):
        return {key: plain(value) for key, value in result.items()}
    if isinstance(result, list):
        return [plain(value) for value in result]
    return float(f"{result:.7g}") if isinstance(result, (float, np.floating)) else result


@cache
def loaded(folder: Path, options: str) -> Any:
    kind = SentenceTransformer if folder.name.startswith("st-") else CrossEncoder
    return kind(str(folder), device="cpu", **json.loads(options))


def run(folder: Path, call: dict[str, Any]) -> Any:
    options = dict(call.get("init", {}))
    if "similarity" in call:
        options["similarity_fn_name"] = call["similarity"]
    model = loaded(folder, json.dumps(options))
    before = {name: getattr(model, name) for name in call.get("set", {})}
    for name, value in call.get("set", {}).items():
        setattr(model, name, value)
    args = call.get("args")
    if args is None:
        embeddings = model.encode(TEXTS)
        args = [embeddings[:2], embeddings[2:4]]
        call["args"] = plain(args)
    # One text at a time, as the project's goldens are: padding changes the last digits.
    batch = {} if call["method"].startswith(("similarity", "tokenize")) else {"batch_size": 1}
    result = getattr(model, call["method"])(*args, **call.get("kwargs", {}), **batch)
    for name, value in before.items():
        setattr(model, name, value)
    if call["method"] == "tokenize":
        return {name: result[name] for name in ("input_ids", "attention_mask")}
    return result


def main() -> None:
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    reference = f"sentence-transformers {version('sentence-transformers')}, "
    reference += f"transformers {version('transformers')}, float32"
    for name, calls in CALLS.items():
        cases = []
        for case, call in calls.items():
            call = dict(call)
            result = run(MODELS / name, call)
            cases.append({"case": case, **call, "result": plain(result)})
        head = json.dumps({"model": name, "reference": reference})[:-1]
        lines = ",\n".join(json.dumps(case) for case in cases)
        text = f'{head}, "cases": [\n{lines}\n]}}\n'
        (HERE / "goldens" / f"{name}.json").write_text(text, encoding="utf-8")
        print(name, len(cases))


if __name__ == "__main__":
    main()
