"""Makes the folders tokenizer-*, from the tokenizer's files and the graph of regex-absent.

A limit is what AutoTokenizer says. What is refused makes the tokenizers library panic, some
of it also in Python: an error has to name tokenizer.json, in one line.

Made with transformers 5.24.0 and tokenizers 0.23.3: python make_tokenizer_faults.py
"""

import json
import shutil
from pathlib import Path

from transformers import AutoTokenizer

HERE = Path(__file__).parent
BASE = HERE / "regex-absent"

CHARSMAP = {"type": "Precompiled", "precompiled_charsmap": ""}
BOUNDARY = {"type": "Replace", "pattern": {"Regex": r"\b"}, "content": "x"}

# What is changed in tokenizer_config.json; `None` for a key that is taken away.
LIMITS = {
    "tokenizer-max-len": {"model_max_length": None, "max_len": 16},
}

# The changed section of tokenizer.json, and what the refusal says beside the file's name.
REFUSED = {
    "tokenizer-empty-charsmap": ({"normalizer": CHARSMAP}, "precompiled_charsmap"),
    "tokenizer-long-prefix": ({"model": {"continuing_subword_prefix": "longer-than-any"}}, "fails over it"),
    "tokenizer-replaced-nothing": ({"normalizer": BOUNDARY}, "fails over it"),
}


def make(name, tokenizer, tokenizer_config):
    """A folder with these changes, without what is expected of it."""
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for file in ("config.json", "special_tokens_map.json", "model.onnx"):
        shutil.copyfile(BASE / file, folder / file)
    file = json.loads((BASE / "tokenizer.json").read_text())
    file["pre_tokenizer"] = file["pre_tokenizer"]["pretokenizers"][-1]
    for section, value in tokenizer.items():
        file[section] = {**(file[section] or {}), **value}
    write(folder / "tokenizer.json", file)
    config = {**json.loads((BASE / "tokenizer_config.json").read_text()), **tokenizer_config}
    write(folder / "tokenizer_config.json", {k: v for k, v in config.items() if v is not None})
    return folder


def write(path, value):
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def main():
    for name, changes in LIMITS.items():
        folder = make(name, {}, changes)
        write(folder / "expected.json", {
            "what": "an older name of model_max_length",
            "kind": "limit",
            "max_tokens": AutoTokenizer.from_pretrained(folder).model_max_length,
        })
    for name, (changes, says) in REFUSED.items():
        folder = make(name, changes, {})
        write(folder / "expected.json", {
            "what": "the tokenizers library panics over it, which is an error that names the file",
            "kind": "refused",
            "says": ["tokenizer.json", says],
        })


main()
