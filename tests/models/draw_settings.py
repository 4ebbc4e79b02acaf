#!/usr/bin/env python3
"""Draws settings of config.json at random, and finds those that the builder understands wrongly.

    python tests/models/draw_settings.py --tool ENCODERFILE [--draws N] [--seed N] [ARCHITECTURE …]
    python tests/models/draw_settings.py --tool ENCODERFILE --odd

For each architecture whose graph the builder writes from a PyTorch checkpoint, and which
transformers has, settings are drawn with a fixed seed: small sizes, and the keys that change what
is computed at inference. transformers makes a model of them with random weights, which are drawn
widely, biases and norms too, and writes it into a temporary folder with the tokenizer of a folder
beside this file. config.json is either what transformers writes, or has the drawn keys alone, so
that defaults count. The reference is computed by transformers from that folder, in float32, one
text at a time; then ENCODERFILE, the built tool, makes a bundle of the folder and computes the
same texts. There are four outcomes:

- agreed: the numbers are the same within |a - b| / (1 + |b|) of `NEAR` and what rounding may add,
  which is eight times the difference of float32 and float64 in PyTorch.
- refused: the builder does not take the folder. The message is printed, once for each key and
  value, for a person to judge; that value is not drawn again for the architecture.
- FAULT: the numbers differ, or the tool fails on what it has built. Settings are put back to
  their defaults one at a time as long as the fault stays, and the rest is printed. Those keys
  are not drawn again for the architecture, so that other faults are found.
- not made: transformers itself does not take the settings, or gives numbers beyond all bounds.

With `--odd`, config.json files are as old folders, or those of others, have them: keys that are
missing, null, of other types or unknown. For each it is printed what transformers does and what
the tool does.

Texts have up to 64 tokens, or up to 200; some folders have BERT's tokenizer, which numbers the
segments of a pair. Weights are not drawn as wide where values would grow with every layer.

The exit code is 1 if there is a fault. Needs transformers 5.24.0, torch 2.15.0, safetensors,
numpy and sentencepiece; transformers 4.57.6 does for the architectures that it has. Nothing is
downloaded, and nothing is written but temporary files. A draw takes about a quarter of a second.
"""

import argparse
import collections
import dataclasses
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
warnings.filterwarnings("ignore")

import make_checkpoints
import torch
import transformers
from make_checkpoints import (
    CLASSES,
    LANGUAGE_MODELS,
    NoCache,
    copy_tokenizer,
    model_class,
    neutral,
    older,
    read_json,
    texts,
    write_word_end_tokenizer,
)
from transformers import CONFIG_MAPPING, AutoConfig, AutoTokenizer

# Numbers are the same within this.
NEAR = 2e-5

# Numbers beyond this are no model's.
LARGE = 1e5

# The most tokens of a text, in most draws and in others.
USUAL, LONG = 64, 200

# Whether another key is changed.
CHANCE = 0.3

# What transformers has, and make_checkpoints.py has no folder for.
CLASSES["xlm-roberta"] = "XLMRoberta"

ARCHITECTURES = [it for it in CLASSES if it != "new"]

TASKS = ("embedding", "fill_mask", "sequence_classification", "token_classification")

# The tasks of architectures that do not have all of them.
FEWER_TASKS = {"gemma3_text": ("embedding", "sequence_classification"), "t5": ("embedding",)}

# How wide weights are drawn where values grow with every layer.
NARROWER = {"flaubert": 0.2, "gemma3_text": 0.2, "mobilebert": 0.12}

ACTIVATIONS = [
    "gelu",
    "gelu_accurate",
    "gelu_fast",
    "gelu_new",
    "gelu_python",
    "gelu_pytorch_tanh",
    "quick_gelu",
    "relu",
    "sigmoid",
    "silu",
    "swish",
    "tanh",
    "leaky_relu",
    "mish",
]
EPSILONS = [1e-12, 1e-5, 1e-3, 0.5]
FLAG = [True, False]
THETAS = [100.0, 5000.0, 160000.0]
KINDS = ["sliding_attention", "full_attention"]


def layers(settings):
    return next(settings[key] for key in ("num_hidden_layers", "n_layers", "num_layers") if key in settings)


def width(settings):
    return next(settings[key] for key in ("hidden_size", "dim", "emb_dim", "d_model") if key in settings)


def rope(draw, settings):
    return draw.choice(
        [
            {"rope_type": "default", "rope_theta": draw.choice(THETAS)},
            {"rope_type": "linear", "factor": 2.0, "rope_theta": draw.choice(THETAS)},
            {"rope_type": "linear", "factor": 3.0},
            {"rope_type": "default"},
            {"type": "linear", "factor": 4.0, "rope_theta": 300.0},
        ]
    )


def ropes(draw, settings):
    kinds = {kind: rope(draw, settings) for kind in KINDS}
    return draw.choice([kinds, {KINDS[0]: kinds[KINDS[0]]}, {KINDS[1]: kinds[KINDS[1]]}])


def kinds(draw, settings):
    return [draw.choice(KINDS) for _ in range(layers(settings))]


