#!/usr/bin/env python3
"""Makes the folders `checkpoint-*`: models with PyTorch weights, and no ONNX graph.

    python tests/models/make_checkpoints.py           # writes the folders of this transformers
    python tests/models/make_checkpoints.py --check   # computes their references anew

Needs transformers 4.57.6, torch 2.11.0 and safetensors 0.8.0 (it was run on Python 3.11); and for
the folders of `make_newest`, whose architectures or keys only transformers 5 has, and for XLM and
FlauBERT, whose segments it reads otherwise than 4, transformers 5.24.0, torch 2.15.0 and
safetensors 0.8.0. Each writes and checks the folders of its own, whose `golden.json` says which
that was. Every run with these versions writes the same bytes; nothing is downloaded.

A folder is a tiny encoder that `save_pretrained` has written, its weights drawn from a fixed
seed, the tokenizer of an older folder, and references: `golden.json`, and `requests.json` where
masks are filled. All tensors are drawn, biases and norms too, so that each shows in the result:
without it the output is another by more than 1e-3, or the folder is refused. Those that no
output depends on are named in `WITHOUT_EFFECT`.

The references come from the folder as it is on the disk, loaded by `from_pretrained` and
computed in float32, one text at a time. Nothing here is output of this project. A reference that
a rounding error would turn into another is refused: change the folder's seed.

Folders with `auto_map` are those of architectures that had code of their own on the hub before
transformers had them: their tensors and keys are called as there, transformers reads the tensors
by its own conversion, and `as_transformers_has_it` says what the keys mean.

XLM's and FlauBERT's tokenizers exist in Python alone. Theirs here are what people make of such a
vocabulary: BPE whose words end in `</w>`, with the special tokens of the originals, trained on the
texts of older folders.
"""

import functools
import json
import math
import os
import re
import shutil
import sys
import warnings
from itertools import pairwise
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}

import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoTokenizer,
    FillMaskPipeline,
    PreTrainedTokenizerFast,
    TokenClassificationPipeline,
)

IS_NEWEST = transformers.__version__.startswith("5.")

MODELS = Path(__file__).parent
TRANSFORMERS = f"transformers {transformers.__version__}"
VERSIONS = f"{TRANSFORMERS} / torch {torch.__version__.split('+')[0]}, batch of one, float32"

# How the classes of an architecture are called.
CLASSES = {
    "albert": "Albert",
    "bert": "Bert",
    "big_bird": "BigBird",
    "camembert": "Camembert",
    "convbert": "ConvBert",
    "data2vec-text": "Data2VecText",
    "deberta": "Deberta",
    "deberta-v2": "DebertaV2",
    "distilbert": "DistilBert",
    "electra": "Electra",
    "ernie": "Ernie",
    "esm": "Esm",
    "eurobert": "EuroBert",
    "flaubert": "Flaubert",
    "gemma3_text": "Gemma3Text",
    "gte": "Gte",
    "megatron-bert": "MegatronBert",
    "mobilebert": "MobileBert",
    "modernbert": "ModernBert",
    "mpnet": "MPNet",
    "new": "Gte",
    "nomic_bert": "NomicBert",
    "rembert": "RemBert",
    "roberta": "Roberta",
    "roformer": "RoFormer",
    "squeezebert": "SqueezeBert",
    "t5": "T5Encoder",
    "xlm": "XLM",
}

HEADS = {
    "embedding": "Model",
    "fill_mask": "ForMaskedLM",
    "sequence_classification": "ForSequenceClassification",
    "token_classification": "ForTokenClassification",
}

# Architectures that call the head for masked words otherwise.
LANGUAGE_MODELS = ("flaubert", "xlm")

# A bias of keys adds the same to all scores of a query, and softmax takes it away. What is
# beside the last hidden state counts in none of these tasks, and languages only in requests that
# name one.
WITHOUT_EFFECT = re.compile(r"(key|key_proj|k_lin|attn\.k)\.bias$|pooler|contact_head|lang_embeddings")

# Neighbours in a ranking differ by more than that.
TOLERANCE = 1e-4

# Targets of fill-mask, by a kind of tokenizer: in the vocabulary, and not.
TARGETS = [
    (["she", "##augh", "were", "holmes"], ["Shepherd", "shelter", "Zürich", "impossible", "東西"]),
    (["Ġmore", "es", "Ġby", "ĠHolmes"], [" more", "essay", "Zürich", "東京", " by and by"]),
    (["▁seemed", "es", "▁his", "▁Holmes"], ["seemed", "his way", "Zürich", "東京", "estate"]),
    (["stone</w>", "es</w>", "his</w>", "window"], ["shepherd", "his way", "Zürich", "東京", "Watson"]),
]

# Whose tokenizer and texts an architecture gets that has no older folder.
OLDER = {
    "ernie": "bert",
    "eurobert": "roberta",
    "flaubert": "bert",
    "gemma3_text": "roberta",
    "gte": "xlm-roberta",
    "new": "bert",
    "nomic_bert": "bert",
    "xlm": "bert",
}

# The special tokens of XLM and FlauBERT; the second of the last is the mask.
SPECIAL = ["<s>", "</s>", "<pad>", "<unk>", "<special0>", "<special1>"]

