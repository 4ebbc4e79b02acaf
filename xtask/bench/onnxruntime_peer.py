"""ONNX Runtime doing what `infer` does: text in, sentence embedding out.

`first`   prints one embedding; its caller times the whole process.
`measure` prints JSON: session load, milliseconds a text at given lengths on one
          thread, and tokens/s over many texts on two threads.

Tokenising, mean pooling and normalising count, since they count in `infer`.
Every number is a median of `--runs`.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort
import tokenizers


class Model:
    """A sentence-transformers folder with mean pooling."""

    def __init__(self, folder, threads):
        options = ort.SessionOptions()
        options.inter_op_num_threads = 1
        options.intra_op_num_threads = threads
        start = time.perf_counter()
        self.session = ort.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self.load_ms = (time.perf_counter() - start) * 1e3
        self.inputs = [value.name for value in self.session.get_inputs()]
        self.tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_truncation(max_tokens(folder))
        self.tokenizer.enable_padding()

    def encode(self, texts):
        """`{input name: [texts, tokens]}`, padded to the longest text."""
        encodings = self.tokenizer.encode_batch(texts)
        columns = {
            "input_ids": [encoding.ids for encoding in encodings],
            "attention_mask": [encoding.attention_mask for encoding in encodings],
            "token_type_ids": [encoding.type_ids for encoding in encodings],
        }
        return {name: np.array(columns[name], dtype=np.int64) for name in self.inputs}

    def embed(self, texts):
        """`[texts, hidden_size]`, of length 1 each."""
        feed = self.encode(texts)
        hidden = self.session.run(None, feed)[0]
        mask = feed["attention_mask"][..., None].astype(np.float32)
        mean = (hidden * mask).sum(1) / mask.sum(1)
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)

    def token_count(self, texts):
        return sum(int(self.encode([text])["attention_mask"].sum()) for text in texts)


def max_tokens(folder):
    config = folder / "sentence_bert_config.json"
    return json.loads(config.read_text())["max_seq_length"] if config.exists() else 512


def median_seconds(runs, work):
    """Seconds of `work()`, which has been warmed up by its caller."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def milliseconds_by_tokens(model, texts, runs):
    """One text at a time, each of an exact number of tokens."""
    result = {}
    for tokens, text in texts.items():
        found = model.token_count([text])
        if found != int(tokens):
            sys.exit(f"a text that should have {tokens} tokens has {found}")
        repeat = max(5, 2000 // int(tokens))

        def work(text=text, repeat=repeat):
            for _ in range(repeat):
                model.embed([text])

        work()
        result[tokens] = median_seconds(runs, work) / repeat * 1e3
    return result


def seconds_in_batches(model, texts, size, runs):
    batches = [texts[start : start + size] for start in range(0, len(texts), size)]

    def work():
        for batch in batches:
            model.embed(batch)

    # A whole pass that does not count would take too long.
    model.embed(batches[0])
    return median_seconds(runs, work)


def measure(arguments):
    lines = arguments.passages.read_bytes().decode().removesuffix("\n").split("\n")
    passages = [line.removesuffix("\r") for line in lines]
    texts = json.loads(arguments.texts.read_text())
    loads = [Model(arguments.model, 1).load_ms for _ in range(arguments.runs)]
    one = Model(arguments.model, 1)
    ms = milliseconds_by_tokens(one, texts, arguments.runs)
    two = Model(arguments.model, 2)
    tokens = two.token_count(passages)
    by_length = sorted(passages, key=lambda text: two.token_count([text]))
    sorted_8 = seconds_in_batches(two, by_length, 8, arguments.runs)
    padded_32 = seconds_in_batches(two, passages, 32, arguments.runs)
    return {
        "load_ms": statistics.median(loads),
        "ms_by_tokens": ms,
        "passages_tokens": tokens,
        "sorted_8_tokens_per_s": tokens / sorted_8,
        "padded_32_tokens_per_s": tokens / padded_32,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    first = commands.add_parser("first")
    first.add_argument("model", type=Path)
    first.add_argument("text")
    first.set_defaults(run=lambda given: Model(given.model, 0).embed([given.text])[0].tolist())
    long = commands.add_parser("measure")
    long.add_argument("model", type=Path)
    long.add_argument("--passages", type=Path, required=True)
    long.add_argument("--texts", type=Path, required=True, help='JSON: {"16": "…"}')
    long.add_argument("--runs", type=int, default=3)
    long.set_defaults(run=measure)
    arguments = parser.parse_args()
    print(json.dumps(arguments.run(arguments)))


main()