# The values of keys, or what draws one.
DRAWN = {
    "activation": ACTIVATIONS,
    "attention_bias": FLAG,
    "attention_type": ["original_full", "block_sparse"],
    "attn_logit_softcapping": [5.0],
    "block_size": [8, 16],
    "chunk_size_feed_forward": [1],
    "classifier_activation": FLAG,
    "classifier_bias": FLAG,
    "classifier_pooling": ["cls", "mean"],
    "conv_kernel_size": [1, 3, 5, 4],
    "decoder_bias": FLAG,
    "embedding_size": [16, 24, 128],
    "emb_layer_norm_before": FLAG,
    "feed_forward_proj": [*ACTIVATIONS[:9], "gated-gelu", "gated-silu", "gated-relu", "gated-gelu_new"],
    "final_logit_softcapping": [3.0],
    "gelu_activation": FLAG,
    "head_dim": [4, 8, 12],
    "head_ratio": [1, 2, 4, 8],
    "hidden_act": ACTIVATIONS,
    "hidden_activation": ACTIVATIONS,
    "inner_group_num": [2],
    "input_embedding_size": [16, 256],
    "intra_bottleneck_size": [16, 32, 128],
    "is_decoder": [True],
    "key_query_shared_bottleneck": FLAG,
    "layer_norm_eps": EPSILONS,
    "layer_norm_epsilon": EPSILONS,
    "layer_types": kinds,
    "layerdrop": [0.5],
    "legacy": FLAG,
    "local_attention": [2, 4, 7, 8, 16, 31],
    "mask_token_id": [4, 9],
    "max_position_embeddings": [70, 90, 130],
    "mlp_bias": FLAG,
    "n_langs": [2],
    "norm_bias": FLAG,
    "norm_eps": EPSILONS,
    "normalization_type": ["layer_norm", "no_norm"],
    "num_feedforward_networks": [1, 2, 3],
    "num_groups": [1, 2],
    "num_hidden_groups": [1, 2, 3],
    "num_key_value_heads": [1, 2],
    "num_random_blocks": [1, 3],
    "output_embedding_size": [16, 40],
    "output_hidden_states": [True],
    "pad_token_id": [0, 1, 2, 3],
    "pooler_hidden_act": ACTIVATIONS,
    "position_biased_input": FLAG,
    "position_embedding_type": ["absolute", "rotary"],
    "pre_norm": FLAG,
    "query_pre_attn_scalar": [8, 24, 256],
    "relative_attention": FLAG,
    "relative_attention_max_distance": [16, 40, 128],
    "relative_attention_num_buckets": [4, 8, 10, 32],
    "rescale_embeddings": FLAG,
    "rms_norm_eps": EPSILONS,
    "rope_parameters": rope,
    "rope_theta": THETAS,
    "rotary_value": FLAG,
    "sinusoidal_embeddings": FLAG,
    "sinusoidal_pos_embds": FLAG,
    "sliding_window": [2, 5, 8, 17],
    "summary_activation": ["tanh", "relu", "gelu"],
    "summary_proj_to_labels": FLAG,
    "summary_type": ["first", "last", "mean", "cls_index"],
    "summary_use_proj": FLAG,
    "task_type_vocab_size": [2, 5],
    "tie_word_embeddings": FLAG,
    "token_dropout": FLAG,
    "trigram_input": FLAG,
    "type_vocab_size": [1, 2, 3],
    "use_bias": FLAG,
    "use_bottleneck": FLAG,
    "use_bottleneck_attention": FLAG,
    "use_lang_emb": FLAG,
    "use_task_id": FLAG,
    **{f"{part}_groups": [1, 2, 4] for part in ("q", "k", "v", "post_attention", "intermediate", "output")},
}

SCALINGS = [
    {"rope_type": "linear", "factor": 8.0},
    {"rope_type": "default"},
    {"rope_theta": 300.0},
    {"type": "linear", "factor": 2.0},
    {},
]