# Whose texts their tokenizers are trained on.
CORPORA = ["bert", "distilbert", "modernbert", "roberta", "xlm-roberta"]

# The sizes of all of these.
SMALL = {
    "vocab_size": 700,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 80,
}

# Under XLM's names; the part after attention is four times as wide as the rest.
SMALL_XLM = {"vocab_size": 400, "emb_dim": 32, "n_layers": 2, "n_heads": 4, "max_position_embeddings": 80}

# What XLM's own code writes beside the settings that transformers has.
TRAINING = {
    "amp": 1,
    "bos_index": 0,
    "bptt": 512,
    "clip_grad_norm": 5,
    "encoder_only": True,
    "eos_index": 1,
    "fp16": True,
    "group_by_size": True,
    "id2lang": {"0": "fr"},
    "lang2id": {"fr": 0},
    "langs": ["fr"],
    "lg_sampling_factor": -1,
    "lgs": "fr",
    "max_batch_size": 0,
    "max_vocab": -1,
    "min_count": 0,
    "mlm_steps": [["fr", None]],
    "pad_index": 2,
    "same_enc_dec": True,
    "sample_alpha": 0,
    "share_inout_emb": True,
    "tokens_per_batch": -1,
    "word_blank": 0,
    "word_dropout": 0,
    "word_keep": 0.1,
    "word_mask": 0.8,
    "word_mask_keep_rand": "0.8,0.1,0.1",
    "word_pred": 0.15,
    "word_rand": 0.1,
    "word_shuffle": 0,
}

# MobileBERT with bottlenecks that are narrower than the rest, as in the models people use.
BOTTLENECKS = {"hidden_size": 48, "embedding_size": 24, "intra_bottleneck_size": 32}


# --- Reading and writing ---


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def rendered(value, indent=""):
    """JSON as make_models.py writes it: lists of plain values are on one line."""
    inner = indent + " "
    children = value.values() if isinstance(value, dict) else value
    if not isinstance(value, (dict, list)) or not any(isinstance(it, (dict, list)) for it in children):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        lines = [f"{json.dumps(key)}: {rendered(it, inner)}" for key, it in value.items()]
        return "{" + ",".join(f"\n{inner}{line}" for line in lines) + f"\n{indent}}}"
    lines = [rendered(it, inner) for it in value]
    return "[" + ",".join(f"\n{inner}{line}" for line in lines) + f"\n{indent}]"


def rounded(value):
    if isinstance(value, dict):
        return {key: rounded(it) for key, it in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(it) for it in value]
    if isinstance(value, torch.Tensor):
        return rounded(value.tolist())
    if hasattr(value, "item"):
        return rounded(value.item())
    return round(value, 7) if isinstance(value, float) else value


def older(architecture, task="embedding"):
    """The older folder of an architecture."""
    architecture = OLDER.get(architecture, architecture)
    if architecture == "mobilebert" and task == "embedding":
        task = "sequence_classification"
    return MODELS / f"{architecture}-{task}"


def texts(folder, *places):
    """Texts of an older folder; the last is longer than 64 tokens."""
    cases = read_json(folder / "golden.json")["cases"]
    return [cases[place]["text"] for place in places or (0, 1, 4, 6)]


# --- Checkpoints ---


def drawn(architecture, task, std, seed, changes):
    """A model of the older folder's size, with `changes` in its config.json."""
    if architecture in LANGUAGE_MODELS:
        settings = SMALL_XLM
    elif architecture in OLDER and IS_NEWEST:
        settings = SMALL
    else:
        settings = read_json(older(architecture) / "config.json")
    leave_out = ("architectures", "id2label", "label2id", "transformers_version")
    settings = {key: value for key, value in settings.items() if key not in leave_out}
    if "classification" in task:
        settings["id2label"] = read_json(older("bert", task) / "config.json")["id2label"]
        settings["label2id"] = {label: int(id) for id, label in settings["id2label"].items()}
    settings |= changes | {"model_type": "gte" if architecture == "new" else architecture}
    config = AutoConfig.for_model(**settings)
    weights = model_class(architecture, task)(config).eval()
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in weights.named_parameters():
        # Sinusoids stay what they are.
        is_sinusoid = changes.get("sinusoidal_embeddings") and "position_embeddings" in name
        if parameter.requires_grad and not is_sinusoid:
            parameter.data.normal_(neutral(weights, name, parameter), std, generator=generator)
    return runnable(weights)


class NoCache:
    """Of text generation; transformers 5.24 fails where norms stand first and none is given."""

    def get_seq_length(self):
        return 0

    def __getitem__(self, layer):
        return None


def runnable(weights):
    if getattr(weights.config, "pre_norm", False):
        weights.forward = functools.partial(weights.forward, cache=NoCache())
    return weights


def model_class(architecture, task):
    head = "WithLMHeadModel" if task == "fill_mask" and architecture in LANGUAGE_MODELS else HEADS[task]
    return getattr(transformers, CLASSES[architecture] + head)


def neutral(weights, name, parameter):
    """What has no effect in the tensor's place: 1 for the factors of a norm, but Gemma's."""
    is_factor = parameter.dim() == 1 and name.endswith("weight")
    return 1.0 if is_factor and weights.config.model_type != "gemma3_text" else 0.0


