"""ONNX Runtime doing what `infer` does: text in, sentence embedding out.

`first MODEL TEXT` prints one embedding; its caller times the whole process.
`load MODEL` prints the seconds that it takes to make a session.
`serve` answers requests, a line of JSON each, in the order they come: a session
stays loaded while its caller measures something else in between.

Tokenising, mean pooling and normalising count, since they count in `infer`.
"""

import argparse
import json
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
        self.load_seconds = time.perf_counter() - start
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

    def token_counts(self, texts):
        return [int(self.encode([text])["attention_mask"].sum()) for text in texts]


def max_tokens(folder):
    config = folder / "sentence_bert_config.json"
    return json.loads(config.read_text())["max_seq_length"] if config.exists() else 512


class Server:
    """A method is a request: its parameters are the request's other keys."""

    def __init__(self):
        self.models = []

    def load(self, folder, threads):
        """The model's number in later requests."""
        self.models.append(Model(Path(folder), threads))
        return len(self.models) - 1

    def drop(self, model):
        self.models[model] = None

    def token_counts(self, model, texts):
        return self.models[model].token_counts(texts)

    def vectors(self, model, texts):
        return [self.models[model].embed([text])[0].tolist() for text in texts]

    def embed(self, model, texts, size):
        """Seconds for all texts as they come, in batches of `size`."""
        batches = [texts[start : start + size] for start in range(0, len(texts), size)]
        embed = self.models[model].embed
        embed(batches[0])
        start = time.perf_counter()
        for batch in batches:
            embed(batch)
        return time.perf_counter() - start


def serve(_):
    server = Server()
    for line in sys.stdin:
        request = json.loads(line)
        answer = getattr(server, request.pop("do"))(**request)
        print(json.dumps(answer), flush=True)


def first(arguments):
    print(json.dumps(Model(arguments.model, 0).embed([arguments.text])[0].tolist()))


def load(arguments):
    print(Model(arguments.model, 1).load_seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    for command in [first, load, serve]:
        one = commands.add_parser(command.__name__)
        one.set_defaults(run=command)
        if command is not serve:
            one.add_argument("model", type=Path)
        if command is first:
            one.add_argument("text")
    arguments = parser.parse_args()
    arguments.run(arguments)


main()
