#!/usr/bin/env python3
"""Makes the folders `late-*`: ColBERT models with PyLate's own results.

    pip install pylate==1.6.0 onnx==1.23.2 onnxruntime==1.31.1
    python tests/models/make_late_interaction.py pylate
    pip install sentence-transformers==6.2.0 onnx==1.23.2    # another environment
    python tests/models/make_late_interaction.py multi-vector
    python tests/models/check_late_interaction.py

`late_interaction.md` says what was found and what the folders are. A folder is what
`ColBERT.save_pretrained` writes, with an ONNX graph instead of the weights of the
transformer, and `golden.json`. Weights come from fixed seeds, drawn widely, so that masks,
positions and prefixes all show; every run writes the same bytes. Nothing is downloaded,
and nothing here is output of this project.
"""

import json
import logging
import os
import shutil
import sys
import tempfile
import warnings
from itertools import pairwise
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
warnings.filterwarnings("ignore")

import numpy as np
import sentence_transformers
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig, BertModel, ModernBertConfig, ModernBertModel, RobertaConfig, RobertaModel,
    XLMRobertaConfig, XLMRobertaModel,
)

logging.disable(logging.CRITICAL)
transformers.utils.logging.disable_progress_bar()

MODELS = Path(__file__).parent
WORK = Path(tempfile.mkdtemp(prefix="late_interaction-"))

TOKENIZER_FILES = ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"]
SMALL = dict(vocab_size=700, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
             max_position_embeddings=200, initializer_range=0.35)
ROBERTA = SMALL | dict(pad_token_id=1, bos_token_id=0, eos_token_id=2)
MODERNBERT = ROBERTA | dict(intermediate_size=48, num_hidden_layers=3, global_attn_every_n_layers=3,
                            cls_token_id=0, sep_token_id=2)

LONG = (
    "It is a truth universally acknowledged, that a single man in possession of a good fortune, "
    "must be in want of a wife. However little known the feelings or views of such a man may be on "
    "his first entering a neighbourhood, this truth is so well fixed in the minds of the surrounding "
    "families, that he is considered as the rightful property of some one or other of their daughters. "
    "\"My dear Mr. Bennet,\" said his lady to him one day, \"have you heard that Netherfield Park is let "
    "at last?\" Mr. Bennet replied that he had not."
)
QUERIES = [
    "Who lives in Baker Street?",
    "holmes",
    "",
    " \tZoë flew from Zürich to 東京 😀 today!\n",
    "what, then, is this extraordinary mystery? (for heaven's sake: tell me...)",
    # What is spelled like a special token or a prefix is one, within a text too.
    "a [MASK] or <mask> [SEP] and [Q] or [D] or [unused0]",
    LONG,
]
DOCUMENTS = [
    "The house in Baker Street.",
    "",
    "?! ... -- (;)",
    "HOLMES, said he; \"I should like just to remember the order of the houses here.\"",
    "Zoë flew from Zürich to 東京 😀 today.",
    "It was [D] and [Q] and [MASK] : a . b , c",
    "Let me see, said Holmes, standing at the corner and glancing along the line.",
    LONG,
]
# A ranking that a rounding error would turn into another is refused.
TOLERANCE = 1e-4


# --- Reading and writing ---


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path, value):
    path.write_text(rendered(rounded(value)) + "\n", encoding="utf-8")


def rendered(value, indent=""):
    """JSON with lists of plain values, and small objects of them, on one line."""
    inner = indent + " "
    children = value.values() if isinstance(value, dict) else value
    if not isinstance(value, (dict, list)) or not any(isinstance(it, (dict, list)) for it in children):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        lines, ends = [f"{json.dumps(key)}: {rendered(it, inner)}" for key, it in value.items()], "{}"
    else:
        lines, ends = [rendered(it, inner) for it in value], "[]"
    return ends[0] + ",".join(f"\n{inner}{line}" for line in lines) + f"\n{indent}{ends[1]}"


def rounded(value):
    if isinstance(value, dict):
        return {key: rounded(it) for key, it in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(it) for it in value]
    if isinstance(value, (np.ndarray, torch.Tensor)):
        return rounded(value.tolist())
    return round(value, 7) if isinstance(value, float) else value


# --- Models ---


