"""Makes a model folder of a graph without weights: `fill_graph.py GRAPH MINILM TO`.

GRAPH is a folder of `graphs/`; the tokenizer and the modules around the graph are
those of MINILM, a sentence-transformers folder. The numbers are random and always
the same: norms about 1, everything else about 0, as when training begins.
"""

import gzip
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx

SIGMA = 0.02

COPIED = [
    "config_sentence_transformers.json",
    "modules.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
]


def fill(model):
    """What `make_graphs.py` took out."""
    random = np.random.default_rng(0)
    norms = {n.input[1] for n in model.graph.node if n.op_type == "LayerNormalization"}
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and not tensor.raw_data:
            values = random.standard_normal(tuple(tensor.dims), dtype=np.float32) * SIGMA
            values += tensor.name in norms
            tensor.raw_data = values.tobytes()


def main(graph, minilm, folder):
    model = onnx.ModelProto.FromString(gzip.decompress((graph / "graph.onnx.gz").read_bytes()))
    fill(model)
    (folder / "1_Pooling").mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    for name in COPIED:
        shutil.copyfile(minilm / name, folder / name)
    config = json.loads((graph / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 512}')
    pooling = {"word_embedding_dimension": config["hidden_size"], "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))


main(*map(Path, sys.argv[1:]))
