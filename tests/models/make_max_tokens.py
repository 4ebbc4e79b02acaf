"""Writes st-mean-normalize/requests.json: results under `max_tokens`, a smaller limit than
the model's, from ONNX Runtime and tokenizers.

    python make_max_tokens.py    # numpy, onnxruntime 1.27 and tokenizers 0.23 or newer
"""

import json
from pathlib import Path

import numpy
import onnxruntime
import tokenizers

FOLDER = Path(__file__).parent / "st-mean-normalize"
REQUESTS = [
    ("max-tokens", {"max_tokens": 9}),
    ("max-tokens-left", {"max_tokens": 9, "truncation_side": "left"}),
    ("max-tokens-one", {"max_tokens": 3}),
    ("max-tokens-beyond", {"max_tokens": 100000}),
]


def main():
    session = onnxruntime.InferenceSession(FOLDER / "model.onnx", providers=["CPUExecutionProvider"])
    tokenizer = tokenizers.Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
    tokenizer.no_padding()
    limit = json.loads((FOLDER / "sentence_bert_config.json").read_text())["max_seq_length"]
    texts = [case["text"] for case in json.loads((FOLDER / "golden.json").read_text())["cases"]]
    requests = []
    for name, options in REQUESTS:
        results = [result(session, tokenizer, text, limit, options) for text in texts]
        items = [{"text": text} for text in texts]
        requests.append({"name": name, "options": options, "items": items, "results": results})
    versions = f"onnxruntime {onnxruntime.__version__}, tokenizers {tokenizers.__version__}"
    document = {"reference": f"{versions}: truncation to max_tokens, mean over all tokens, L2 norm", "requests": requests}
    (FOLDER / "requests.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def result(session, tokenizer, text, limit, options):
    tokenizer.no_truncation()
    total = len(tokenizer.encode(text).ids)
    used = min(options["max_tokens"], limit)
    tokenizer.enable_truncation(used, direction=options.get("truncation_side", "right"))
    ids = numpy.array([tokenizer.encode(text).ids], dtype=numpy.int64)
    inputs = {"input_ids": ids, "attention_mask": numpy.ones_like(ids), "token_type_ids": numpy.zeros_like(ids)}
    names = {it.name for it in session.get_inputs()}
    (hidden,) = session.run([session.get_outputs()[0].name], {name: it for name, it in inputs.items() if name in names})
    mean = hidden[0].astype(numpy.float64).mean(axis=0)
    cut = {"tokens_total": total, "tokens_used": used} if total > used else {}
    return {"embedding": [round(float(it), 7) for it in mean / numpy.linalg.norm(mean)], **cut}


if __name__ == "__main__":
    main()