# Keys beside those of the class, which the architecture's code reads, or which older
# transformers wrote; and other values.
OTHERS = {
    "bert": {"position_embedding_type": ["absolute", "relative_key"]},
    "deberta": {
        "attention_head_size": [8],
        "embedding_size": [16],
        "max_relative_positions": [-1, 8, 32, 64],
        "norm_rel_ebd": ["layer_norm", "none"],
        "pooler_hidden_size": lambda draw, settings: width(settings),
        "pos_att_type": [["c2p"], ["p2c"], ["c2p", "p2c"], "c2p|p2c", "p2c", [], ["p2p"]],
        "position_buckets": [-1, 8],
        "share_att_key": FLAG,
        "talking_head": [True],
        "type_vocab_size": [0, 1, 2],
    },
    "deberta-v2": {
        "attention_head_size": [8, 16],
        "conv_act": ACTIVATIONS,
        "conv_groups": [1, 2],
        "conv_kernel_size": [0, 1, 3, 5],
        "embedding_size": [16],
        "max_relative_positions": [-1, 16, 32, 64],
        "norm_rel_ebd": ["layer_norm", "none"],
        "pooler_hidden_size": lambda draw, settings: width(settings),
        "pos_att_type": [["c2p"], ["p2c"], ["c2p", "p2c"], "c2p|p2c", "p2c", [], ["p2p"]],
        "position_buckets": [-1, 4, 7, 8, 16, 64],
        "share_att_key": FLAG,
        "type_vocab_size": [0, 1, 2],
    },
    "distilbert": {"num_hidden_layers": [1, 3], "num_attention_heads": [2, 4]},
    "electra": {"summary_activation": ["tanh"], "summary_type": ["first"], "summary_use_proj": FLAG},
    "esm": {"classifier_dropout": [0.1]},
    "eurobert": {
        "classifier_pooling": ["bos", "mean", "late"],
        "clf_pooling": ["bos", "mean", "late"],
        "rope_scaling": [{"type": "linear", "factor": 2.0}],
        "rope_theta": THETAS,
    },
    "flaubert": {
        "asm": [True],
        "causal": [True],
        "is_encoder": [True],
        "n_inner": [64],
        "num_attention_heads": [2, 4],
        "num_hidden_layers": [1, 3],
    },
    "gemma3_text": {
        "rope_local_base_freq": THETAS,
        "rope_parameters": ropes,
        "rope_scaling": SCALINGS,
        "rope_theta": THETAS,
        "sliding_window_pattern": [2, 3],
        "use_bidirectional_attention": [True],
    },
    "gte": {"type_vocab_size": [0, 1, 2], "rope_theta": THETAS},
    "mobilebert": {"intermediate_size": [24, 64], "true_hidden_size": [32]},
    "modernbert": {
        "classifier_activation": ACTIVATIONS,
        "global_attn_every_n_layers": [1, 2, 3],
        "global_rope_theta": THETAS,
        "local_rope_theta": THETAS,
        "position_embedding_type": ["absolute"],
        "rope_parameters": ropes,
        "rope_scaling": SCALINGS,
        "sparse_prediction": FLAG,
    },
    "mpnet": {"relative_attention_num_buckets": [32, 64]},
    "nomic_bert": {"type_vocab_size": [0, 1, 2], "rope_theta": THETAS},
    "t5": {
        "dense_act_fn": ["relu", "gelu_new", "silu"],
        "head_dim": [4, 12],
        "is_gated_act": FLAG,
        "num_attention_heads": [2, 4],
        "num_decoder_layers": [1],
        "num_hidden_layers": [1, 3],
    },
    "xlm": {
        "asm": [True],
        "causal": [True],
        "is_encoder": [True],
        "num_attention_heads": [2, 4],
        "num_hidden_layers": [1, 3],
    },
}

# What each architecture has where nothing is drawn.
SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 80,
}
BASES = {
    "convbert": SMALL | {"embedding_size": 32},
    "deberta": SMALL | {"type_vocab_size": 0},
    "deberta-v2": SMALL | {"type_vocab_size": 0},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48, "max_position_embeddings": 80},
    "esm": SMALL | {"mask_token_id": 4, "pad_token_id": 0},
    "eurobert": SMALL | {"pad_token_id": 1, "num_key_value_heads": 4, "head_dim": 8},
    "flaubert": {"emb_dim": 32, "n_layers": 2, "n_heads": 4, "max_position_embeddings": 80},
    "gemma3_text": SMALL
    | {"pad_token_id": 1, "num_key_value_heads": 2, "head_dim": 8, "use_bidirectional_attention": True},
    "mobilebert": SMALL | {"embedding_size": 24, "intra_bottleneck_size": 32},
    "modernbert": SMALL | {"pad_token_id": 1, "cls_token_id": 0, "sep_token_id": 2},
    "nomic_bert": SMALL | {"head_dim": 8},
    "rembert": SMALL | {"input_embedding_size": 16, "output_embedding_size": 24},
    "roformer": SMALL | {"embedding_size": 32},
    "squeezebert": SMALL | {"embedding_size": 32},
    "t5": {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4},
    "xlm": {"emb_dim": 32, "n_layers": 2, "n_heads": 4, "max_position_embeddings": 80},
}

# Names of the sizes that belong together: width, heads, values of a head, inner width, layers.
SIZES = {
    "distilbert": ("dim", "n_heads", None, "hidden_dim", "n_layers"),
    "flaubert": ("emb_dim", "n_heads", None, None, "n_layers"),
    "t5": ("d_model", "num_heads", "d_kv", "d_ff", "num_layers"),
    "xlm": ("emb_dim", "n_heads", None, None, "n_layers"),
}
USUAL_SIZES = ("hidden_size", "num_attention_heads", None, "intermediate_size", "num_hidden_layers")

# As wide as the hidden state, unless they are drawn.
AS_WIDE = ("convbert", "roformer", "squeezebert")

# One of these must be so in nearly all draws, for others depend on it.
MOSTLY = {
    "big_bird": {"attention_type": "original_full"},
    "deberta": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
    "deberta-v2": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
    "rembert": {"tie_word_embeddings": False},
}


# --- drawing ---------------------------------------------------------------------------------