def check_that_all_show(weights, tokenizer, text):
    """Without any of its tensors, the model gives something else."""
    inputs = tokenizer(text, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        expected = weights(**inputs)[0]
        assert expected.isfinite().all()
        for name, parameter in weights.named_parameters():
            kept = parameter.data.clone()
            parameter.data.fill_(neutral(weights, name, parameter))
            difference = (weights(**inputs)[0] - expected).abs().max().item()
            parameter.data.copy_(kept)
            assert difference > 1e-3 or WITHOUT_EFFECT.search(name), (name, difference)


def make(
    architecture,
    task,
    *,
    name=None,
    std=0.35,
    seed=1,
    dtype=torch.float32,
    size="5GB",
    pickled=False,
    sentences=None,
    original=None,
    older_names=True,
    inputs=None,
    tokenizer=None,
    **changes,
):
    """A folder: the checkpoint, the tokenizer (or another architecture's), the references."""
    folder = MODELS / (name or f"checkpoint-{architecture}-{task}")
    shutil.rmtree(folder, ignore_errors=True)
    weights = drawn(architecture, task, std, seed, changes)
    # transformers writes an architecture's older names, unless it is told not to.
    form = {"save_original_format": older_names} if IS_NEWEST else {"safe_serialization": not pickled}
    weights.to(dtype).save_pretrained(folder, max_shard_size=size, **form)
    if original:
        original(folder)
    if name == "checkpoint-bert-old-names":
        name_as_tensorflow(folder)
    if isinstance(changes.get("pos_att_type"), str):
        # transformers writes the list that it makes of it.
        change_config(folder, pos_att_type=changes["pos_att_type"])
    if architecture in LANGUAGE_MODELS:
        write_word_end_tokenizer(folder, architecture, inputs)
    else:
        # The newest transformers wrote T5's, which this one reads otherwise.
        copy_tokenizer(older("camembert" if architecture == "t5" else tokenizer or architecture), folder)
    sentences = sentences or texts(older(architecture))
    check_that_all_show(weights.float(), tokenizer_of(folder, architecture), sentences[0])
    for file, text in references(folder, architecture, task, sentences).items():
        (folder / file).write_text(text, encoding="utf-8")
    print(folder.name, flush=True)


def copy_tokenizer(source, folder):
    for file in ("tokenizer_config.json", "special_tokens_map.json"):
        if (source / file).exists() and source != folder:
            shutil.copyfile(source / file, folder / file)
    text = json.dumps(read_json(source / "tokenizer.json"), ensure_ascii=False, separators=(",", ":"))
    (folder / "tokenizer.json").write_text(text + "\n", encoding="utf-8")


def write_word_end_tokenizer(folder, architecture, inputs):
    """BPE as XLM has it; FlauBERT's keeps capitals and accents. `inputs`: `model_input_names`."""
    bare = [normalizers.NFD(), normalizers.Lowercase(), normalizers.StripAccents()]
    normalizer = normalizers.NFC() if architecture == "flaubert" else normalizers.Sequence(bare)
    tokenizer = Tokenizer(word_end_model(normalizer))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.BPEDecoder(suffix="</w>")
    tokenizer.add_special_tokens(SPECIAL)
    ids = [(name, tokenizer.token_to_id(name)) for name in ("<s>", "</s>")]
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A </s>", "<s> $A </s> $B:1 </s>:1", ids)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=64,
        bos_token="<s>",
        sep_token="</s>",
        cls_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<special1>",
        **({"model_input_names": inputs} if inputs else {}),
    ).save_pretrained(folder)
    copy_tokenizer(folder, folder)


def word_end_model(normalizer):
    """BPE of the texts of `CORPORA`, whose characters beyond Latin-1 are unknown."""
    corpora = [read_json(MODELS / f"{it}-embedding" / "golden.json")["cases"] for it in CORPORA]
    pieces = [case["text"].encode("latin-1", "ignore").decode("latin-1") for cases in corpora for case in cases]
    letters = sorted(set("".join(map(normalizer.normalize_str, pieces))) - {" "})
    options = {"unk_token": "<unk>", "end_of_word_suffix": "</w>", "fuse_unk": True}
    draft = Tokenizer(models.BPE(**options))
    draft.normalizer, draft.pre_tokenizer = normalizer, pre_tokenizers.BertPreTokenizer()
    trainer = trainers.BpeTrainer(
        vocab_size=SMALL_XLM["vocab_size"],
        # Letters that end a word would be numbered in another order by every run.
        special_tokens=[*SPECIAL, *(letter + "</w>" for letter in letters)],
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    draft.train_from_iterator(pieces, trainer)
    trained = json.loads(draft.to_str())["model"]
    return models.BPE(vocab=trained["vocab"], merges=[tuple(it) for it in trained["merges"]], **options)


def tokenizer_of(folder, architecture):
    """The folder's; the same in the older folder, where config.json names code, which is not run."""
    names_code = "auto_map" in read_json(folder / "config.json")
    return AutoTokenizer.from_pretrained(older(architecture) if names_code else folder)


def change_config(folder, **changes):
    config = read_json(folder / "config.json") | changes
    text = json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False)
    (folder / "config.json").write_text(text + "\n", encoding="utf-8")