def drawn(model, seed, spread=0.35):
    """The model with random weights, drawn widely so that all of it shows."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        with torch.no_grad():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(noise * spread if parameter.dim() > 1 else parameter + 0.1 * noise)
    return model.eval()


def base(name, model, tokenizer):
    """A folder as transformers saves it, with the tokenizer of an older folder."""
    folder = WORK / f"{name}-base"
    model.save_pretrained(folder)
    for file in TOKENIZER_FILES:
        shutil.copyfile(MODELS / tokenizer / file, folder / file)
    return folder


def redraw_prefixes(model, seed):
    """New rows of an embedding are all but the same; these two have to differ."""
    table = model[0].auto_model.get_input_embeddings().weight
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for id in (model.query_prefix_id, model.document_prefix_id):
            if id is not None:
                table[id] = torch.randn(table.shape[1], generator=generator) * 0.35


class TokenEmbeddings(torch.nn.Module):
    """The last hidden state as a function of the model's inputs, or what `modules` make of it."""

    def __init__(self, model, modules=()):
        super().__init__()
        self.model, self.projections = model, torch.nn.ModuleList(modules)
        self.eval()

    def forward(self, input_ids, attention_mask, token_type_ids=None):
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        hidden = self.model(input_ids=input_ids, attention_mask=attention_mask, **types)[0]
        if not self.projections:
            return hidden
        for projection in self.projections:
            hidden = projection(hidden)
        return torch.nn.functional.normalize(hidden, p=2, dim=-1)


def export(module, path, output="last_hidden_state"):
    ids = torch.tensor([[5, 6, 7, 8, 9, 30, 31, 2], [9, 8, 7, 6, 5, 31, 30, 2]])
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    inputs = {"input_ids": ids, "attention_mask": mask}
    if isinstance(module.model, BertModel):
        inputs["token_type_ids"] = torch.zeros_like(ids)
    axes = {name: {0: "batch_size", 1: "sequence_length"} for name in [*inputs, output]}
    torch.onnx.export(module, tuple(inputs.values()), path, dynamo=False, opset_version=17,
                      input_names=list(inputs), output_names=[output], dynamic_axes=axes)


def assert_apart(scores):
    for better, worse in pairwise(sorted(scores, reverse=True)):
        assert better - worse > TOLERANCE, (better, worse)


# --- PyLate ---


def reference():
    from pylate.__version__ import __version__ as pylate_version

    return (f"PyLate {pylate_version}, sentence-transformers {sentence_transformers.__version__}, transformers "
            f"{transformers.__version__}, torch {torch.__version__.split('+')[0]}; float32, batch of one")


def pylate_case(model, role, text, **prompt):
    is_query = role == "query"
    everything = model.encode([text], is_query=is_query, output_value=None, show_progress_bar=False, **prompt)
    kept = everything["masks"][0]
    embeddings = model.encode([text], is_query=is_query, show_progress_bar=False, **prompt)[0]
    assert np.allclose(embeddings, everything["token_embeddings"][0][kept], atol=1e-6)
    return {
        "role": role, "text": text, **prompt,
        "input_ids": everything["input_ids"][0].tolist(),
        "attention_mask": everything["attention_mask"][0].tolist(),
        "kept": kept.astype(int).tolist(),
        "embeddings": embeddings,
    }


def pylate_golden(name, model, architecture, prompted=(), pool_factors=()):
    from pylate import rank, scores

    queries = [pylate_case(model, "query", text) for text in QUERIES]
    documents = [pylate_case(model, "document", text) for text in DOCUMENTS]
    found = [[scores.colbert_scores_pairwise([query["embeddings"]], [document["embeddings"]]).item()
              for document in documents] for query in queries]
    ranking = rank.rerank(
        documents_ids=[list(range(len(documents)))] * len(queries),
        queries_embeddings=[query["embeddings"] for query in queries],
        documents_embeddings=[[document["embeddings"] for document in documents]] * len(queries),
    )
    for row, results in zip(found, ranking):
        assert_apart(row)
        assert_apart([result["score"] for result in results])
    pooled = [{"text": LONG, "pool_factor": factor, "embeddings": model.encode(
        [LONG], is_query=False, pool_factor=factor, show_progress_bar=False)[0]} for factor in pool_factors]
    return {
        "model": name, "architecture": architecture, "task": "late_interaction", "reference": reference(),
        "settings": {
            "query_prefix_id": model.query_prefix_id, "document_prefix_id": model.document_prefix_id,
            "query_length": model.query_length, "document_length": model.document_length,
            "expansion_token_id": model.tokenizer.pad_token_id if model.do_query_expansion else None,
            "attend_to_expansion_tokens": model.attend_to_expansion_tokens,
            "skiplist": sorted(set(model.skiplist)), "embedding_size": model[-1].out_features,
        },
        "cases": queries + documents + [pylate_case(model, *case, **prompt) for *case, prompt in prompted],
        # A row is a query, a column a document; both in the order of the cases.
        "scores": found,
        "rerank": [[{"id": it["id"], "score": it["score"]} for it in results] for results in ranking],
        **({"pooled": pooled} if pooled else {}),
    }