def draw_settings(draw, architecture, left_out):
    """Settings that are drawn, without keys of `left_out`, and keys and values as JSON in it."""
    small = BASES.get(architecture, SMALL)
    wide, heads, head, inner, count = SIZES.get(architecture, USUAL_SIZES)
    settings = {}
    if draw.random() < 0.7:
        settings[heads] = draw.choice([1, 2, 4])
        sizes = [size for size in (8, 10, 12, 16) if size * settings[heads] >= 16]
        settings[wide] = settings[heads] * draw.choice(sizes)
        if architecture in AS_WIDE:
            settings["embedding_size"] = settings[wide]
        if architecture == "nomic_bert":
            settings["head_dim"] = settings[wide] // settings[heads]
        if architecture in ("eurobert", "gemma3_text"):
            settings["num_key_value_heads"] = settings[heads]
        if head:
            settings[head] = draw.choice([4, 8, 12])
    if inner:
        settings[inner] = draw.choice([16, 40, 64])
    settings[count] = draw.choice([1, 2, 3])
    known = known_keys(architecture)
    others = OTHERS.get(architecture, {})
    for key in sorted(known | others.keys()):
        choices = others.get(key, DRAWN.get(key))
        if choices is None or draw.random() > CHANCE:
            continue
        value = choices(draw, small | settings) if callable(choices) else draw.choice(choices)
        if key == "embedding_size" and architecture == "squeezebert":
            continue
        if key not in left_out and (key, json.dumps(value)) not in left_out:
            settings[key] = value
    for key, value in MOSTLY.get(architecture, {}).items():
        if draw.random() < 0.8 and key not in left_out:
            settings[key] = settings.get(key, value) if key == "pos_att_type" else value
    return settings


def has_positions(architecture):
    return "max_position_embeddings" in BASES.get(architecture, SMALL)


def known_keys(architecture):
    config = AutoConfig.for_model(architecture)
    if dataclasses.is_dataclass(config):
        return {field.name for field in dataclasses.fields(config)}
    return set(config.to_dict())


# --- models ----------------------------------------------------------------------------------


class NotMade(Exception):
    """transformers does not take the settings."""


def make(folder, architecture, task, settings, labels, seed, bare, limit=USUAL, has_segments=False):
    """A folder of these settings for texts of `limit` tokens; config.json has nothing else if it
    is `bare`. Where it `has_segments`, its tokenizer is BERT's, which numbers those of a pair."""
    base = BASES.get(architecture, SMALL)
    words = vocabulary(architecture)
    settings = {"vocab_size": max(words, vocabulary("bert")) if has_segments else words} | base | settings
    if "classification" in task:
        names = [f"L{index}" for index in range(labels)]
        settings |= {"id2label": dict(enumerate(names)), "label2id": {name: index for index, name in enumerate(names)}}
    try:
        config = AutoConfig.for_model(architecture, **settings)
        weights = model_class(architecture, task)(config).eval()
    except Exception as error:
        raise NotMade(f"{type(error).__name__}: {str(error).strip().splitlines()[-1]}") from error
    generator = torch.Generator().manual_seed(seed)
    std = NARROWER.get(architecture, 0.3)
    for name, parameter in weights.named_parameters():
        is_sinusoid = getattr(config, "sinusoidal_embeddings", False) and "position_embeddings" in name
        if parameter.requires_grad and not is_sinusoid:
            parameter.data.normal_(neutral(weights, name, parameter), std, generator=generator)
    give_heads_one_bias(weights)
    try:
        weights.save_pretrained(folder)
    except Exception as error:
        raise NotMade(f"save_pretrained: {type(error).__name__}: {error}") from error
    if bare:
        written = read_json(folder / "config.json")
        kept = {"model_type": written["model_type"], "architectures": written["architectures"]}
        write_json(folder / "config.json", kept | settings)
    write_tokenizer(folder, "bert" if has_segments else architecture)
    path = folder / "tokenizer_config.json"
    write_json(path, read_json(path) | {"model_max_length": limit})


def give_heads_one_bias(weights):
    """Without tied words, transformers 5 has two in some heads, and uses one of them alone."""
    tensors = dict(weights.named_parameters())
    for head in ("cls.predictions", "lm_head", "predictions"):
        bias, copy = f"{head}.bias", f"{head}.decoder.bias"
        if bias in tensors and copy in tensors:
            tensors[bias].data.copy_(tensors[copy].data)


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def vocabulary(architecture):
    if architecture in LANGUAGE_MODELS:
        return make_checkpoints.SMALL_XLM["vocab_size"]
    if architecture in make_checkpoints.OLDER:
        return make_checkpoints.SMALL["vocab_size"]
    return read_json(older(architecture) / "config.json")["vocab_size"]


def write_tokenizer(folder, architecture):
    if architecture in LANGUAGE_MODELS:
        source = word_end_tokenizer(architecture)
    else:
        source = older("camembert" if architecture == "t5" else architecture)
    copy_tokenizer(source, folder)


KEPT = {}


def word_end_tokenizer(architecture):
    """Trained once."""
    if architecture not in KEPT:
        KEPT[architecture] = tempfile.TemporaryDirectory()
        write_word_end_tokenizer(Path(KEPT[architecture].name), architecture, None)
    return Path(KEPT[architecture].name)


