#!/usr/bin/env python3
"""Makes the folders `checkpoint-jina-bert-*`: Jina's BERT, which transformers does not have.

    cargo build --release --manifest-path tests/models/jina_bert/Cargo.toml
    JINA_BERT=tests/models/jina_bert/target/release/jina-bert-reference python tests/models/make_jina_bert.py

The last hidden states are those of candle-transformers 0.9.1, whose implementation of it the
program calls; a classifier's head is BERT's of transformers, which
Jina's code has too. With `--check`, the references of the folders are computed anew.

Needs what `make_checkpoints.py` needs, with transformers 5.24.0, and is like it otherwise.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import make_checkpoints as checkpoints
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, BertConfig
from transformers.models.bert.modeling_bert import BertPooler

MODELS = checkpoints.MODELS
REFERENCE = f"candle-transformers 0.9.1 / {checkpoints.TRANSFORMERS} / torch {torch.__version__.split('+')[0]}"
REFERENCE += ", batch of one, float32"
CLASSES = "jinaai/jina-bert-implementation--modeling_bert.JinaBert"

CONFIG = {
    "attention_probs_dropout_prob": 0.0,
    "attn_implementation": None,
    "auto_map": {
        "AutoConfig": "jinaai/jina-bert-implementation--configuration_bert.JinaBertConfig",
        "AutoModel": f"{CLASSES}Model",
        "AutoModelForMaskedLM": f"{CLASSES}ForMaskedLM",
        "AutoModelForSequenceClassification": f"{CLASSES}ForSequenceClassification",
    },
    "classifier_dropout": None,
    "emb_pooler": "mean",
    "feed_forward_type": "geglu",
    "gradient_checkpointing": False,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    # Six are no power of two, which the slopes depend on.
    "hidden_size": 48,
    "initializer_range": 0.02,
    "intermediate_size": 64,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 80,
    "model_max_length": 80,
    "model_type": "bert",
    "num_attention_heads": 6,
    "num_hidden_layers": 2,
    "pad_token_id": 0,
    "position_embedding_type": "alibi",
    "torch_dtype": "float32",
    "transformers_version": "4.26.0",
    "type_vocab_size": 2,
    "use_cache": True,
    "vocab_size": 700,
}


def shapes(task, labels):
    """The tensors of a model, and their shapes."""
    width, inner = CONFIG["hidden_size"], CONFIG["intermediate_size"]
    linear = {"weight": [width, width], "bias": [width]}
    norm = {"weight": [width], "bias": [width]}
    layer = {f"attention.self.{name}": linear for name in ("query", "key", "value")} | {
        "attention.output.dense": linear,
        "attention.output.LayerNorm": norm,
        "mlp.gated_layers": {"weight": [2 * inner, width]},
        "mlp.wo": {"weight": [width, inner], "bias": [width]},
        "mlp.layernorm": norm,
    }
    modules = {
        "embeddings.word_embeddings": {"weight": [CONFIG["vocab_size"], width]},
        "embeddings.token_type_embeddings": {"weight": [CONFIG["type_vocab_size"], width]},
        "embeddings.LayerNorm": norm,
    }
    for index in range(CONFIG["num_hidden_layers"]):
        modules |= {f"encoder.layer.{index}.{name}": module for name, module in layer.items()}
    if task == "sequence_classification":
        modules = {f"bert.{name}": module for name, module in modules.items()}
        modules |= {"bert.pooler.dense": linear, "classifier": {"weight": [labels, width], "bias": [labels]}}
    return {f"{path}.{name}": shape for path, module in modules.items() for name, shape in module.items()}


class JinaBert:
    """A folder as a model: what `weights(**inputs)[0]` is for transformers' classes."""

    def __init__(self, folder, task):
        self.folder, self.task = folder, task
        self.tensors = load_file(folder / "model.safetensors")
        config = checkpoints.read_json(folder / "config.json")
        self.config = SimpleNamespace(id2label={int(id): label for id, label in config.get("id2label", {}).items()})
        self.bert = BertConfig(hidden_size=CONFIG["hidden_size"])

    def states(self, ids):
        """candle's last hidden state."""
        with tempfile.TemporaryDirectory() as folder:
            shutil.copyfile(self.folder / "config.json", f"{folder}/config.json")
            inside = {name.removeprefix("bert."): it for name, it in self.tensors.items()}
            save_file(inside, f"{folder}/model.safetensors")
            command = [os.environ["JINA_BERT"], folder]
            run = subprocess.run(command, input=json.dumps([ids]), text=True, capture_output=True, check=True)
        return torch.tensor(json.loads(run.stdout))

    def __call__(self, input_ids, **_):
        hidden = self.states(input_ids[0].tolist())
        if self.task == "embedding":
            return [hidden]
        pooler = BertPooler(self.bert)
        pooler.load_state_dict(self.of("bert.pooler."))
        return [torch.nn.functional.linear(pooler(hidden), **self.of("classifier."))]

    def of(self, prefix):
        return {name.removeprefix(prefix): it for name, it in self.tensors.items() if name.startswith(prefix)}

    def without(self, name):
        """The same with a tensor that has no effect."""
        other = JinaBert(self.folder, self.task)
        is_factor = other.tensors[name].dim() == 1 and name.endswith("weight")
        other.tensors[name] = torch.full_like(other.tensors[name], 1.0 if is_factor else 0.0)
        return other


