#!/usr/bin/env python3
"""Makes the folders `late-*`: late interaction that cannot be computed as the reference does.

    python tests/faults/make_late_faults.py

They are folders of ../models with one thing changed. That is found before the graph is
read, so that model.onnx is empty but where the graph is at fault.
"""

import json
import shutil
from pathlib import Path

FAULTS = Path(__file__).parent
MODELS = FAULTS.parent / "models"
SETTINGS = "config_sentence_transformers.json"


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def said(name, **keys):
    """Has a file say something else."""
    def edit(folder):
        path = folder / name
        write_json(path, {**json.loads(path.read_text(encoding="utf-8")), **keys})
    return edit


def modules(change, without=None):
    """Changes modules.json."""
    def edit(folder):
        if without:
            shutil.rmtree(folder / without)
        path = folder / "modules.json"
        write_json(path, change(json.loads(path.read_text(encoding="utf-8"))))
    return edit


def graph_of(name, *files):
    """Takes the graph of another model, and other files of it."""
    def edit(folder):
        for file in ["model.onnx", *files]:
            shutil.copy(MODELS / name / file, folder / file)
    return edit


POOLING = {
    "idx": 4,
    "name": "4",
    "path": "4_HierarchicalTokenPooling",
    "type": "sentence_transformers.multi_vector_encoder.modules.hierarchical_token_pooling.HierarchicalTokenPooling",
}

FOLDERS = [
    ("prefix-unknown", "bert", said(SETTINGS, query_prefix="[QQ] "), ["query_prefix", "[QQ] "],
     "the tokenizer lacks the token of query_prefix, for which PyLate would make up a row of the embedding at random: refused"),
    ("without-dense", "bert", modules(lambda it: it[:1], "1_Dense"), ["no Dense module"],
     "no Dense module, for which PyLate would make up a projection at random: refused"),
    ("key-unknown", "bert", said(SETTINGS, pool_factor=2), ["pool_factor"],
     "a key that PyLate 1.6 does not have: refused"),
    ("padding-left", "bert", said("tokenizer_config.json", padding_side="left"), ["padding_side"],
     "expansion tokens in front of the query, where the prefix and the masks do not fit: refused"),
    ("stanford-punctuation", "stanford", said("artifact.metadata", mask_punctuation=False), ["mask_punctuation"],
     "Stanford's own program would keep punctuation, PyLate does not look: refused"),
    ("multi-vector-pooling", "multi-vector", modules(lambda it: [*it, POOLING]), ["HierarchicalTokenPooling"],
     "vectors of clusters of tokens, which are not served: refused"),
    ("multi-vector-without-norm", "multi-vector", modules(lambda it: it[:3], "3_Normalize"), ["no Normalize module"],
     "vectors of any length: refused"),
    ("graph-without-mask", "bert", graph_of("files-input-ids-only"), ["attention_mask", "expansion tokens"],
     "a graph that cannot hide the expansion tokens of queries: refused"),
    ("projected-residual", "roberta-residual", graph_of("late-modernbert-projected", "onnx_config.json"),
     ["output `output` is projected", "residuals"],
     "LightOn's exporter, which leaves activations and residuals out of the graph: refused"),
    ("modules-namesakes", "bert", modules(lambda it: [*it, {**it[1], "idx": 2}]), ["`name`"],
     "two modules of one name, of which sentence-transformers keeps the later: refused"),
]


def main():
    for name, source, edit, says, what in FOLDERS:
        folder = FAULTS / f"late-{name}"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(MODELS / f"late-{source}", folder)
        (folder / "golden.json").unlink()
        (folder / "model.onnx").write_bytes(b"")
        edit(folder)
        expected = {"what": what, "kind": "refused", "says": says}
        (folder / "expected.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