def leave_out_defaults(folder):
    """Leaves in config.json what is not the class's own default."""
    config = read_json(folder / "config.json")
    defaults = CONFIG_MAPPING[config["model_type"]]().to_dict()
    kept = ("architectures", "model_type", "vocab_size")
    config = {key: it for key, it in config.items() if key in kept or it != defaults.get(key)}
    text = json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False)
    (folder / "config.json").write_text(text + "\n", encoding="utf-8")


def scale_positions(folder):
    change_config(folder, rope_scaling={"rope_type": "linear", "factor": 4.0})


def name_as_bert(folder):
    """Sizes by the names that DistilBERT's `attribute_map` has for them."""
    path = folder / "config.json"
    config = read_json(path)
    for name, key in CONFIG_MAPPING[config["model_type"]].attribute_map.items():
        config[name] = config.pop(key)
    path.write_text(json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def name_as_tensorflow(folder):
    """As BERT was converted at first: with heads, and with other names for norms."""
    path = folder / "model.safetensors"
    tensors = {}
    for name, tensor in load_file(path).items():
        name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        tensors["bert." + name] = tensor
    generator = torch.Generator().manual_seed(1)
    for name, shape in {
        "cls.predictions.bias": [700],
        "cls.predictions.transform.dense.weight": [32, 32],
        "cls.predictions.transform.dense.bias": [32],
        "cls.predictions.transform.LayerNorm.gamma": [32],
        "cls.predictions.transform.LayerNorm.beta": [32],
        "cls.seq_relationship.weight": [2, 32],
        "cls.seq_relationship.bias": [2],
    }.items():
        tensors[name] = torch.randn(shape, generator=generator)
    tensors["bert.embeddings.position_ids"] = torch.arange(80).unsqueeze(0)
    save_file(tensors, path, metadata={"format": "pt"})


def flaubert_original(folder):
    """As the first checkpoints were: with a head, a buffer, and the keys of training."""
    path = folder / "model.safetensors"
    tensors = {"transformer." + name: tensor for name, tensor in load_file(path).items()}
    tensors["transformer.position_ids"] = torch.arange(80).unsqueeze(0)
    tensors["pred_layer.proj.weight"] = tensors["transformer.embeddings.weight"].clone()
    tensors["pred_layer.proj.bias"] = torch.ones(len(tensors["pred_layer.proj.weight"]))
    save_file(tensors, path, metadata={"format": "pt"})
    config = read_json(folder / "config.json")
    config["n_words"] = config.pop("vocab_size")
    text = json.dumps(config | TRAINING, indent=2, sort_keys=True, ensure_ascii=False)
    (folder / "config.json").write_text(text + "\n", encoding="utf-8")


# --- Folders of the time before transformers had the architecture ---


def rename(folder, old, new):
    """The encoder's prefix, as the folder's own code calls it; the other names are written so."""
    path = folder / "model.safetensors"
    tensors = {re.sub(rf"^{old}\.", f"{new}.", name): tensor for name, tensor in load_file(path).items()}
    save_file(tensors, path, metadata={"format": "pt"})


def rewrite_config(folder, code, classes, keys):
    """The keys of the folder's own code; those that transformers has too stay."""
    config = read_json(folder / "config.json")
    kept = ("architectures", "id2label", "label2id", "model_type", "pad_token_id", "problem_type", "vocab_size")
    heads = {"AutoConfig": "Config", "AutoModel": "Model"} | {f"AutoModel{it}": it for it in list(HEADS.values())[1:]}
    files = {key: "configuration" if key == "AutoConfig" else "modeling" for key in heads}
    config = {key: config[key] for key in kept if key in config} | {
        "auto_map": {key: f"{code}--{files[key]}.{classes}{head}" for key, head in heads.items()},
        "architectures": [classes + name.removeprefix(CLASSES[config["model_type"]]) for name in config["architectures"]],
        "transformers_version": "4.37.2",
    } | keys
    text = json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False)
    (folder / "config.json").write_text(text + "\n", encoding="utf-8")


def nomic_original(folder, newer=()):
    """As nomic-ai/nomic-embed-text-v1.5 is on the hub, of late with keys of transformers too."""
    config = read_json(folder / "config.json")
    rewrite_config(
        folder,
        "nomic-ai/nomic-bert-2048",
        "NomicBert",
        {key: config[key] for key in newer}
        | {
            "activation_function": "swiglu",
            "attn_pdrop": 0.0,
            "causal": False,
            "dense_seq_output": True,
            "embd_pdrop": 0.0,
            "fused_bias_fc": True,
            "fused_dropout_add_ln": True,
            "layer_norm_epsilon": config["layer_norm_eps"],
            "max_trained_positions": config["max_position_embeddings"],
            "mlp_fc1_bias": False,
            "mlp_fc2_bias": False,
            "n_embd": config["hidden_size"],
            "n_head": config["num_attention_heads"],
            "n_inner": config["intermediate_size"],
            "n_layer": config["num_hidden_layers"],
            "n_positions": config["max_position_embeddings"],
            "pad_vocab_size_multiple": 4,
            "parallel_block": False,
            "parallel_block_tied_norm": False,
            "prenorm": False,
            "qkv_proj_bias": False,
            "reorder_and_upcast_attn": False,
            "resid_pdrop": 0.0,
            "rotary_emb_base": config["rope_parameters"]["rope_theta"],
            "rotary_emb_fraction": 1.0,
            "rotary_emb_interleaved": False,
            "rotary_emb_scale_base": None,
            "rotary_scaling_factor": None,
            "scale_attn_by_inverse_layer_idx": False,
            "scale_attn_weights": True,
            "summary_first_dropout": 0.0,
            "summary_proj_to_labels": True,
            "type_vocab_size": config["type_vocab_size"],
            "use_flash_attn": True,
            "use_rms_norm": False,
            "use_xentropy": True,
        },
    )
    rename(folder, "nomic_bert", "bert")