def inputs(folder, architecture, task):
    """Texts, and pairs where the tool takes them."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    found = texts(older("albert" if architecture == "t5" else architecture))
    if tokenizer.model_max_length > USUAL:
        found[3] = " ".join([found[3]] * 5)
    if tokenizer.mask_token:
        masked = f"I shall look into the {tokenizer.mask_token} between this and then."
        found = [masked, f"{tokenizer.mask_token} {found[3]}"] if task == "fill_mask" else [*found[1:], masked]
    rows = [{"text": text} for text in found]
    if task == "sequence_classification":
        rows.append({"text": "the first of both", "text_pair": "and the second"})
    return tokenizer, rows


def computed_by_transformers(folder, architecture, task, rows, tokenizer):
    """A tensor for each row, and how far it is from what float64 gives."""
    kind = model_class(architecture, task)
    try:
        weights, info = kind.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
        weights = weights.eval()
        if info["missing_keys"] or info["mismatched_keys"]:
            raise NotMade(f"tensors of from_pretrained: {info}")
        options = {"cache": NoCache()} if getattr(weights.config, "pre_norm", False) else {}
        found = [run(weights, tokenizer, row, task, options) for row in rows]
    except NotMade:
        raise
    except Exception as error:
        message = str(error).strip() or "nothing"
        raise NotMade(f"{type(error).__name__}: {message.splitlines()[-1]}") from error
    for tensor in found:
        if not tensor.isfinite().all() or tensor.abs().max() > LARGE:
            raise NotMade("numbers are too large")
    try:
        exact = [run(weights.double(), tokenizer, row, task, options) for row in rows]
        slack = [(a - b).abs().max().item() for a, b in zip(found, exact)]
    except Exception:
        slack = [0.0] * len(found)
    return found, slack


def run(weights, tokenizer, row, task, options):
    encoding = tokenizer(row["text"], row.get("text_pair"), truncation=True, return_tensors="pt")
    with torch.inference_mode():
        output = weights(**encoding, **options)
    tensor = (output["last_hidden_state"] if task == "embedding" else output["logits"])[0]
    if task == "fill_mask":
        tensor = tensor[encoding["input_ids"][0] == tokenizer.mask_token_id].log_softmax(-1)
    return tensor.double()


class Refused(Exception):
    """The builder does not take the folder."""


class Failed(Exception):
    """The tool does not compute what it has built."""


def computed_by_tool(tool, folder, task, rows):
    bundle = folder / "model.ef"
    command = [tool, "build", "--model", str(folder), "--target", "bundle", "-o", str(bundle), "--task", task]
    built = subprocess.run(command, capture_output=True, text=True)
    if built.returncode:
        raise Refused(built.stderr.strip().replace(str(folder) + "/", ""))
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    command = [tool, "infer", str(bundle), "--input", str(folder / "rows.jsonl"), "-f", "jsonl", "--threads", "1"]
    command += {"fill_mask": ["--top-k", "100000"], "sequence_classification": []}.get(task, ["--special-tokens"])
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode:
        raise Failed(ran.stderr.strip())
    return [result(json.loads(line), task) for line in ran.stdout.splitlines()]


def result(found, task):
    if task == "embedding":
        return torch.tensor([it["embedding"] for it in found["embeddings"]], dtype=torch.float64)
    if task == "token_classification":
        return torch.tensor([it["logits"] for it in found["tokens"]], dtype=torch.float64)
    if task == "sequence_classification":
        return torch.tensor(found["logits"], dtype=torch.float64)
    rows = []
    for mask in found["masks"]:
        scores = {it["token"]: it["score"] for it in (mask["predictions"] if isinstance(mask, dict) else mask)}
        rows.append(torch.tensor([scores[index] for index in range(len(scores))], dtype=torch.float64).log())
    return torch.stack(rows)


def difference(found, expected, slack, task):
    """The largest difference, where 1 is as large as it may be."""
    largest = 0.0
    for a, b, more in zip(found, expected, slack, strict=True):
        if a.shape != b.shape:
            return float("inf")
        if task == "fill_mask":
            # Smaller probabilities are no longer exact.
            a, b = a.clamp(min=-60), b.clamp(min=-60)
        apart = ((a - b).abs() - 8 * more) / (1 + b.abs()) / NEAR
        largest = max(largest, apart.max().item())
    return largest


def outcome(tool, architecture, task, settings, *others):
    """What comes of it: the name of the outcome, and what there is to say."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        try:
            make(folder, architecture, task, settings, *others)
            tokenizer, rows = inputs(folder, architecture, task)
            expected, slack = computed_by_transformers(folder, architecture, task, rows, tokenizer)
            found = computed_by_tool(tool, folder, task, rows)
        except NotMade as error:
            return "not made", str(error)
        except Refused as error:
            return "refused", str(error)
        except Failed as error:
            return "FAULT", f"the tool fails: {error}"
    apart = difference(found, expected, slack, task)
    return ("agreed", "") if apart <= 1 else ("FAULT", f"{apart * NEAR:.2g} apart")


def shrunk(tool, architecture, task, settings, *others):
    """The fewest of these settings that still show a fault."""
    settings = dict(settings)
    is_smaller = True
    while is_smaller:
        is_smaller = False
        for key in list(settings):
            fewer = {it: value for it, value in settings.items() if it != key}
            if outcome(tool, architecture, task, fewer, *others)[0] == "FAULT":
                settings, is_smaller = fewer, True
    return settings


def named_key(message, settings):
    """The key of config.json that a message names, if it is one that was drawn."""
    return next((key for key in re.findall(r"`([a-z0-9_]+)`", message) if key in settings), None)