def make(task, seed=1):
    folder = MODELS / f"checkpoint-jina-bert-{task}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    config = dict(CONFIG)
    config["architectures"] = ["JinaBert" + checkpoints.HEADS[task]]
    older = checkpoints.read_json(MODELS / "bert-sequence_classification" / "config.json")
    if task == "sequence_classification":
        config |= {"id2label": older["id2label"], "label2id": {label: int(id) for id, label in older["id2label"].items()}}
    text = json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False)
    (folder / "config.json").write_text(text + "\n", encoding="utf-8")
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, shape in shapes(task, len(older["id2label"])).items():
        mean = 1.0 if len(shape) == 1 and name.endswith("weight") else 0.0
        tensors[name] = torch.empty(shape).normal_(mean, 0.35, generator=generator)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    checkpoints.copy_tokenizer(MODELS / "bert-embedding", folder)
    check_that_all_show(folder, task)
    for file, text in references(folder, task).items():
        (folder / file).write_text(text, encoding="utf-8")
    print(folder.name, flush=True)


def check_that_all_show(folder, task):
    model = JinaBert(folder, task)
    text = checkpoints.texts(MODELS / "bert-embedding")[0]
    inputs = AutoTokenizer.from_pretrained(folder)(text, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        expected = model(**inputs)[0]
        for name in model.tensors:
            difference = (model.without(name)(**inputs)[0] - expected).abs().max().item()
            assert difference > 1e-3 or checkpoints.WITHOUT_EFFECT.search(name), (name, difference)


def references(folder, task):
    golden = {"model": folder.name, "architecture": "jina-bert", "task": task, "max_length": 64}
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = JinaBert(folder, task)
    case = {
        "embedding": checkpoints.embedding_case,
        "sequence_classification": checkpoints.sequence_classification_case,
    }[task]
    cases = []
    for text in checkpoints.texts(MODELS / "bert-embedding"):
        encoding = tokenizer(text, truncation=True, return_offsets_mapping=True)
        offsets = [list(pair) for pair in encoding.pop("offset_mapping")]
        found = {"text": text, "input_ids": encoding["input_ids"], "tokens": encoding.tokens(), "offsets": offsets}
        with torch.inference_mode():
            output = model(**{key: torch.tensor([ids]) for key, ids in encoding.items()})[0][0]
            cases.append(found | case(output, model, tokenizer, text))
    return {"golden.json": checkpoints.file_text(golden | {"reference": REFERENCE, "cases": cases})}


def main():
    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    for task in ("embedding", "sequence_classification"):
        folder = MODELS / f"checkpoint-jina-bert-{task}"
        if "--check" not in sys.argv:
            make(task)
            continue
        for file, text in references(folder, task).items():
            assert text == (folder / file).read_text(encoding="utf-8"), (folder.name, file)
        print(f"{folder.name} is the same", flush=True)


if __name__ == "__main__":
    main()