def publish(name, folder, model, **golden):
    """Puts the folder among the others: a graph instead of weights, and the results."""
    target = MODELS / f"late-{name}"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns("README.md"))
    auto_model = model[0].auto_model
    export(TokenEmbeddings(auto_model), target / "model.onnx")
    (target / "model.safetensors").unlink()
    tokenizer = read_json(target / "tokenizer.json")
    (target / "tokenizer.json").write_text(
        json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    write_json(target / "golden.json", pylate_golden(name, model, auto_model.config.model_type, **golden))
    print(name, sum(file.stat().st_size for file in target.rglob("*") if file.is_file()) // 1000, "kB")
    return target


def saved(name, model, seed, **sentence_bert_config):
    """The model as PyLate writes and reads it again."""
    from pylate import models

    redraw_prefixes(model, seed)
    folder = WORK / name
    model.save_pretrained(str(folder), create_model_card=False)
    path = folder / "sentence_bert_config.json"
    path.write_text(json.dumps(read_json(path) | sentence_bert_config, indent=4) + "\n")
    return folder, models.ColBERT(str(folder), device="cpu")


def make_pylate(name, weights, tokenizer, seed, golden=None, sentence_bert_config=None, **settings):
    from pylate import models

    torch.manual_seed(seed)
    folder = base(name, drawn(weights, seed), tokenizer)
    model = models.ColBERT(str(folder), device="cpu", embedding_size=16, **settings)
    folder, model = saved(name, model, seed, **(sentence_bert_config or {}))
    return publish(name, folder, model, **(golden or {}))


def bert():
    return BertModel(BertConfig(**SMALL), add_pooling_layer=False)


def make_residual():
    """Several projections: another width, a bias, an activation, residuals of both kinds."""
    from pylate import models
    from sentence_transformers.models import Transformer

    torch.manual_seed(8)
    name = "roberta-residual"
    folder = base(name, drawn(RobertaModel(RobertaConfig(**ROBERTA), add_pooling_layer=False), 8), "roberta-embedding")
    projections = [
        models.Dense(32, 48, bias=True, activation_function=torch.nn.Tanh(), use_residual=True),
        models.Dense(48, 48, bias=False, activation_function=torch.nn.GELU(), use_residual=True),
        models.Dense(48, 12, bias=False),
    ]
    model = models.ColBERT(modules=[Transformer(str(folder)), *projections], device="cpu", document_length=40)
    publish(name, *saved(name, model, 8))


def make_stanford():
    """As Stanford's ColBERT saves it: one state dict of encoder and projection, artifact.metadata."""
    from pylate import models

    torch.manual_seed(9)
    name = "stanford"
    folder = base(name, drawn(bert(), 9), "bert-embedding")
    weights = {f"bert.{key}": tensor for key, tensor in load_file(folder / "model.safetensors").items()}
    weights["linear.weight"] = torch.randn(16, 32) * 0.35
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    settings = read_json(folder / "config.json") | {"architectures": ["HF_ColBERT"]}
    (folder / "config.json").write_text(json.dumps(settings, indent=2) + "\n")
    tokenizer = read_json(folder / "tokenizer.json")
    words = sorted(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].get)
    for word, unused in zip(words[-2:], ["[unused0]", "[unused1]"]):
        tokenizer["model"]["vocab"][unused] = tokenizer["model"]["vocab"].pop(word)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False))
    metadata = {
        "query_token_id": "[unused0]", "doc_token_id": "[unused1]", "query_token": "[Q]", "doc_token": "[D]",
        "dim": 16, "similarity": "cosine", "query_maxlen": 24, "doc_maxlen": 48, "mask_punctuation": True,
        "attend_to_mask_tokens": False, "checkpoint": "bert-base-uncased",
    }
    (folder / "artifact.metadata").write_text(json.dumps(metadata, indent=4) + "\n")
    target = publish(name, folder, models.ColBERT(str(folder), device="cpu"))
    # The projection is read from here, and so is needed beside the graph.
    shutil.copyfile(folder / "model.safetensors", target / "model.safetensors")