def draw_all(tool, architecture, draws, seed):
    """Prints what is found; gives how often each outcome was."""
    draw = random.Random(f"{seed} {architecture}")
    tasks = FEWER_TASKS.get(architecture, TASKS)
    sizes = {*SMALL, *BASES.get(architecture, {})}
    counts, left_out, messages, may_be_bare = collections.Counter(), set(), set(), True
    for index in range(draws):
        task, labels, bare = tasks[index % len(tasks)], draw.choice([2, 3, 4]), draw.random() < 0.5
        bare = bare and may_be_bare
        settings = draw_settings(draw, architecture, left_out)
        limit = draw.choice([USUAL, USUAL, LONG])
        if limit == LONG and has_positions(architecture):
            settings["max_position_embeddings"] = draw.choice([LONG + 5, 512])
        # Others take no pairs, and XLM's vocabulary is smaller than BERT's.
        chance = 0.5 if task == "sequence_classification" else 0.1
        has_segments = draw.random() < chance and architecture not in LANGUAGE_MODELS
        drawn = (architecture, task, settings, labels, seed + index, bare, limit, has_segments)
        name, detail = outcome(tool, *drawn)
        counts[name] += 1
        if name == "refused":
            key = named_key(detail, settings)
            if key:
                left_out.add((key, json.dumps(settings[key])))
            if detail not in messages:
                drawn_too = "" if key else f" {json.dumps(settings)}"
                print(f"  {architecture} {task}: refused: {detail}{drawn_too}", flush=True)
        elif name == "not made" and detail not in messages:
            print(f"  {architecture} {task}: not made: {detail[:200]}", flush=True)
        elif name == "FAULT":
            least = shrunk(tool, *drawn[:2], settings, *drawn[3:])
            name, detail = outcome(tool, *drawn[:2], least, *drawn[3:])
            segments = "; BERT's tokenizer" if has_segments else ""
            form = "config.json has these alone" if bare else "config.json as transformers writes it"
            of = f"{form}; {limit} tokens{segments}"
            print(f"FAULT {architecture} {task}: {json.dumps(least)}: {detail} ({of})", flush=True)
            # Not drawn again, so that others are found.
            keys = least.keys() - sizes
            left_out |= keys
            may_be_bare = may_be_bare and (bool(keys) or not bare)
        messages.add(detail)
    print(f"{architecture}: {', '.join(f'{count} {name}' for name, count in sorted(counts.items()))}", flush=True)
    return counts


# --- odd files of config.json -----------------------------------------------------------------

GENERATION = {"max_length": 20, "do_sample": False, "num_beams": 1, "top_k": 50, "length_penalty": 1.0, "prefix": None}

LEFT_OUT = object()