def nomic_both(folder):
    newer = ["head_dim", "hidden_act", "hidden_size", "intermediate_size", "layer_norm_eps", "max_position_embeddings"]
    nomic_original(folder, [*newer, "num_attention_heads", "num_hidden_layers", "rope_parameters"])


def new_original(scaling):
    """As Alibaba-NLP/gte-base-en-v1.5 is on the hub."""

    def write(folder):
        config = read_json(folder / "config.json")
        same = [
            "hidden_act",
            "hidden_size",
            "intermediate_size",
            "layer_norm_eps",
            "max_position_embeddings",
            "num_attention_heads",
            "num_hidden_layers",
            "type_vocab_size",
        ]
        rewrite_config(
            folder,
            "Alibaba-NLP/new-impl",
            "New",
            {key: config[key] for key in same}
            | {
                "layer_norm_type": "layer_norm",
                "logn_attention_clip1": False,
                "logn_attention_scale": False,
                "model_type": "new",
                "pack_qkv": True,
                "position_embedding_type": "rope",
                "rope_scaling": scaling,
                "rope_theta": 5000,
                "unpad_inputs": False,
                "use_memory_efficient_attention": False,
            },
        )
        rename(folder, "gte", "new")

    return write


def as_transformers_has_it(config):
    """What transformers calls the settings of such a folder."""
    same = ("id2label", "label2id", "pad_token_id", "type_vocab_size", "vocab_size")
    settings = {key: config[key] for key in same if key in config}
    if config["model_type"] == "nomic_bert":
        return AutoConfig.for_model(
            "nomic_bert",
            **settings,
            hidden_size=config["n_embd"],
            intermediate_size=config["n_inner"],
            layer_norm_eps=config["layer_norm_epsilon"],
            max_position_embeddings=config["max_trained_positions"],
            num_attention_heads=config["n_head"],
            num_hidden_layers=config["n_layer"],
            rope_parameters={"rope_type": "default", "rope_theta": config["rotary_emb_base"]},
        )
    rope = {"rope_type": "default", "rope_theta": config["rope_theta"]}
    if scaling := config["rope_scaling"]:
        # Fixed NTK scaling (https://kexue.fm/archives/9706, formula 6) is another base of the
        # frequencies, and all of them divided by the same number.
        head = config["hidden_size"] // config["num_attention_heads"]
        rope["rope_theta"] *= scaling["factor"]
        rope |= {"rope_type": "linear", "factor": scaling["factor"] ** (2 / head)}
    same = ("hidden_act", "hidden_size", "intermediate_size", "layer_norm_eps", "max_position_embeddings")
    settings |= {key: config[key] for key in (*same, "num_attention_heads", "num_hidden_layers")}
    return AutoConfig.for_model("gte", **settings, rope_parameters=rope)


# --- References ---


def loaded(folder, architecture, task):
    kind = model_class(architecture, task)
    config = read_json(folder / "config.json")
    options = {}
    if "auto_map" in config:
        options = {"config": as_transformers_has_it(config), "key_mapping": {r"^bert\.": "nomic_bert."}}
    weights, info = kind.from_pretrained(folder, dtype=torch.float32, output_loading_info=True, **options)
    assert not info["missing_keys"] and not info["mismatched_keys"], info
    without = ("cls.", "pred_layer.", "transformer.position_ids")
    assert all(name.startswith(without) for name in info["unexpected_keys"]), info
    return runnable(weights.eval())


def references(folder, architecture, task, sentences):
    """The texts of golden.json and requests.json, by name."""
    tokenizer = tokenizer_of(folder, architecture)
    weights = loaded(folder, architecture, task)
    golden = {"model": folder.name, "architecture": architecture, "task": task, "max_length": 64}
    if task == "fill_mask":
        return of_fill_mask(golden, weights, tokenizer, texts(older(architecture), 6)[0])
    case = {
        "embedding": embedding_case,
        "sequence_classification": sequence_classification_case,
        "token_classification": token_classification_case,
    }[task]
    cases = []
    for text in sentences:
        # A text, or both of a pair.
        text, *pair = (text,) if isinstance(text, str) else text
        encoding = tokenizer(text, *pair, truncation=True, return_offsets_mapping=True)
        offsets = [list(offsets) for offsets in encoding.pop("offset_mapping")]
        found = {"text": text} | ({"text_pair": pair[0]} if pair else {})
        found |= {"input_ids": encoding["input_ids"], "tokens": encoding.tokens(), "offsets": offsets}
        with torch.inference_mode():
            output = weights(**{key: torch.tensor([ids]) for key, ids in encoding.items()})[0][0]
        cases.append(found | case(output, weights, tokenizer, text))
    return {"golden.json": file_text(golden | {"reference": VERSIONS, "cases": cases})}