def make_projected():
    """As lightonai publishes: a graph that projects and normalizes itself, and onnx_config.json."""
    from pylate import models

    name = "modernbert-projected"
    target = make_pylate(name, ModernBertModel(ModernBertConfig(**MODERNBERT)), "modernbert-embedding", 10,
                         query_length=32, document_length=48, do_query_expansion=False)
    model = models.ColBERT(str(WORK / name), device="cpu")
    export(TokenEmbeddings(model[0].auto_model, [model[1].linear]), target / "model.onnx", output="output")
    keys = ["query_prefix", "document_prefix", "query_length", "document_length", "do_query_expansion",
            "attend_to_expansion_tokens", "skiplist_words"]
    settings = {"model_type": "ColBERT", "model_name": name, "model_class": "ModernBertModel",
                "uses_token_type_ids": False} | {key: getattr(model, key) for key in keys}
    settings |= {"embedding_dim": 16, "mask_token_id": model.tokenizer.mask_token_id,
                 "pad_token_id": model.tokenizer.pad_token_id, "query_prefix_id": model.query_prefix_id,
                 "document_prefix_id": model.document_prefix_id, "do_lower_case": False}
    (target / "onnx_config.json").write_text(json.dumps(settings, indent=2) + "\n")


def make_kept_type():
    """A ColBERT made of a SentenceTransformer keeps that one's type and similarity; PyLate reads neither."""
    from pylate import models

    torch.manual_seed(13)
    name = "bert-kept-type"
    folder = base(name, drawn(bert(), 13), "bert-embedding")
    model = models.ColBERT(str(folder), device="cpu", embedding_size=16, query_length=24, document_length=48)
    folder, _ = saved(name, model, 13)
    path = folder / "config_sentence_transformers.json"
    said = read_json(path) | {"model_type": "SentenceTransformer", "similarity_fn_name": "cosine"}
    path.write_text(json.dumps(said, indent=2) + "\n")
    publish(name, folder, models.ColBERT(str(folder), device="cpu"))


def make_stanford_projected():
    """Stanford's weights beside a list of one module, and a graph as Vespa exports it."""
    from pylate import models

    name = "stanford-projected"
    source, folder = MODELS / "late-stanford", WORK / name
    shutil.copytree(source, folder)
    module = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}
    (folder / "modules.json").write_text(json.dumps([module], indent=2) + "\n")
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 100}) + "\n")
    model = models.ColBERT(str(folder), device="cpu")
    target = publish(name, folder, model)
    export(TokenEmbeddings(model[0].auto_model, [model[1].linear]), target / "model.onnx", output="contextual")
    # Whose matrix is in the graph; the folder is read without looking there.
    weights = {"linear.weight": load_file(source / "model.safetensors")["linear.weight"]}
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})


def make_all_pylate():
    make_pylate("bert", bert(), "bert-embedding", 1, golden={"pool_factors": [2, 3]})
    make_pylate("bert-attend", bert(), "bert-embedding", 2,
                attend_to_expansion_tokens=True, query_length=24, document_length=64)
    make_pylate("bert-no-expansion", bert(), "bert-embedding", 3,
                do_query_expansion=False, query_prefix="", query_length=16, document_length=40, skiplist_words=[])
    prompts = {"query": "search for: ", "passage": "the text: "}
    prompted = [("query", QUERIES[0], {"prompt_name": "query"}), ("query", LONG, {"prompt_name": "query"}),
                ("document", DOCUMENTS[0], {"prompt_name": "passage"}), ("document", "", {"prompt_name": "passage"})]
    make_pylate("bert-lengths", bert(), "bert-embedding", 4, golden={"prompted": prompted},
                query_prefix="query: ", document_prefix="passage: ", query_length=12, document_length=20,
                # `zebra` is no token, and so stands for [UNK]; a suffix and special tokens are tokens as others.
                skiplist_words=["the", "of", "##s", ",", "zebra", "[SEP]", "[MASK]"], prompts=prompts)
    make_pylate("modernbert", ModernBertModel(ModernBertConfig(**MODERNBERT)), "modernbert-embedding", 5,
                document_length=60)
    # Expansion tokens far from the text: in layers of local attention nothing is left that they may attend to.
    make_pylate("modernbert-narrow", ModernBertModel(ModernBertConfig(**MODERNBERT, local_attention=8)),
                "modernbert-embedding", 6, document_length=60)
    make_pylate("xlm-roberta", XLMRobertaModel(XLMRobertaConfig(**ROBERTA), add_pooling_layer=False),
                "xlm-roberta-embedding", 7, sentence_bert_config={"do_lower_case": True}, document_length=60)
    make_residual()
    make_stanford()
    make_projected()
    make_kept_type()
    make_stanford_projected()


# --- sentence-transformers' own format ---


def multi_vector_case(model, role, text):
    prompt = model.prompts[role]
    features = model.preprocess([text], prompt=prompt, task=role)
    ids, mask = features["input_ids"][0].tolist(), features["attention_mask"][0].tolist()
    encode = model.encode_query if role == "query" else model.encode_document
    everything = encode([text], output_value=None)[0]
    return {"role": role, "text": text, "input_ids": ids, "attention_mask": mask,
            "kept": everything["attention_mask"].int().tolist(), "embeddings": encode([text], convert_to_numpy=True)[0]}


