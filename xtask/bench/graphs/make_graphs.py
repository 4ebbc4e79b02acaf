#!/usr/bin/env python3
"""Makes NAME/config.json and NAME/graph.onnx.gz: models of real size without their weights.

    pip install -r tests/models/requirements.txt
    python xtask/bench/graphs/make_graphs.py

Each graph is what optimum-onnx exports of a randomly initialised model, as for
the tests. Then the data of every parameter is taken out; its name, type and shape
stay, and so do all constants. `../fill_graph.py` puts random numbers there. The
vocabulary is that of all-MiniLM-L6-v2, so that one tokenizer serves all of them.
"""

import gzip
import math
import os
import tempfile
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}

import onnx
import torch
from optimum.exporters.onnx import onnx_export_from_model
from transformers import AutoModel, BertConfig, DebertaV2Config, ModernBertConfig

GRAPHS = Path(__file__).parent

VOCABULARY = {"vocab_size": 30522, "pad_token_id": 0}

CONFIGS = {
    "bert-base": BertConfig(**VOCABULARY),
    # That of microsoft/deberta-v3-base.
    "deberta-v3-base": DebertaV2Config(
        **VOCABULARY,
        hidden_size=768,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=3072,
        max_position_embeddings=512,
        type_vocab_size=0,
        layer_norm_eps=1e-7,
        relative_attention=True,
        max_relative_positions=-1,
        position_buckets=256,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        pos_att_type="p2c|c2p",
        position_biased_input=False,
    ),
    # That of answerdotai/ModernBERT-base, which is the default.
    "modernbert-base": ModernBertConfig(
        **VOCABULARY, bos_token_id=101, cls_token_id=101, eos_token_id=102, sep_token_id=102
    ),
}

# Larger than any constant, smaller than any parameter.
KEPT_MAX = 512


def main():
    for name, config in CONFIGS.items():
        graph = take_out_parameters(exported(randomised(AutoModel.from_config(config))))
        folder = GRAPHS / name
        folder.mkdir(exist_ok=True)
        config.to_json_file(folder / "config.json")
        # Without a time, so that the same graph gives the same bytes.
        packed = gzip.compress(graph.SerializeToString(), mtime=0)
        (folder / "graph.onnx.gz").write_bytes(packed)
        print(f"{name}: {len(packed)} bytes")


def randomised(model):
    """Without two parameters that are equal, which the exporter would make one."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    return model


def exported(model):
    with tempfile.TemporaryDirectory() as folder:
        onnx_export_from_model(model.eval(), folder, task="feature-extraction", do_validation=False)
        return onnx.load(Path(folder) / "model.onnx")


def take_out_parameters(graph):
    for tensor in graph.graph.initializer:
        is_float = tensor.data_type == onnx.TensorProto.FLOAT
        if is_float and math.prod(tensor.dims) > KEPT_MAX:
            tensor.ClearField("raw_data")
    return graph


main()