def file_text(value):
    return rendered(rounded(value)) + "\n"


def embedding_case(hidden, weights, tokenizer, text):
    return {"mean": hidden.mean(0), "cls": hidden[0], "last_token": hidden[-1]}


def sequence_classification_case(logits, weights, tokenizer, text):
    assert_apart(sorted(logits.tolist(), reverse=True))
    label = weights.config.id2label[logits.argmax().item()]
    return {"logits": logits, "scores": logits.softmax(0), "label": label}


def token_classification_case(logits, weights, tokenizer, text):
    for row in logits.tolist():
        assert_apart(sorted(row, reverse=True)[:2])
    if len(tokenizer(text)["input_ids"]) > 64:
        return {"logits": logits}
    pipeline = TokenClassificationPipeline(model=weights, tokenizer=tokenizer)
    names = ["none", "simple", "first", "average", "max"]
    return {"logits": logits, "pipeline": {name: pipeline(text, aggregation_strategy=name) for name in names}}


def assert_apart(ranking):
    for better, worse in pairwise(ranking):
        assert better - worse > TOLERANCE, (better, worse)


def of_fill_mask(golden, weights, tokenizer, long):
    """The requests of `bert-fill_mask`, as make_models.py makes them."""
    pipeline = FillMaskPipeline(model=weights, tokenizer=tokenizer)
    mask, pad, sep = tokenizer.mask_token, tokenizer.pad_token, tokenizer.sep_token
    vocabulary = tokenizer.get_vocab()
    [(known, unknown)] = [it for it in TARGETS if all(word in vocabulary for word in it[0])]
    assert not any(word in vocabulary for word in unknown)
    plain = [
        f"I shall look into the {mask} between this and then.",
        f"Zoë flew from {mask} to 東京 😀 today.",
        mask,
        f"{mask}, said he; and what then?",
        # Spelled-out special tokens are special tokens, and are left out of the sequence.
        f"We do n't know {pad} that , do we ? He 's {mask} . {sep} !",
    ]
    requests = []
    for name, options, items in [
        ("default", {}, plain),
        ("top-k", {"top_k": 2}, plain[:2]),
        ("several-masks", {"top_k": 3}, [f"{mask} {mask}", f"The {mask} was not the {mask} , he said ."]),
        ("targets", {"targets": known}, plain[:2]),
        ("targets-top-k", {"targets": known, "top_k": 1}, [plain[0], f"{mask}: {mask}"]),
        # A word that is no entry of the vocabulary stands for its first token.
        ("targets-unknown", {"targets": unknown}, plain[:2]),
        ("truncated", {"top_k": 2}, [f"{mask} {long}"]),
        ("truncated-left", {"top_k": 2, "truncation_side": "left"}, [f"{long} {mask}."]),
    ]:
        results = [fill_masks(pipeline, item, options) for item in items]
        items = [{"text": item} for item in items]
        requests.append({"name": name, "options": options, "items": items, "results": results})
    reference = f"{TRANSFORMERS} fill-mask pipeline; with truncation=True for the tokenizer"
    cases = [{"text": text} for text in plain]
    return {
        "golden.json": file_text(golden | {"reference": reference, "cases": cases}),
        "requests.json": file_text({"reference": reference, "requests": requests}),
    }


def fill_masks(pipeline, text, options):
    arguments = {key: options[key] for key in ("top_k", "targets") if key in options}
    tokenizer = pipeline.tokenizer
    tokenizer.truncation_side = options.get("truncation_side", "right")

    def masks(**arguments):
        # The pipeline itself never cuts a text and fails on a long one.
        found = pipeline(text, tokenizer_kwargs={"truncation": True}, **arguments)
        # It gives a list of lists only where there are several masks.
        return found if isinstance(found[0], list) else [found]

    # The best that is left out must be clearly worse, too.
    more = {"targets": options["targets"]} if "targets" in options else {"top_k": options.get("top_k", 5) + 1}
    for fillings in masks(**more):
        assert_apart([math.log(filling["score"]) for filling in fillings])
    total = len(tokenizer(text, truncation=False, verbose=False)["input_ids"])
    used = len(tokenizer(text, truncation=True)["input_ids"])
    return {"masks": masks(**arguments)} | ({"tokens_total": total, "tokens_used": used} if used < total else {})


# --- The folders ---


def make_fill_masks():
    for architecture in [
        "albert",
        "bert",
        "big_bird",
        "convbert",
        "data2vec-text",
        "deberta-v2",
        "distilbert",
        "electra",
        "megatron-bert",
        "modernbert",
        "mpnet",
        "rembert",
        "roberta",
        "roformer",
        "squeezebert",
    ]:
        make(architecture, "fill_mask")
    make("ernie", "fill_mask", use_task_id=True, task_type_vocab_size=3)
    # As in ESM-2.
    make("esm", "fill_mask", token_dropout=True)
    make("mobilebert", "fill_mask", std=0.2, normalization_type="layer_norm", **BOTTLENECKS)
    make("bert", "fill_mask", name="checkpoint-bert-untied-fill_mask", tie_word_embeddings=False)