# What is changed in config.json: an architecture, a task, and keys with their values.
ODD = [
    ("bert", "fill_mask", {"model_type": LEFT_OUT}),
    ("bert", "fill_mask", {"model_type": LEFT_OUT, "architectures": LEFT_OUT}),
    ("bert", "fill_mask", {"model_type": None}),
    ("roberta", "fill_mask", {"model_type": LEFT_OUT}),
    ("xlm-roberta", "fill_mask", {"model_type": LEFT_OUT}),
    ("distilbert", "fill_mask", {"model_type": LEFT_OUT}),
    ("albert", "fill_mask", {"model_type": LEFT_OUT}),
    ("bert", "fill_mask", {"architectures": LEFT_OUT}),
    ("bert", "fill_mask", {"architectures": None}),
    ("bert", "embedding", {"architectures": ["BertForPreTraining"]}),
    ("bert", "embedding", {"_name_or_path": "/home/someone/checkpoint-500"}),
    ("bert", "embedding", {"_name_or_path": ""}),
    ("bert", "embedding", {"name_or_path": "bert-base-uncased"}),
    ("bert", "embedding", GENERATION),
    ("bert", "embedding", {"generation_config": {"max_length": 20}}),
    *(
        ("bert", "embedding", {"hidden_act": name})
        for name in (
            "gelu_new",
            "gelu_fast",
            "gelu_python",
            "gelu_python_tanh",
            "gelu_pytorch_tanh",
            "gelu_accurate",
            "gelu_10",
            "quick_gelu",
            "relu",
            "relu2",
            "relu6",
            "leaky_relu",
            "silu",
            "swish",
            "mish",
            "laplace",
            "hardswish",
            "GELU",
        )
    ),
    ("bert", "embedding", {"hidden_size": 32.0}),
    ("bert", "embedding", {"num_hidden_layers": 2.0, "num_attention_heads": 4.0}),
    ("bert", "embedding", {"type_vocab_size": 2.0}),
    ("bert", "embedding", {"hidden_size": "32"}),
    ("bert", "embedding", {"layer_norm_eps": "1e-12"}),
    ("bert", "embedding", {"layer_norm_eps": 0}),
    ("bert", "embedding", {"layer_norm_eps": 1}),
    ("bert", "embedding", {"vocab_size": LEFT_OUT}),
    ("bert", "embedding", {"hidden_size": LEFT_OUT}),
    ("bert", "embedding", {"intermediate_size": LEFT_OUT}),
    ("bert", "embedding", {"max_position_embeddings": LEFT_OUT}),
    ("bert", "embedding", {"a_key_of_somebody": 1}),
    ("bert", "embedding", {"a_key_of_somebody": None}),
    ("bert", "embedding", {"_commit_hash": None, "transformers_weights": None}),
    ("bert", "embedding", {"is_decoder": None}),
    ("bert", "embedding", {"position_embedding_type": None}),
    ("bert", "embedding", {"pruned_heads": {}}),
    ("bert", "embedding", {"pruned_heads": None}),
    ("bert", "embedding", {"output_hidden_states": True, "output_attentions": True}),
    ("bert", "embedding", {"return_dict": False}),
    ("bert", "embedding", {"dtype": "float16"}),
    ("bert", "embedding", {"torch_dtype": "float16"}),
    ("bert", "embedding", {"_attn_implementation": "eager"}),
    ("bert", "embedding", {"attn_implementation": "sdpa"}),
    ("bert", "embedding", {"quantization_config": None}),
    ("bert", "embedding", {"gradient_checkpointing": True}),
    ("bert", "embedding", {"model_name": "x", "embedding_size": 32, "hidden_dropout": 0.1}),
    ("bert", "embedding", {"layer_norm_epsilon": 1e-5}),
    ("bert", "embedding", {"pooling": "mean"}),
    ("bert", "embedding", {"use_bfloat16": True}),
    ("bert", "embedding", {"auto_map": {}}),
    # As cointegrated/rubert-tiny2 has it, and as TinyBERT's code writes it.
    ("bert", "embedding", {"emb_size": 32}),
    ("bert", "embedding", {"cell": {}, "pre_trained": "", "structure": [], "training": ""}),
    # As PaddleNLP writes it.
    ("ernie", "embedding", {"enable_recompute": False, "fuse": False, "pool_act": "tanh", "task_id": 0}),
    ("bert", "sequence_classification", {"id2label": LEFT_OUT, "label2id": LEFT_OUT, "num_labels": 3}),
    ("bert", "sequence_classification", {"id2label": LEFT_OUT, "label2id": LEFT_OUT, "_num_labels": 3}),
    ("bert", "sequence_classification", {"id2label": LEFT_OUT, "label2id": LEFT_OUT}),
    ("bert", "sequence_classification", {"id2label": None, "label2id": None, "num_labels": 3}),
    ("bert", "sequence_classification", {"id2label": LEFT_OUT}),
    ("bert", "sequence_classification", {"label2id": LEFT_OUT}),
    ("bert", "sequence_classification", {"label2id": None}),
    ("bert", "sequence_classification", {"num_labels": 2}),
    ("bert", "sequence_classification", {"id2label": {"0": "a", "1": "b"}}),
    ("bert", "sequence_classification", {"id2label": {"2": "c", "1": "b", "0": "a"}}),
    ("bert", "sequence_classification", {"id2label": {"0": 0, "1": 1, "2": 2}, "label2id": {"0": 0, "1": 1, "2": 2}}),
    ("bert", "sequence_classification", {"problem_type": "regression"}),
    ("bert", "sequence_classification", {"problem_type": "multi_label_classification"}),
    ("bert", "sequence_classification", {"finetuning_task": "mrpc"}),
    ("bert", "sequence_classification", {"classifier_dropout": 0.5}),
    ("bert", "fill_mask", {"tie_word_embeddings": None}),
    ("distilbert", "embedding", {"intermediate_size": 99}),
    ("distilbert", "embedding", {"tie_weights_": True, "output_past": True}),
    ("distilbert", "embedding", {"dim": LEFT_OUT, "hidden_size": 32}),
    ("distilbert", "embedding", {"n_heads": LEFT_OUT, "num_attention_heads": 4}),
    ("distilbert", "embedding", {"dim": 64, "hidden_size": 32}),
    ("distilbert", "embedding", {"hidden_size": 64}),
    ("distilbert", "embedding", {"n_layers": LEFT_OUT, "num_hidden_layers": 2}),
    ("esm", "embedding", {"hidden_act": "gelu"}),
    ("esm", "embedding", {"hidden_act": "relu"}),
    ("esm", "embedding", {"token_dropout": LEFT_OUT}),
    ("esm", "embedding", {"token_dropout": None}),
    ("esm", "embedding", {"layer_norm_eps": LEFT_OUT}),
    ("esm", "embedding", {"rope_theta": LEFT_OUT, "position_embedding_type": "rotary"}),
    ("big_bird", "embedding", {"hidden_act": LEFT_OUT}),
    ("albert", "embedding", {"hidden_act": LEFT_OUT}),
    ("mobilebert", "embedding", {"hidden_act": LEFT_OUT}),
    ("albert", "embedding", {"gap_size": 0, "net_structure_type": 0, "num_memory_blocks": 0, "down_scale_factor": 1}),
    ("albert", "embedding", {"layers_to_keep": []}),
    ("electra", "embedding", {"embedding_size": LEFT_OUT}),
    ("roberta", "embedding", {"pad_token_id": LEFT_OUT}),
    ("roberta", "embedding", {"pad_token_id": None}),
    ("roberta", "embedding", {"type_vocab_size": LEFT_OUT}),
    ("xlm-roberta", "embedding", {"layer_norm_eps": LEFT_OUT}),
    ("xlm", "embedding", {"vocab_size": LEFT_OUT, "n_words": 400}),
    ("xlm", "embedding", {"gelu_activation": None}),
    ("xlm", "embedding", {"emb_dim": LEFT_OUT, "hidden_size": 32}),
    ("flaubert", "embedding", {"pre_norm": None}),
    ("deberta-v2", "embedding", {"pos_att_type": "p2c|c2p", "relative_attention": True}),
    ("deberta-v2", "embedding", {"pos_att_type": None}),
    ("deberta-v2", "embedding", {"norm_rel_ebd": "LayerNorm"}),
    ("deberta-v2", "embedding", {"position_biased_input": None}),
    ("deberta", "embedding", {"max_relative_positions": None}),
    ("t5", "embedding", {"feed_forward_proj": LEFT_OUT, "dense_act_fn": LEFT_OUT, "is_gated_act": LEFT_OUT}),
    ("t5", "embedding", {"n_positions": 512, "output_past": True, "task_specific_params": {}}),
    ("t5", "embedding", {"num_layers": LEFT_OUT, "num_hidden_layers": 2}),
    ("modernbert", "embedding", {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}}),
    ("modernbert", "embedding", {"rope_parameters": LEFT_OUT, "layer_types": LEFT_OUT}),
    ("modernbert", "embedding", {"rope_parameters": LEFT_OUT, "rope_scaling": {"type": "linear", "factor": 2.0}}),
    ("modernbert", "embedding", {"rope_parameters": LEFT_OUT, "rope_scaling": {"rope_type": "linear", "factor": 2.0}}),
    ("modernbert", "embedding", {"hidden_activation": LEFT_OUT, "hidden_act": "relu"}),
    ("gemma3_text", "embedding", {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}}),
    ("gemma3_text", "embedding", {"rope_parameters": LEFT_OUT, "rope_theta": 500.0, "rope_local_base_freq": 50.0}),
    ("eurobert", "embedding", {"rope_parameters": LEFT_OUT, "rope_theta": 250000}),
    ("eurobert", "embedding", {"num_key_value_heads": LEFT_OUT, "head_dim": LEFT_OUT}),
    ("nomic_bert", "embedding", {"rope_parameters": LEFT_OUT, "head_dim": LEFT_OUT}),
    ("gte", "embedding", {"rope_parameters": LEFT_OUT, "rope_theta": 500.0}),
    ("squeezebert", "embedding", {"embedding_size": LEFT_OUT}),
    ("ernie", "embedding", {"task_type_vocab_size": LEFT_OUT}),
    ("convbert", "embedding", {"head_ratio": LEFT_OUT, "conv_kernel_size": LEFT_OUT}),
]