def publish_multi_vector(name, model, **said):
    from sentence_transformers import MultiVectorEncoder

    target = MODELS / f"late-{name}"
    shutil.rmtree(target, ignore_errors=True)
    model.save_pretrained(str(target), create_model_card=False)
    if said:
        path = target / "config_sentence_transformers.json"
        path.write_text(json.dumps(read_json(path) | said, indent=2) + "\n")
    model = MultiVectorEncoder(str(target), device="cpu")
    export(TokenEmbeddings(model[0].auto_model), target / "model.onnx")
    (target / "model.safetensors").unlink()
    cases = [multi_vector_case(model, role, text)
             for role, texts in (("query", QUERIES), ("document", DOCUMENTS)) for text in texts]
    queries, documents = ([it["embeddings"] for it in cases if it["role"] == role] for role in ("query", "document"))
    found = model.similarity(queries, documents).tolist()
    for row in found:
        assert_apart(row)
    ranking = [sorted(({"id": id, "score": score} for id, score in enumerate(row)), key=lambda it: -it["score"])
               for row in found]
    versions = (f"sentence-transformers {sentence_transformers.__version__} MultiVectorEncoder, transformers "
                f"{transformers.__version__}, torch {torch.__version__.split('+')[0]}; float32, batch of one")
    write_json(target / "golden.json", {
        "model": name, "architecture": "bert", "task": "late_interaction", "reference": versions,
        "cases": cases, "scores": found, "rerank": ranking})
    print(name, sum(file.stat().st_size for file in target.rglob("*") if file.is_file()) // 1000, "kB")


def make_unmasked(modules):
    """Expansion tokens that nothing scores, a prompt of another name, and an older similarity."""
    from sentence_transformers import MultiVectorEncoder

    transformer, dense, _, norm = modules(
        "multi-vector-unmasked", 14, None, document_length=48, query_expansion={"strategy": "fixed", "length": 16})
    publish_multi_vector("multi-vector-unmasked", MultiVectorEncoder(
        modules=[transformer, dense, norm], device="cpu",
        prompts={"query": "search for: ", "passage": "the text: "}), similarity_fn_name="cosine")


def make_mean(modules):
    """The mean over a query's vectors; expansion tokens of its own that attend and are attended to."""
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    parts = modules("multi-vector-mean", 16, MultiVectorMask(["the", ","]), document_length=40,
                    query_expansion={"strategy": "fixed", "length": 20, "attend": True, "token": "[SEP]"})
    publish_multi_vector("multi-vector-mean", MultiVectorEncoder(
        modules=parts, device="cpu", similarity_fn_name="meanmaxsim"))


def make_all_multi_vector():
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Dense, Normalize, Transformer
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    def modules(name, seed, skiplist, **settings):
        torch.manual_seed(seed)
        folder = base(name, drawn(bert(), seed), "bert-embedding")
        # Else a pooler of random weights would be added.
        transformer = Transformer(str(folder), model_kwargs={"add_pooling_layer": False}, **settings)
        dense = Dense(32, 16, bias=False, activation_function=torch.nn.Identity(), module_input_name="token_embeddings")
        return [transformer, dense, skiplist, Normalize(module_input_name="token_embeddings")]

    # Prompts are text, and no tokens of their own; a query longer than the least length is not cut to it.
    parts = modules("multi-vector", 11, MultiVectorMask(["the", ",", ".", "zebra"], skiplist_tasks=["query", "document"]),
                    query_length=40, document_length=48, query_expansion={"strategy": "min", "length": 16})
    publish_multi_vector("multi-vector", MultiVectorEncoder(
        modules=parts, device="cpu", prompts={"query": "search for: ", "document": "the text: "}))
    make_unmasked(modules)
    make_mean(modules)
    # A folder of PyLate's as sentence-transformers writes it when it has read it.
    weights = modules("converted", 12, None)[0]
    source = WORK / "converted"
    shutil.copytree(MODELS / "late-bert-attend", source)
    weights.auto_model.resize_token_embeddings(702)
    drawn(weights.auto_model, 12).save_pretrained(source)
    publish_multi_vector("multi-vector-converted", MultiVectorEncoder(str(source), device="cpu"))


if __name__ == "__main__":
    if sys.argv[1:] == ["pylate"]:
        make_all_pylate()
    elif sys.argv[1:] == ["multi-vector"]:
        make_all_multi_vector()
    else:
        sys.exit(__doc__)