def make_token_classifications():
    for architecture in [
        "albert",
        "big_bird",
        "camembert",
        "convbert",
        "data2vec-text",
        "deberta",
        "esm",
        "megatron-bert",
        "mpnet",
        "rembert",
        "roformer",
        "squeezebert",
    ]:
        make(architecture, "token_classification")
    # Queries and keys of the layer's own input: the bottleneck has to be as wide as that.
    make("mobilebert", "token_classification", std=0.15, embedding_size=24, key_query_shared_bottleneck=False)


def make_others():
    # Without norms, values grow with every layer: 0.15 is as wide as they stay small.
    make("mobilebert", "embedding", std=0.2, normalization_type="layer_norm", **BOTTLENECKS)
    make(
        "mobilebert",
        "embedding",
        name="checkpoint-mobilebert-no_norm-embedding",
        std=0.15,
        seed=2,
        use_bottleneck_attention=True,
        key_query_shared_bottleneck=False,
        **BOTTLENECKS,
    )
    biases = {f"{part}_bias": True for part in ("attention", "mlp", "norm", "classifier")}
    make(
        "modernbert",
        "sequence_classification",
        name="checkpoint-modernbert-mean-sequence_classification",
        classifier_pooling="mean",
        num_hidden_layers=4,
        global_attn_every_n_layers=3,
        **biases,
    )
    make("bert", "embedding", name="checkpoint-bert-sharded", size="60KB")
    make("bert", "embedding", name="checkpoint-bert-old-names")
    make("bert", "embedding", name="checkpoint-bert-float16", dtype=torch.float16)
    make("roberta", "embedding", name="checkpoint-roberta-bfloat16", dtype=torch.bfloat16)
    make("roberta", "token_classification", name="checkpoint-roberta-pickled", pickled=True)
    make("bert", "embedding", name="checkpoint-bert-pickled-sharded", size="60KB", pickled=True)
    # All texts have more tokens than `max_relative_positions`.
    positions = {"max_relative_positions": 32, "position_biased_input": True, "type_vocab_size": 2}
    make(
        "deberta-v2",
        "embedding",
        name="checkpoint-deberta-v2-positions",
        sentences=texts(older("albert"), 0, 1, 2, 6),
        share_att_key=False,
        pos_att_type=["c2p"],
        position_buckets=8,
        norm_rel_ebd="none",
        **positions,
    )
    make(
        "deberta-v2",
        "embedding",
        name="checkpoint-deberta-v2-convolution",
        conv_kernel_size=3,
        conv_act="gelu",
        conv_groups=2,
        attention_head_size=8,
    )
    # No text has more tokens than (5 + 2 · random blocks) blocks: all attend to all.
    make(
        "big_bird",
        "embedding",
        name="checkpoint-big_bird-block_sparse",
        attention_type="block_sparse",
        block_size=8,
        num_random_blocks=2,
    )
    make(
        "deberta",
        "embedding",
        name="checkpoint-deberta-old",
        sentences=texts(older("deberta"), 0, 3, 4, 6),
        pos_att_type="c2p|p2c",
        **positions,
    )
    make("electra", "embedding", name="checkpoint-electra-narrow", embedding_size=16, hidden_size=32)
    make("t5", "embedding", sentences=texts(older("albert")))
    make(
        "t5",
        "embedding",
        name="checkpoint-t5-gated-embedding",
        sentences=texts(older("albert")),
        feed_forward_proj="gated-gelu",
        is_gated_act=True,
        dense_act_fn="gelu_new",
    )
    sentences = texts(older("esm"))
    sentences[1] = "The [MASK] was not the [MASK] , he said ."
    make(
        "esm",
        "embedding",
        name="checkpoint-esm-absolute",
        sentences=sentences,
        position_embedding_type="absolute",
        emb_layer_norm_before=True,
        token_dropout=True,
    )
    make(
        "albert",
        "embedding",
        name="checkpoint-albert-groups",
        # After eight wide layers all tokens would be the same.
        std=0.15,
        num_hidden_layers=4,
        num_hidden_groups=2,
        inner_group_num=2,
    )


