"""Makes the folders regex-* but regex-dollar, of which they have the tokenizer's files.

Each has one pattern that Oniguruma, with which transformers matches, reads differently
than most. `input_ids` are what AutoTokenizer gives; folders whose pattern has no
translation expect to be refused by its name. The graph is a table of embeddings: only
token ids are asked for.

Made with transformers 5.24.0, tokenizers 0.23.3 and onnx 1.23.2, and checked with
nothing else: python make_regex.py
"""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from transformers import AutoTokenizer

HERE = Path(__file__).parent
BASE = HERE / "regex-dollar"
HIDDEN = 4

TEXTS = [
    "Hello World, Zoë flew to ÉCOLE PARIS in 東京 for the King",
    "one line\n  two lines \n\nthree.\n",
    "one\r\ntwo\rthree\x0bfour\u2028five\x85six",
    "12 m² and x³, ½ of it; na\u200cme na\u200dme _x",
    "e\u0301tude 👨\u200d👩\u200d👧 🇩🇪🇫🇷 각 dead BEEF 0x1F",
    "GRÜSSE, Straße, strasse, ſet, flow ʼn",
    "aaaa 11111 -- ~~ [a&&b]",
    " # a\n#b\n  # c",
    "dead² beef BEEF½ 1f F\u200c",
]


def split(pattern, behavior="Isolated", invert=False):
    return {
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": behavior,
        "invert": invert,
    }


def replace(pattern, content):
    return {"type": "Replace", "pattern": {"Regex": pattern}, "content": content}


# The folder's name: patterns of pre-tokenizers, replacements of normalizers.
FOLDERS = {
    "regex-caret": ([split(r"^\s*#?")], []),
    "regex-newline": ([split(r"\R", "MergedWithPrevious")], []),
    "regex-clusters": ([split(r"\X")], []),
    "regex-hex-digits": ([split(r"\b\h+\b", "Removed"), split(r"\H+", "Contiguous")], []),
    "regex-words": ([split(r"\w+|[.,]", "Removed", True)], []),
    "regex-options": ([split(r"(?m:^.+?\n)|e(?i)S|t+"), split(r"(?x) \d {2} + # pairs")], []),
    "regex-sets": ([split(r"[[:alpha:]&&[^aeiou~~]]+|[~~\p{^L}-]")], []),
    "regex-case": ([split(r"(?i:ss|st|[ŉﬂ])", "Removed")], []),
    "regex-last-line": ([split(r".*\n?\Z"), split(r"a{2}+|1{3,1}")], []),
    "regex-replace": (
        [split(r"\G\S|\s+(?!\S)")],
        [replace(r"[ \t]+$", ""), replace(r"(?<=\w)\b(?=\s)", "_"), replace(r"\p{InHiragana}|\pL", "x")],
    ),
}

# Those that are refused: a pattern, and what the refusal names.
REFUSED = {
    "regex-recursion": (r"\((?:[^()]|\g<0>)*\)", [r"\g<", "pre_tokenizer.pretokenizers[0]"]),
    "regex-absent": (r"/\*(?~\*/)\*/", ["(?~", "tokenizer.json"]),
    "regex-condition": (r"(<)?\w+(?(1)>)", ["(?(", "character 8"]),
}


def model(path, vocabulary):
    """Hidden states that are a row of a table."""
    table = np.random.default_rng(5).normal(size=(vocabulary, HIDDEN)).astype(np.float32)
    axes = ["batch", "sequence"]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, axes)
        for name in ("input_ids", "attention_mask")
    ]
    output = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, [*axes, HIDDEN])
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "axes"], ["column"]),
        helper.make_node("Mul", ["rows", "column"], ["last_hidden_state"]),
    ]
    constants = [
        numpy_helper.from_array(table, "table"),
        numpy_helper.from_array(np.array([-1]), "axes"),
    ]
    graph = helper.make_graph(nodes, "table", inputs, [output], constants)
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)


def make(name, splits, replacements):
    """A folder with these patterns, without what is expected of it."""
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for file in ("special_tokens_map.json", "tokenizer_config.json"):
        shutil.copyfile(BASE / file, folder / file)
    config = json.loads((BASE / "config.json").read_text())
    config["hidden_size"] = HIDDEN
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    tokenizer = json.loads((BASE / "tokenizer.json").read_text())
    tokenizer["normalizer"] = (
        {"type": "Sequence", "normalizers": replacements} if replacements else None
    )
    byte_level = tokenizer["pre_tokenizer"]["pretokenizers"][-1]
    tokenizer["pre_tokenizer"]["pretokenizers"] = [*splits, byte_level]
    text = json.dumps(tokenizer, indent=1, ensure_ascii=False)
    (folder / "tokenizer.json").write_text(text + "\n")
    model(folder / "model.onnx", config["vocab_size"])
    return folder


def expect(folder, expected):
    text = json.dumps(expected, indent=1, ensure_ascii=False)
    (folder / "expected.json").write_text(text + "\n")


def main():
    for name, (splits, replacements) in FOLDERS.items():
        folder = make(name, splits, replacements)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        cases = [{"text": text, "input_ids": tokenizer(text, truncation=True, max_length=64)["input_ids"]} for text in TEXTS]
        expect(
            folder,
            {
                "what": "token ids as transformers 5.24.0 gives them",
                "kind": "ids",
                "max_length": 64,
                "cases": cases,
            },
        )
    for name, (pattern, says) in REFUSED.items():
        folder = make(name, [split(pattern)], [])
        # transformers reads it.
        AutoTokenizer.from_pretrained(folder)
        expect(
            folder,
            {
                "what": "a regular expression that has no translation: refused, saying which part of it and where it is",
                "kind": "refused",
                "says": says,
            },
        )


main()