def rendered(change):
    return json.dumps({key: "(left out)" if value is LEFT_OUT else value for key, value in change.items()})


def try_change(tool, architecture, task, change):
    """What transformers does with a config.json that is changed so, and what the tool does."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        make(folder, architecture, task, {}, 3, 1, False)
        tokenizer, rows = inputs(folder, architecture, task)
        config = read_json(folder / "config.json") | change
        write_json(folder / "config.json", {key: it for key, it in config.items() if it is not LEFT_OUT})
        expected, theirs = None, "computes it"
        try:
            expected, slack = computed_by_transformers(folder, architecture, task, rows, tokenizer)
        except NotMade as error:
            theirs = f"fails: {error}"
        try:
            AutoConfig.from_pretrained(folder)
        except Exception as error:
            theirs += f" (AutoConfig fails: {str(error).strip().splitlines()[0][:80]})"
        try:
            found = computed_by_tool(tool, folder, task, rows)
        except Refused as error:
            return theirs, f"refuses: {error}"
        except Failed as error:
            return theirs, f"FAULT: fails at inference: {error}"
    if expected is None:
        return theirs, "computes something"
    apart = difference(found, expected, slack, task)
    return theirs, "the same numbers" if apart <= 1 else f"FAULT: {apart * NEAR:.2g} apart"


def try_odd(tool, architectures):
    """Prints what comes of each; gives the number of faults."""
    faults = 0
    for architecture, task, change in ODD:
        if architecture in architectures:
            theirs, ours = try_change(tool, architecture, task, change)
            faults += "FAULT" in ours
            print(f"{architecture} {task} {rendered(change)}", flush=True)
            print(f"    transformers: {theirs[:220]}\n    the tool: {ours[:300]}", flush=True)
    # Each key that transformers knows, with null in its place.
    for architecture in architectures:
        alike, ours_alone = [], []
        for key in sorted(known_keys(architecture) - {"transformers_version", "architectures", "dtype"}):
            task = "sequence_classification" if architecture != "t5" else "embedding"
            theirs, ours = try_change(tool, architecture, task, {key: None})
            if (theirs, ours) == ("computes it", "the same numbers"):
                alike.append(key)
                continue
            if ours == "computes something":
                ours_alone.append(key)
                continue
            if theirs.startswith("fails"):
                continue
            faults += "FAULT" in ours
            print(f"{architecture} {key} null: transformers {theirs[:110]}; the tool {ours[:110]}", flush=True)
        print(f"{architecture}: null is the same to both for {' '.join(alike)}")
        print(f"{architecture}: null fails in transformers alone for {' '.join(ours_alone)}", flush=True)
    return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tool", required=True, help="the built `encoderfile`")
    parser.add_argument("--draws", type=int, default=40, help="how many of each architecture")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--odd", action="store_true", help="config.json files of old folders and of others")
    parser.add_argument("architectures", nargs="*", metavar="ARCHITECTURE")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    # transformers 4 does not have all.
    chosen = [it for it in arguments.architectures or ARCHITECTURES if it in CONFIG_MAPPING]
    if arguments.odd:
        sys.exit(1 if try_odd(arguments.tool, chosen) else 0)
    total = collections.Counter()
    for architecture in chosen:
        total += draw_all(arguments.tool, architecture, arguments.draws, arguments.seed)
    print(f"all: {', '.join(f'{count} {name}' for name, count in sorted(total.items()))}")
    sys.exit(1 if total["FAULT"] else 0)


if __name__ == "__main__":
    main()