def make_newest():
    """What only transformers 5 has."""
    make("nomic_bert", "fill_mask")
    make("nomic_bert", "token_classification", older_names=False)
    # Nomic's code makes a multiple of 256 of it.
    make("nomic_bert", "embedding", original=nomic_both, intermediate_size=256, type_vocab_size=1)
    make("nomic_bert", "sequence_classification", original=nomic_original, intermediate_size=256)
    make("gte", "fill_mask")
    make("gte", "token_classification", older_names=False)
    scaled = {"type": "ntk", "factor": 2.0}
    make("new", "embedding", std=0.3, original=new_original(scaled), type_vocab_size=0, pad_token_id=0)
    make("new", "sequence_classification", original=new_original(None), type_vocab_size=2, pad_token_id=0)
    ids = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    fewer = ids | {"num_key_value_heads": 2}
    make("eurobert", "embedding", **fewer)
    make("eurobert", "fill_mask", mlp_bias=True, attention_bias=True, **ids)
    make("eurobert", "sequence_classification", **fewer)
    make("eurobert", "token_classification", head_dim=16, **fewer)
    gemma = fewer | {"head_dim": 16, "sliding_window": 8, "use_bidirectional_attention": True}
    gemma |= {"layer_types": ["sliding_attention", "full_attention"], "query_pre_attn_scalar": 24}
    make("gemma3_text", "embedding", **gemma)
    make("gemma3_text", "sequence_classification", **gemma)
    make(
        "modernbert",
        "embedding",
        name="checkpoint-modernbert-layer_types",
        layer_types=["sliding_attention", "full_attention"],
        rope_parameters={
            "full_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 5000.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
        },
        local_attention=8,
        # Of BERT, as answerdotai/ModernBERT-base has it: nothing reads it.
        layer_norm_eps=0.5,
    )
    make("esm", "embedding", name="checkpoint-esm-rope_theta", rope_theta=100.0)
    # No request names a language, and so none is added.
    make("xlm", "embedding", n_langs=2)
    make("xlm", "fill_mask")
    # Segments are the words with their numbers.
    sentences = texts(older("xlm"))
    make(
        "xlm",
        "sequence_classification",
        sentences=[*sentences, sentences[:2]],
        inputs=["input_ids", "token_type_ids", "attention_mask"],
        summary_type="mean",
        summary_activation="tanh",
    )
    make("xlm", "token_classification", sinusoidal_embeddings=True, gelu_activation=False)
    make("flaubert", "embedding", original=flaubert_original)
    make("flaubert", "fill_mask")
    # No norm stands after the last part.
    first = {"std": 0.25, "pre_norm": True}
    make("flaubert", "embedding", name="checkpoint-flaubert-pre_norm-embedding", layerdrop=0.5, **first)
    make("flaubert", "sequence_classification", summary_type="last", **first)


def make_settings():
    """What config.json does not say, or says otherwise than most do: what `draw_settings.py` found."""
    for architecture in ("big_bird", "esm", "modernbert"):
        make(architecture, "embedding", name=f"checkpoint-{architecture}-defaults", original=leave_out_defaults)
    make("squeezebert", "embedding", name="checkpoint-squeezebert-epsilon", layer_norm_eps=0.5)
    norms = {"normalization_type": "layer_norm", "layer_norm_eps": 0.5}
    make("mobilebert", "embedding", name="checkpoint-mobilebert-epsilon", std=0.2, **norms, **BOTTLENECKS)
    # More rows than are reached are not those of the usual number.
    make("mpnet", "embedding", name="checkpoint-mpnet-buckets", relative_attention_num_buckets=64)
    # Without relative attention scores are divided as in BERT, whatever `pos_att_type` says.
    positions = {"pos_att_type": ["c2p", "p2c"], "position_biased_input": True, "relative_attention": False}
    make("deberta", "embedding", name="checkpoint-deberta-absolute", **positions)
    make("deberta-v2", "embedding", name="checkpoint-deberta-v2-absolute", norm_rel_ebd="none", **positions)
    ids = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    make("eurobert", "sequence_classification", name="checkpoint-eurobert-late", clf_pooling="late", **ids)
    sentences = texts(older("bert"))
    make(
        "roberta",
        "sequence_classification",
        name="checkpoint-roberta-segments",
        sentences=[*sentences, sentences[:2]],
        tokenizer="bert",
        type_vocab_size=2,
        max_position_embeddings=80,
        vocab_size=700,
    )
    # Layer 9 is of group 6.
    uneven = {"num_hidden_layers": 18, "num_hidden_groups": 14}
    make("albert", "embedding", name="checkpoint-albert-uneven", std=0.09, **uneven)
    make("bert", "embedding", name="checkpoint-bert-mish", hidden_act="mish")
    make("distilbert", "embedding", name="checkpoint-distilbert-other-names", original=name_as_bert)
    make("deberta-v2", "fill_mask", name="checkpoint-deberta-v2-not-legacy", legacy=False)
    make("modernbert", "embedding", name="checkpoint-modernbert-scaled", original=scale_positions)
    # transformers fails over a pair, whose second text its tokenizer numbers 1.
    make("bert", "sequence_classification", name="checkpoint-bert-one-segment", type_vocab_size=1)


def check():
    """Computes the references of every folder again; they are the same bytes."""
    for path in sorted(MODELS.glob("checkpoint-*/golden.json")):
        folder, golden = path.parent, read_json(path)
        # make_jina_bert.py makes those of an architecture that transformers does not have.
        if TRANSFORMERS not in golden["reference"] or golden["architecture"] not in CLASSES:
            continue
        sentences = [(it["text"], it["text_pair"]) if "text_pair" in it else it["text"] for it in golden["cases"]]
        found = references(folder, golden["architecture"], golden["task"], sentences)
        for file, text in found.items():
            assert text == (folder / file).read_text(encoding="utf-8"), (folder.name, file)
        print(f"{folder.name}: {len(found)} files are the same", flush=True)


def main():
    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    warnings.filterwarnings("ignore")
    if "--check" in sys.argv:
        check()
        return
    if IS_NEWEST:
        make_newest()
        make_settings()
        return
    make_fill_masks()
    make_token_classifications()
    make_others()


if __name__ == "__main__":
    main()
