#!/usr/bin/env python3
"""Makes model folders and reference results: what the older folders do not show.

    pip install -r tests/models/requirements.txt
    python tests/models/make_models.py

Every run writes the same bytes; nothing is downloaded. Two kinds of output:

* new folders: a tiny PyTorch model with random weights from a fixed seed, its
  ONNX export (checked against PyTorch with ONNX Runtime), a tokenizer of an
  older folder, `golden.json`;
* `requests.json` in new and older folders: requests in this project's terms,
  and what the reference library makes of them. Older folders have no PyTorch
  weights; there the library runs with their ONNX graph.

Nothing here is output of this project. A reference that a rounding error would
turn into another (two labels of almost the same score, a weight of almost 0)
is refused: change its text or the folder's seed.
"""

import json
import logging
import math
import os
import shutil
import tempfile
import warnings
from itertools import pairwise
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}

import numpy as np
import onnxruntime
import sentence_transformers
import torch
import transformers
from optimum.exporters.onnx import main_export
from optimum.onnxruntime import ORTModelForSequenceClassification, ORTModelForTokenClassification
from sentence_transformers import CrossEncoder, SentenceTransformer, SparseEncoder
from sentence_transformers.base.modules import Dense, Transformer
from sentence_transformers.sentence_transformer.modules import LayerNorm, Normalize, Pooling
from sentence_transformers.sparse_encoder.modules import SpladePooling
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertModel,
    DistilBertConfig,
    DistilBertForMaskedLM,
    FillMaskPipeline,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaForSequenceClassification,
    RobertaModel,
    TextClassificationPipeline,
    TokenClassificationPipeline,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
    ZeroShotClassificationPipeline,
)

MODELS = Path(__file__).parent
WORK = Path(tempfile.mkdtemp(prefix="make_models-"))

TRANSFORMERS = f"transformers {transformers.__version__}"
SENTENCE_TRANSFORMERS = f"sentence-transformers {sentence_transformers.__version__}"

TOKENIZER_FILES = ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"]
WORDPIECE = "bert-embedding"
BYTE_LEVEL_BPE = "roberta-embedding"
UNIGRAM = "xlm-roberta-embedding"
# The same as WORDPIECE, for a model without `token_type_ids`.
DISTILBERT_WORDPIECE = "distilbert-embedding"

# The tests allow 1e-4 between a result and its reference.
TOLERANCE = 1e-4
largest_onnx_difference = 0.0


# --- Reading and writing ---


def read_json(path: Path):
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, value) -> None:
    path.write_text(rendered(rounded(value)) + "\n", encoding="utf-8")


def rendered(value, indent: str = "") -> str:
    """JSON with lists of plain values, and small objects of them, on one line."""
    inner = indent + " "
    children = value.values() if isinstance(value, dict) else value
    if not isinstance(value, (dict, list)) or not any(isinstance(it, (dict, list)) for it in children):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        lines = [f"{json.dumps(key)}: {rendered(it, inner)}" for key, it in value.items()]
        opening, closing = "{", "}"
    else:
        lines = [rendered(it, inner) for it in value]
        opening, closing = "[", "]"
    return opening + ",".join(f"\n{inner}{line}" for line in lines) + f"\n{indent}{closing}"


def rounded(value):
    if isinstance(value, dict):
        return {key: rounded(it) for key, it in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(it) for it in value]
    if isinstance(value, (float, np.floating)):
        return round(float(value), 7)
    return int(value) if isinstance(value, np.integer) else value


def texts(name: str) -> list[str]:
    """The texts of an older folder; the last is the longest."""
    return [case["text"] for case in read_json(MODELS / name / "golden.json")["cases"]]


def cut(text: str, characters: int) -> str:
    """The beginning of a text, to a space."""
    return text[:characters].rsplit(" ", 1)[0]


def write_golden(name: str, architecture: str, task: str, max_length: int, reference: str, cases) -> None:
    golden = {
        "model": name,
        "architecture": architecture,
        "task": task,
        "max_length": max_length,
        "reference": reference,
        "cases": list(cases),
    }
    write_json(MODELS / name / "golden.json", golden)


class Requests:
    """The `requests.json` of a folder."""

    def __init__(self, name: str, reference: str):
        self.name, self.reference, self.requests = name, reference, []

    def add(self, name: str, options: dict, items: list, results: list) -> None:
        assert all(name != request["name"] for request in self.requests), name
        items = [{"text": item} if isinstance(item, str) else item for item in items]
        self.requests.append({"name": name, "options": options, "items": items, "results": results})

    def write(self) -> None:
        value = {"reference": self.reference, "requests": self.requests}
        write_json(MODELS / self.name / "requests.json", value)
        cases = sum(len(request["items"]) for request in self.requests)
        print(f"{self.name}: {len(self.requests)} requests, {cases} items")


def assert_apart(ranking: list[float]) -> None:
    """Neighbours in a ranking differ by more than rounding does."""
    for better, worse in pairwise(ranking):
        assert better - worse > TOLERANCE, (better, worse)


def assert_probabilities_apart(ranking: list[float]) -> None:
    assert_apart([math.log(probability) for probability in ranking])


# --- Models ---


def config(kind, hidden_size: int = 32, **changes):
    """The size of the older folders' models. With `hidden_size` 16, those whose
    output is over the vocabulary: the export stores the embeddings twice."""
    sizes = {
        "vocab_size": 700,
        "max_position_embeddings": 80,
        # Wide, so that attention, masks and positions all show in the output.
        "initializer_range": 0.35,
    }
    if kind is DistilBertConfig:
        sizes |= {"dim": hidden_size, "hidden_dim": 64, "n_layers": 2, "n_heads": 4}
        return kind(**sizes, **changes)
    sizes |= {
        "hidden_size": hidden_size,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
    }
    if kind in (RobertaConfig, XLMRobertaConfig):
        # Their positions count from `pad_token_id` + 1.
        sizes["max_position_embeddings"] = 82
    return kind(**sizes, **changes)


def model(kind, configuration, seed: int):
    torch.manual_seed(seed)
    return kind(configuration).eval()


def draft(name: str, weights, tokenizer: str, max_length: int = 64, **tokenizer_changes) -> Path:
    """A folder as transformers would save it, weights included."""
    folder = WORK / name
    weights.save_pretrained(folder)
    for file in TOKENIZER_FILES:
        shutil.copyfile(MODELS / tokenizer / file, folder / file)
    changes = {"model_max_length": max_length} | tokenizer_changes
    settings = read_json(folder / "tokenizer_config.json") | changes
    settings = {key: value for key, value in settings.items() if value is not None}
    write_settings(folder / "tokenizer_config.json", settings)
    return folder


def write_settings(path: Path, settings) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_compact(path: Path, value) -> None:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    path.write_text(text + "\n", encoding="utf-8")


def publish(name: str, folder: Path, weights, task: str, checked: list[str]) -> None:
    """Puts a folder among the others, with an ONNX graph instead of the weights."""
    exported = WORK / f"{name}-onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main_export(folder, exported, task=task, library_name="transformers", do_validation=False)
    target = MODELS / name
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(folder, target)
    # The weights of further modules (`2_Dense/model.safetensors`) stay.
    (target / "model.safetensors").unlink()
    tokenizer = read_json(target / "tokenizer.json")
    write_compact(target / "tokenizer.json", tokenizer)
    shutil.copyfile(exported / "model.onnx", target / "model.onnx")
    compare_with_onnx(target, weights, checked)


def compare_with_onnx(folder: Path, weights, checked: list[str]) -> None:
    global largest_onnx_difference
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    names = [it.name for it in session.get_inputs()]
    for pair in [(text,) for text in checked] + [(checked[0], text) for text in checked]:
        inputs = tokenizer(*pair, truncation=True, return_tensors="pt")
        inputs = {name: inputs[name] for name in names}
        with torch.inference_mode():
            expected = weights(**inputs)[0].numpy()
        got = session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})[0]
        difference = float(np.abs(expected - got).max())
        assert difference < TOLERANCE, (folder.name, difference)
        largest_onnx_difference = max(largest_onnx_difference, difference)


def usage(tokenizer, text: str, pair: str | None = None, truncation: str | bool = True) -> dict:
    """How much of a text the model saw, where that is not all of it."""
    total = len(tokenizer(text, pair, truncation=False, verbose=False)["input_ids"])
    used = len(tokenizer(text, pair, truncation=truncation)["input_ids"])
    return {"tokens_total": total, "tokens_used": used} if used < total else {}


# --- Fill-mask ---


def fill_masks(pipeline: FillMaskPipeline, text: str, options: dict) -> dict:
    arguments = {key: options[key] for key in ("top_k", "targets") if key in options}
    pipeline.tokenizer.truncation_side = options.get("truncation_side", "right")
    # The pipeline itself never cuts a text and fails on a long one.
    cutting = {"tokenizer_kwargs": {"truncation": True}}

    def masks(**arguments):
        found = pipeline(text, **cutting, **arguments)
        # It gives a list of lists only where there are several masks.
        return found if isinstance(found[0], list) else [found]

    # The best that is left out must be clearly worse, too.
    more = {"targets": options["targets"]} if "targets" in options else {"top_k": options.get("top_k", 5) + 1}
    for fillings in masks(**more):
        assert_probabilities_apart([filling["score"] for filling in fillings])
    return {"masks": masks(**arguments)} | usage(pipeline.tokenizer, text)


def make_fill_mask(name: str, weights, tokenizer: str, known: list, unknown: list, **changes) -> None:
    """`known` and `unknown` are targets: in the vocabulary, and not."""
    # The head's own norm: with large logits some words are much likelier than others.
    *_, norm = (it for it in weights.modules() if isinstance(it, torch.nn.LayerNorm))
    torch.nn.init.normal_(norm.weight, mean=2.0, std=0.35)
    torch.nn.init.normal_(weights.get_output_embeddings().bias, std=0.35)
    folder = draft(name, weights, tokenizer, **changes)
    if name == "roberta-fill_mask":
        take_space_before_mask(folder)
    mask = AutoTokenizer.from_pretrained(folder).mask_token
    sentences = texts(tokenizer)
    long = sentences[-1]
    publish(name, folder, weights, "fill-mask", [f"{mask} {text}" for text in sentences])

    pipeline = FillMaskPipeline(model=weights, tokenizer=AutoTokenizer.from_pretrained(folder))
    requests = Requests(name, f"{TRANSFORMERS} fill-mask pipeline; with truncation=True for the tokenizer")

    def add(name: str, options: dict, items: list[str]) -> None:
        requests.add(name, options, items, [fill_masks(pipeline, item, options) for item in items])

    plain = [
        f"I shall look into the {mask} between this and then.",
        f"Zoë flew from {mask} to 東京 😀 today.",
        mask,
        f"{mask}, said he; and what then?",
        # Spelled-out special tokens are special tokens, and are left out of the sequence.
        f"We do n't know {pipeline.tokenizer.pad_token} that , do we ? He 's {mask} . "
        f"{pipeline.tokenizer.sep_token} !",
    ]
    add("default", {}, plain)
    add("top-k", {"top_k": 2}, plain[:2])
    add("several-masks", {"top_k": 3}, [f"{mask} {mask}", f"The {mask} was not the {mask} , he said ."])
    vocabulary = pipeline.tokenizer.get_vocab()
    assert all(word in vocabulary for word in known)
    assert not any(word in vocabulary for word in unknown)
    add("targets", {"targets": known}, plain[:2])
    add("targets-top-k", {"targets": known, "top_k": 1}, [plain[0], f"{mask}: {mask}"])
    # A word that is no entry of the vocabulary stands for its first token, and
    # two words with the same first token for one target.
    add("targets-unknown", {"targets": unknown}, plain[:2])
    add("truncated", {"top_k": 2}, [f"{mask} {long}"])
    add("truncated-left", {"top_k": 2, "truncation_side": "left"}, [f"{long} {mask}."])
    requests.write()
    cases = [{"text": text} for text in plain]
    write_golden(name, weights.config.model_type, "fill_mask", 64, requests.reference, cases)


def take_space_before_mask(folder: Path) -> None:
    """As in the RoBERTa models people use, `<mask>` takes the space before it."""
    tokenizer = read_json(folder / "tokenizer.json")
    settings = read_json(folder / "tokenizer_config.json")
    added = tokenizer["added_tokens"] + list(settings["added_tokens_decoder"].values())
    for token in added:
        token["lstrip"] = token["content"] == "<mask>"
    write_compact(folder / "tokenizer.json", tokenizer)
    write_settings(folder / "tokenizer_config.json", settings)


def make_fill_masks() -> None:
    # WordPiece decoders tidy up spaces themselves, unless tokenizer.json says no.
    # `clean_up_tokenization_spaces` is absent here, which means False.
    make_fill_mask(
        "bert-fill_mask",
        model(BertForMaskedLM, config(BertConfig, 16), 11),
        WORDPIECE,
        known=["she", "##augh", "were", "holmes"],
        unknown=["Shepherd", "shelter", "Zürich", "impossible", "東西"],
        clean_up_tokenization_spaces=None,
    )
    make_fill_mask(
        "roberta-fill_mask",
        model(RobertaForMaskedLM, config(RobertaConfig, 16), 12),
        BYTE_LEVEL_BPE,
        known=["Ġmore", "es", "Ġby", "ĠHolmes"],
        unknown=[" more", "essay", "Zürich", "東京", " by and by"],
        clean_up_tokenization_spaces=True,
    )
    make_fill_mask(
        "xlm-roberta-fill_mask",
        model(XLMRobertaForMaskedLM, config(XLMRobertaConfig, 16), 13),
        UNIGRAM,
        known=["▁seemed", "es", "▁his", "▁Holmes"],
        unknown=["seemed", "his way", "Zürich", "東京", "estate"],
    )


# --- Sparse embeddings ---


def encode_sparse(encoder: SparseEncoder, text: str, options: dict) -> dict:
    arguments = {key: options[key] for key in ("prompt", "prompt_name") if key in options}
    role = {"query": encoder.encode_query, "document": encoder.encode_document}
    encode = role[options["role"]] if "role" in options else encoder.encode
    encoder.tokenizer.truncation_side = options.get("truncation_side", "right")
    prompt = prompt_of(encoder, options)

    # No weight may be so near 0 that rounding decides whether it is there.
    with torch.inference_mode():
        logits = encoder[0](encoder.preprocess([prompt + text]))["token_embeddings"]
    assert logits.amax(dim=(0, 1)).abs().min() > TOLERANCE

    weights = encode(text, convert_to_sparse_tensor=False, **arguments)
    if "top_k" in options:
        ranking = weights.sort(descending=True).values.tolist()
        assert_apart(ranking[options["top_k"] - 1 : options["top_k"] + 1])
        weights = encode(
            text, convert_to_sparse_tensor=False, max_active_dims=options["top_k"], **arguments
        )
    values = [{"index": index, "value": value} for index, value in enumerate(weights.tolist()) if value > 0]
    return {"sparse_embedding": values} | usage(encoder.tokenizer, prompt + text)


def prompt_of(encoder, options: dict) -> str:
    """What the reference puts in front of the text."""
    if "prompt" in options:
        return options["prompt"]
    name = options.get("prompt_name") or options.get("role") or encoder.default_prompt_name
    return encoder.prompts[name] if name else ""


def make_sparse(name: str, encoder: SparseEncoder, sentences: list[str], requests: list) -> None:
    file = Requests(name, f"{SENTENCE_TRANSFORMERS} SparseEncoder.encode, max_active_dims for top_k")
    for request, options, items in requests:
        file.add(request, options, items, [encode_sparse(encoder, item, options) for item in items])
    file.write()
    architecture = encoder[0].config.model_type
    cases = [{"text": text} for text in sentences]
    write_golden(name, architecture, "sparse_embedding", encoder.max_seq_length, file.reference, cases)


def sparse_weights(kind, configuration, seed: int, bias: float):
    """Few logits are above 0, as in trained SPLADE models."""
    weights = model(kind, configuration, seed)
    torch.nn.init.normal_(weights.get_output_embeddings().bias, mean=bias, std=0.35)
    return weights


def make_splade_max() -> None:
    """Configuration as sentence-transformers 5.0 to 5.3 wrote it."""
    name = "splade-max"
    weights = sparse_weights(BertForMaskedLM, config(BertConfig, 16), 21, -3.6)
    folder = draft(name, weights, WORDPIECE)
    module = "sentence_transformers.sparse_encoder.models"
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": f"{module}.MLMTransformer.MLMTransformer"},
        {"idx": 1, "name": "1", "path": "1_SpladePooling", "type": f"{module}.SpladePooling.SpladePooling"},
    ]
    write_settings(folder / "modules.json", modules)
    write_settings(folder / "sentence_bert_config.json", {"max_seq_length": 48, "do_lower_case": False})
    pooling = {"pooling_strategy": "max", "activation_function": "relu", "word_embedding_dimension": 700}
    write_settings(folder / "1_SpladePooling/config.json", pooling)
    settings = {
        "model_type": "SparseEncoder",
        "__version__": {"sentence_transformers": "5.0.0", "transformers": "4.57.6", "pytorch": "2.15.0"},
        "prompts": {"query": "", "document": ""},
        "default_prompt_name": None,
        "similarity_fn_name": "dot",
    }
    write_settings(folder / "config_sentence_transformers.json", settings)

    sentences = texts("st-mean-normalize")
    publish(name, folder, weights, "fill-mask", sentences)
    items = [*sentences, "", "[MASK] or 北京?"]
    requests = [
        ("default", {}, items),
        ("top-k", {"top_k": 8}, [sentences[2], sentences[-1]]),
        ("role-without-prompt", {"role": "query"}, sentences[:1]),
        ("truncated-left", {"truncation_side": "left"}, sentences[-1:]),
    ]
    make_sparse(name, SparseEncoder(str(folder), device="cpu"), items, requests)


def make_splade_sum() -> None:
    name = "splade-sum-log1p"
    weights = sparse_weights(DistilBertForMaskedLM, config(DistilBertConfig, 16), 22, -3.6)
    folder = draft(f"{name}-parts", weights, DISTILBERT_WORDPIECE, max_length=48)
    encoder = SparseEncoder(
        modules=[
            Transformer(str(folder), transformer_task="fill-mask"),
            SpladePooling("sum", activation_function="log1p_relu", embedding_dimension=700),
        ],
        prompts={"query": "what is known of: ", "document": "passage: "},
        default_prompt_name="document",
        device="cpu",
    )
    folder = WORK / name
    encoder.save_pretrained(str(folder), create_model_card=False)

    sentences = texts("st-prompts")
    publish(name, folder, weights, "fill-mask", sentences)
    items = [sentences[0], sentences[4], sentences[-1]]
    requests = [
        ("default", {}, [*items, ""]),
        ("top-k", {"top_k": 8}, items[:2]),
        ("prompt-name", {"prompt_name": "query"}, items),
        ("role-query", {"role": "query"}, items[:1]),
        ("role-document", {"role": "document"}, items[:1]),
        ("prompt", {"prompt": "Find this: "}, items[:2]),
        ("no-prompt", {"prompt": ""}, items[:2]),
        ("prompt-top-k", {"prompt_name": "query", "top_k": 4}, items[1:]),
    ]
    make_sparse(name, SparseEncoder(str(folder), device="cpu"), sentences, requests)


# --- Classification: pairs and zero-shot ---


def classify(pipeline: TextClassificationPipeline, item: dict, options: dict) -> dict:
    truncation = options.get("truncation", "longest_first")
    pipeline.tokenizer.truncation_side = options.get("truncation_side", "right")

    def values(**arguments):
        found = pipeline(item, top_k=None, truncation=truncation, **arguments)
        by_label = {it["label"]: it["score"] for it in found}
        return [by_label[label] for label in pipeline.model.config.id2label.values()]

    logits = values(function_to_apply="none")
    assert_apart(sorted(logits, reverse=True))
    return {
        "logits": logits,
        "scores": logits if options.get("raw_scores") else values(),
        "predicted_label": pipeline.model.config.id2label[int(np.argmax(logits))],
    } | usage(pipeline.tokenizer, item["text"], item.get("text_pair"), truncation)


def choose(pipeline: ZeroShotClassificationPipeline, text: str, options: dict) -> dict:
    arguments = {"multi_label": True} if options.get("multi_label") else {}
    template = options.get("template", "This example is {}.")
    found = pipeline(
        text, candidate_labels=options["labels"], hypothesis_template=template, **arguments
    )
    assert_probabilities_apart(found["scores"])
    result = {"labels": found["labels"], "scores": found["scores"]}
    if len(options["labels"]) > 1:
        # Every label makes a pair of its own length.
        return result
    pair = template.format(options["labels"][0])
    return result | usage(pipeline.tokenizer, text, pair, "only_first")


def make_nli_requests() -> None:
    name = "cls-pair-nli"
    parts = {
        "model": ORTModelForSequenceClassification.from_pretrained(MODELS / name, file_name="model.onnx"),
        "tokenizer": AutoTokenizer.from_pretrained(MODELS / name),
        "device": "cpu",
    }
    requests = Requests(
        name, f"{TRANSFORMERS} zero-shot-classification and text-classification pipelines over model.onnx"
    )
    long = texts("bert-embedding")[-1]
    other = cut(texts("bert-token_classification")[-1], 260)
    short = "We have already a clue."
    odd = "Der Ångström-Preis ging an François 🚀 in 北京"

    pipeline = ZeroShotClassificationPipeline(**parts)
    labels = ["travel", "a crime", "Müller & Söhne", "the weather"]
    for request, options, items in [
        ("zero-shot", {"labels": labels}, [short, odd, "!", long]),
        ("zero-shot-one-label", {"labels": labels[1:2]}, [short, odd, long]),
        ("zero-shot-multi-label", {"labels": labels, "multi_label": True}, [short, odd, long]),
        ("zero-shot-template", {"labels": labels, "template": "{}: that it is about!"}, [short, odd]),
        ("zero-shot-template-one", {"labels": labels[:1], "template": "Is it {}?"}, [long]),
    ]:
        requests.add(request, options, items, [choose(pipeline, item, options) for item in items])

    pipeline = TextClassificationPipeline(**parts)
    alone = [{"text": long}]
    first = [{"text": long, "text_pair": short}, {"text": other, "text_pair": odd}]
    second = [{"text": short, "text_pair": long}, {"text": odd, "text_pair": other}]
    both = [{"text": long, "text_pair": other}, {"text": other, "text_pair": long}]
    # The reference refuses to cut one text of a pair when the other leaves it no room.
    for request, options, items in [
        ("pairs", {}, [*first, *second, *both, *alone]),
        ("pairs-longest-first", {"truncation": "longest_first"}, both),
        ("pairs-only-first", {"truncation": "only_first"}, first),
        ("pairs-only-second", {"truncation": "only_second"}, second),
        ("pairs-left", {"truncation_side": "left"}, [*first, *second, *both, *alone]),
        ("pairs-only-first-left", {"truncation": "only_first", "truncation_side": "left"}, first),
        ("pairs-only-second-left", {"truncation": "only_second", "truncation_side": "left"}, second),
        ("raw-scores", {"raw_scores": True}, [second[0], {"text": odd}]),
    ]:
        requests.add(request, options, items, [classify(pipeline, item, options) for item in items])
    requests.write()


# --- Token classification in windows ---


class Spans(TokenClassificationPipeline):
    """The pipeline, with noise on the logits where that is asked for."""

    noise = 0.0

    def _forward(self, model_inputs):
        outputs = super()._forward(model_inputs)
        noise = torch.rand(outputs["logits"].shape) * 2 - 1
        outputs["logits"] = outputs["logits"] + self.noise * noise
        return outputs


def find_spans(pipeline: Spans, text: str, options: dict) -> dict:
    names = {"aggregation": "aggregation_strategy", "ignore_labels": "ignore_labels", "stride": "stride"}
    arguments = {names[key]: value for key, value in options.items() if key in names}
    tokenizer = pipeline.tokenizer
    tokenizer.truncation_side = options.get("truncation_side", "right")

    def run(noise: float):
        pipeline.noise = noise
        return pipeline(text, **arguments)

    entities = run(0.0)
    without_score = [entity | {"score": None} for entity in entities]
    for _ in range(8):
        again = [entity | {"score": None} for entity in run(TOLERANCE)]
        assert again == without_score, "rounding changes the entities"
    return {"entities": entities} | window_usage(tokenizer, text, options)


def window_usage(tokenizer, text: str, options: dict) -> dict:
    if "stride" not in options:
        return usage(tokenizer, text)
    total = len(tokenizer(text, truncation=False, verbose=False)["input_ids"])
    windows = tokenizer(
        text, truncation=True, return_overflowing_tokens=True, stride=options["stride"]
    )
    count = len(windows["input_ids"])
    return {"tokens_total": total, "tokens_used": total, "windows": count} if count > 1 else {}


def make_span_requests(name: str, two: int, three: int, many: int, ignored: list, **default) -> None:
    """The numbers are of characters that make so many windows; `default` is
    in the options of the requests with `stride`."""
    folder = MODELS / name
    pipeline = Spans(
        model=ORTModelForTokenClassification.from_pretrained(folder, file_name="model.onnx"),
        tokenizer=AutoTokenizer.from_pretrained(folder),
        device="cpu",
    )
    requests = Requests(name, f"{TRANSFORMERS} token-classification pipeline over model.onnx")
    torch.manual_seed(40)
    sentences = texts(name)
    # The emoji and the letters that are several tokens come early.
    whole = " ".join([sentences[4], sentences[0], sentences[-1], *sentences[1:4]])
    two, three, many = (cut(whole, it) for it in (two, three, many))

    def add(name: str, options: dict, items: list[str]) -> None:
        requests.add(name, options, items, [find_spans(pipeline, item, options) for item in items])

    strategies = ["simple", "first", "average", "max"]
    for strategy in strategies:
        add(f"stride-8-{strategy}", {"stride": 8, "aggregation": strategy} | default, [two])
    for strategy in strategies:
        add(f"stride-16-{strategy}", {"stride": 16, "aggregation": strategy} | default, [three])
    few = {"aggregation": "simple", "ignore_labels": ignored}
    add("stride-8-many", {"stride": 8} | few, [many])
    add("stride-0", {"stride": 0} | few, [two])
    add("stride-16-left", {"stride": 16, "truncation_side": "left"} | few, [three])
    add("stride-one-window", {"stride": 8} | few, [sentences[0], ""])
    add("truncated", {"aggregation": "max"} | default, [two])
    add("ignore-nothing", {"aggregation": "average", "ignore_labels": []}, [sentences[0]])
    add("ignore-groups", {"aggregation": "first", "ignore_labels": ignored}, [sentences[0]])
    # Groups have the labels without B- and I-, tokens with.
    tokens = [f"B-{label}" for label in ignored] + ignored
    add("ignore-tokens", {"aggregation": "none", "ignore_labels": tokens}, [sentences[0]])
    requests.write()


def make_spans() -> None:
    # The labels that these random models give most differ.
    make_span_requests("bert-token_classification", 190, 330, 640, ["PER", "ORG"])
    make_span_requests("roberta-token_classification", 150, 260, 540, ["PER", "ORG"])
    make_span_requests("xlm-roberta-token_classification", 220, 380, 640, ["O", "PER"], ignore_labels=[])


# --- Sentence embeddings ---


def encode(encoder: SentenceTransformer, text: str, options: dict) -> dict:
    if options.get("long") == "mean":
        return mean_of_windows(encoder, text, options)
    role = options.get("role")
    if role == "document" and not encoder.prompts["document"]:
        # Ours is the first of document, passage, corpus that the folder names.
        # The library takes its own empty `document` before the folder's `passage`.
        role, options = None, options | {"prompt_name": "passage"}
    call = {None: encoder.encode, "query": encoder.encode_query, "document": encoder.encode_document}
    arguments = {key: options[key] for key in ("prompt", "prompt_name") if key in options}
    if "dimensions" in options:
        arguments["truncate_dim"] = options["dimensions"]
        # What is cut from a unit vector is made one again; the library leaves that to the caller.
        arguments["normalize_embeddings"] = is_normalized(encoder)
    if options.get("normalize"):
        arguments["normalize_embeddings"] = True
    encoder.tokenizer.truncation_side = options.get("truncation_side", "right")
    embedding = call[role](text, **arguments)
    prompt = prompt_of(encoder, options)
    return {"embedding": embedding.tolist()} | usage(encoder.tokenizer, prompt + text)


def is_normalized(encoder: SentenceTransformer) -> bool:
    return isinstance(encoder[-1], Normalize)


def without_norm(encoder: SentenceTransformer) -> SentenceTransformer:
    """The library has no request for that; this is `normalize: false`."""
    return SentenceTransformer(
        modules=list(encoder)[:-1],
        prompts=encoder.prompts,
        default_prompt_name=encoder.default_prompt_name,
        device="cpu",
    )


def mean_of_windows(encoder: SentenceTransformer, text: str, options: dict) -> dict:
    """This project's own definition of `long: mean`, in PyTorch.

    Special tokens and prompt stand in every window; the tokens between them
    are divided evenly among as few windows as hold them.
    """
    prompt = prompt_of(encoder, options)
    ids = encoder.tokenizer(prompt + text, truncation=False, verbose=False)["input_ids"]
    # A prompt's length includes the special token before it. Byte-level BPE
    # counts a space at the end of the prompt, although together with a text it
    # is part of the text's first token, which then counts as the prompt's.
    head = encoder[0]._get_prompt_length(prompt) if prompt else 1
    before, content, after = ids[:head], ids[head:-1], ids[-1:]
    room = encoder.max_seq_length - len(before) - len(after)
    count = max(1, math.ceil(len(content) / room))
    ends = [len(content) * window // count for window in range(count + 1)]
    vectors = []
    for start, end in pairwise(ends):
        window = torch.tensor([before + content[start:end] + after])
        features = {"input_ids": window, "attention_mask": torch.ones_like(window)}
        if prompt:
            features["prompt_length"] = head
        with torch.inference_mode():
            vectors.append(encoder(features)["sentence_embedding"][0])
    vector = torch.stack(vectors).mean(dim=0)
    if is_normalized(encoder):
        vector = torch.nn.functional.normalize(vector, dim=0)
    if "dimensions" in options:
        vector = vector[: options["dimensions"]]
        if is_normalized(encoder):
            vector = torch.nn.functional.normalize(vector, dim=0)
    windows = {"tokens_total": len(ids), "tokens_used": len(ids), "windows": count} if count > 1 else {}
    return {"embedding": vector.tolist()} | windows


def make_sentences(
    name: str, folder: Path, weights, sentences: list[str], requests: list, note: str = ""
) -> None:
    publish(name, folder, weights, "feature-extraction", sentences)
    encoder = SentenceTransformer(str(folder), device="cpu")
    reference = f"{SENTENCE_TRANSFORMERS} encode(), batch of one, float32"
    file = Requests(name, f"{reference}{note}")
    for request, options, items in requests:
        raw = options.get("normalize") is False and is_normalized(encoder)
        used = without_norm(encoder) if raw else encoder
        file.add(request, options, items, [encode(used, item, options) for item in items])
    file.write()
    cases = []
    for text in sentences:
        # As in the older folders, the count is of the text without a prompt.
        tokens = len(encoder.tokenizer(text, truncation=False, verbose=False)["input_ids"])
        cases.append({"text": text, "embedding": encode(encoder, text, {})["embedding"], "tokens": tokens})
    architecture = encoder[0].config.model_type
    write_golden(name, architecture, "sentence_embedding", encoder.max_seq_length, reference, cases)


def save_sentence_model(name: str, modules: list, **settings) -> Path:
    """As the newest sentence-transformers saves a model."""
    folder = WORK / name
    encoder = SentenceTransformer(modules=modules, device="cpu", **settings)
    encoder.save_pretrained(str(folder), create_model_card=False)
    return folder


def write_old_sentence_model(folder: Path, modules: list, do_lower_case: bool = False) -> None:
    """As sentence-transformers before 5.4 saved a model: the module and its settings, each."""
    listed = []
    for index, (module, settings) in enumerate([("Transformer", None), *modules]):
        path = f"{index}_{module}" if index else ""
        kind = f"sentence_transformers.models.{module}"
        listed.append({"idx": index, "name": str(index), "path": path, "type": kind})
        (folder / path).mkdir(exist_ok=True)
        if settings is not None:
            write_settings(folder / path / "config.json", settings)
    write_settings(folder / "modules.json", listed)
    limits = {"max_seq_length": 48, "do_lower_case": do_lower_case}
    write_settings(folder / "sentence_bert_config.json", limits)
    versions = {"sentence_transformers": "3.0.0", "transformers": "4.57.6", "pytorch": "2.15.0"}
    settings = {
        "__version__": versions,
        "prompts": {},
        "default_prompt_name": None,
        "similarity_fn_name": None,
    }
    write_settings(folder / "config_sentence_transformers.json", settings)


def old_pooling(mode: str) -> dict:
    modes = ["cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens"]
    modes += ["weightedmean_tokens", "lasttoken"]
    flags = {f"pooling_mode_{it}": it == mode for it in modes}
    return {"word_embedding_dimension": 32} | flags | {"include_prompt": True}


def make_dense_layernorm() -> None:
    name = "st-dense-layernorm"
    weights = model(BertModel, config(BertConfig), 51)
    transformer = Transformer(str(draft(f"{name}-parts", weights, WORDPIECE, max_length=48)))
    norm = LayerNorm(24)
    torch.nn.init.normal_(norm.norm.weight, mean=1.0, std=0.35)
    torch.nn.init.normal_(norm.norm.bias, std=0.35)
    modules = [
        transformer,
        Pooling(32, "mean"),
        Dense(32, 24, bias=False, activation_function=torch.nn.GELU()),
        norm,
        Dense(24, 16, bias=True, activation_function=torch.nn.Identity()),
        Normalize(),
    ]
    folder = save_sentence_model(name, modules)
    sentences = [*texts("st-mean-dense-normalize"), ""]
    requests = [
        ("dimensions", {"dimensions": 5}, sentences[:2]),
        ("normalize", {"normalize": True}, sentences[:1]),
        ("no-norm", {"normalize": False}, sentences[:2]),
        ("no-norm-dimensions", {"normalize": False, "dimensions": 5}, sentences[:1]),
        ("truncated-left", {"truncation_side": "left"}, sentences[-2:-1]),
    ]
    make_sentences(name, folder, weights, sentences, requests, "; normalize false: without the last module")


def make_norm_dense() -> None:
    name = "st-norm-dense"
    weights = model(BertModel, config(BertConfig), 52)
    folder = draft(name, weights, WORDPIECE)
    # Before 5.0 there were no keys for the names of input and output.
    dense = {
        "in_features": 32,
        "out_features": 20,
        "bias": True,
        "activation_function": "torch.nn.modules.activation.Tanh",
    }
    modules = [("Pooling", old_pooling("cls_token")), ("Normalize", None), ("Dense", dense)]
    write_old_sentence_model(folder, modules)
    Dense(32, 20).save_torch_weights(str(folder / "3_Dense"))
    sentences = texts("st-cls")
    requests = [
        ("normalize", {"normalize": True}, sentences[:2]),
        ("dimensions", {"dimensions": 6}, sentences[:2]),
        ("dimensions-normalize", {"dimensions": 6, "normalize": True}, sentences[:2]),
        ("no-norm", {"normalize": False}, sentences[:1]),
    ]
    make_sentences(name, folder, weights, sentences, requests)


def make_lowercase() -> None:
    """A cased tokenizer, and `do_lower_case`.

    sentence-transformers 5.7 lower-cases in the tokenizer's normalizer, and so
    after special tokens are found: `[MASK]` in a text is one, `[mask]` is none.
    It does so letter by letter, whatever a letter's place in the word (the Greek
    final sigma). 5.0 called Python's `lower()` on the text.
    """
    name = "st-lowercase"
    weights = model(BertModel, config(BertConfig), 53)
    folder = draft(name, weights, WORDPIECE)
    tokenizer = read_json(folder / "tokenizer.json")
    tokenizer["normalizer"] |= {"lowercase": False, "strip_accents": False}
    write_compact(folder / "tokenizer.json", tokenizer)
    write_old_sentence_model(folder, [("Pooling", old_pooling("mean_tokens"))], do_lower_case=True)
    sentences = [
        "WELL, OF COURSE IT WAS OBVIOUS FROM THE FIRST.",
        "Well, of course it was obvious from the first.",
        "A [MASK] is no [mask], and [SEP] no [Sep].",
        "ПРИВЕТ Мир in İSTANBUL, ZÜRICH 😀",
        *texts("st-mean-normalize")[3:],
    ]
    requests = [
        ("prompt", {"prompt": "FIND This: "}, sentences[:3]),
        ("truncated-left", {"truncation_side": "left"}, sentences[-1:]),
    ]
    make_sentences(name, folder, weights, sentences, requests)
    make_lowercase_requests()


def make_unpooled_requests() -> None:
    """The token vectors that pooling is given, in an older folder."""
    name = "st-prompts-excluded"
    encoder = over_onnx(name)
    requests = Requests(name, f"{SENTENCE_TRANSFORMERS} encode(output_value='token_embeddings') over model.onnx")
    for request, options, items in [
        ("unpooled", {"unpooled": True, "prompt": ""}, ["Call me Ishmael.", "東京 😀"]),
        ("unpooled-special", {"unpooled": True, "special_tokens": True, "prompt": ""}, ["Call me Ishmael.", ""]),
        ("unpooled-prompt", {"unpooled": True, "special_tokens": True, "prompt_name": "query"}, ["Call me Ishmael."]),
        ("unpooled-norm", {"unpooled": True, "normalize": True, "prompt": ""}, ["Call me Ishmael."]),
    ]:
        requests.add(request, options, items, [token_vectors(encoder, item, options) for item in items])
    requests.write()


def token_vectors(encoder: SentenceTransformer, text: str, options: dict) -> dict:
    prompt = prompt_of(encoder, options)
    rows = encoder.encode(text, prompt=prompt, output_value="token_embeddings")
    tokens = encoder.tokenizer(prompt + text, return_special_tokens_mask=True)
    assert len(rows) == len(tokens["input_ids"])
    if options.get("normalize"):
        rows = torch.nn.functional.normalize(rows, dim=1)
    columns = zip(rows, tokens["input_ids"], tokens["special_tokens_mask"])
    kept = [(row, id) for row, id, special in columns if options.get("special_tokens") or not special]
    return {"embeddings": [{"embedding": row.tolist(), "token_info": {"token_id": id}} for row, id in kept]}


def over_onnx(name: str) -> SentenceTransformer:
    """An older folder, whose weights are in its graph."""
    return SentenceTransformer(
        str(MODELS / name), backend="onnx", model_kwargs={"file_name": "model.onnx"}, device="cpu"
    )


def make_lowercase_requests() -> None:
    """The same of byte-level BPE, in an older folder."""
    name = "st-mean-sqrt-len"
    encoder = over_onnx(name)
    requests = Requests(name, f"{SENTENCE_TRANSFORMERS} encode() over model.onnx")
    items = ["A <mask> is no <MASK>, and <s> no <S>.", "ΟΔΥΣΣΕΥΣ ΣΑΣ", "İSTANBUL ẞ ǅ 😀", ""]
    requests.add("lower-case", {}, items, [encode(encoder, item, {}) for item in items])
    requests.write()


def make_excluded_prompts() -> None:
    """Every pooling mode over what is left without the prompt's tokens.

    What a position weighs in `weightedmean` counts from the very first token,
    prompt included. The prompt's length is that of the prompt alone: its last
    space is a token there, so that with byte-level BPE one token of the text is
    left out too. After a cut on the left it is the text's tokens that are left out.
    """
    name = "st-excluded-prompts-all"
    weights = model(RobertaModel, config(RobertaConfig, 16), 54)
    transformer = Transformer(str(draft(f"{name}-parts", weights, BYTE_LEVEL_BPE, max_length=48)))
    modes = ["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
    folder = save_sentence_model(
        name,
        [transformer, Pooling(16, modes, include_prompt=False)],
        prompts={"query": "represent this question: ", "document": "passage:"},
        default_prompt_name="query",
    )
    sentences = texts("st-prompts-excluded")
    sentences = [sentences[1], sentences[4], sentences[-1]]
    requests = [
        ("prompt-name", {"prompt_name": "document"}, [*sentences, ""]),
        ("role-query", {"role": "query"}, sentences[:1]),
        ("role-document", {"role": "document"}, sentences[:1]),
        ("prompt", {"prompt": "Zoë asks 😀 "}, sentences[:2]),
        ("no-prompt", {"prompt": ""}, sentences[:2]),
        ("truncated-left", {"truncation_side": "left"}, sentences[-1:]),
        ("mean", {"long": "mean"}, sentences[-1:]),
    ]
    note = "; long mean: PyTorch, this project's definition"
    make_sentences(name, folder, weights, sentences, requests, note)


def make_roles() -> None:
    name = "st-roles"
    weights = model(BertModel, config(BertConfig), 55)
    transformer = Transformer(str(draft(f"{name}-parts", weights, WORDPIECE, max_length=48)))
    folder = save_sentence_model(
        name,
        [transformer, Pooling(32, "mean")],
        prompts={"query": "query: ", "passage": "this is a passage: "},
        similarity_fn_name="dot",
        truncate_dim=12,
    )
    # The library adds an empty `document`; before 5.0 it did not.
    path = folder / "config_sentence_transformers.json"
    settings = read_json(path)
    del settings["prompts"]["document"]
    write_settings(path, settings)
    sentences = texts("st-prompts")
    items = [sentences[0], sentences[4], sentences[-1]]
    requests = [
        ("role-query", {"role": "query"}, items),
        ("role-document", {"role": "document"}, items),
        ("prompt-name", {"prompt_name": "passage"}, items[:1]),
        ("dimensions-fewer", {"dimensions": 6}, items[:2]),
        ("dimensions-more", {"dimensions": 20}, items[:2]),
        ("normalize", {"normalize": True}, items[:2]),
        ("no-norm", {"normalize": False}, items[:1]),
        ("dimensions-normalize", {"dimensions": 20, "normalize": True}, items[:1]),
        ("role-dimensions-normalize", {"role": "query", "dimensions": 6, "normalize": True}, items[:1]),
        ("role-left", {"role": "document", "truncation_side": "left"}, items[-1:]),
    ]
    note = "; role document: prompt_name=\"passage\", because encode_document takes an empty \"document\""
    make_sentences(name, folder, weights, sentences, requests, note)


def make_long() -> None:
    name = "st-long"
    weights = model(BertModel, config(BertConfig), 56)
    transformer = Transformer(str(draft(f"{name}-parts", weights, WORDPIECE, max_length=48)))
    folder = save_sentence_model(
        name,
        [transformer, Pooling(32, "mean"), Normalize()],
        prompts={"query": "what is known of: ", "document": "passage: "},
        default_prompt_name="document",
    )
    sentences = texts("st-prompts")
    long = sentences[-1]
    # Of 48 tokens, [CLS], "passage", ":" and [SEP] leave room for 44 or so.
    full = "the " * (48 - 2 - len(transformer.tokenizer.tokenize("passage: ")))
    items = [sentences[0], cut(long, 260), long, full.strip(), full + "end", ""]
    requests = [
        ("mean", {"long": "mean"}, items),
        ("mean-prompt-name", {"long": "mean", "prompt_name": "query"}, items[1:4]),
        ("mean-role", {"long": "mean", "role": "query"}, items[1:2]),
        ("mean-no-prompt", {"long": "mean", "prompt": ""}, items[1:5]),
        ("mean-dimensions", {"long": "mean", "dimensions": 8}, items[1:2]),
        ("truncated", {"long": "truncate"}, items[1:3]),
        ("truncated-left", {"truncation_side": "left"}, items[1:3]),
        ("no-norm", {"normalize": False}, items[:2]),
    ]
    note = "; long mean: PyTorch, this project's definition; normalize false: without the last module"
    make_sentences(name, folder, weights, sentences, requests, note)


# --- Cross-encoders ---


def rank(encoder: CrossEncoder, texts: list[str], options: dict) -> list[dict]:
    identity = {"activation_fn": torch.nn.Identity()} if options.get("raw_scores") else {}
    query = options["query"]
    # Batches of one, as everywhere: padding would change the last digits.
    ranked = encoder.rank(query, texts, batch_size=1, **identity)
    assert_apart([it["score"] for it in ranked])
    ranked = ranked[: options.get("top_k")]
    return [
        {"index": it["corpus_id"], "score": it["score"]}
        | usage(encoder.tokenizer, query, texts[it["corpus_id"]])
        for it in ranked
    ]


def make_cross_encoder(name: str, folder: Path, weights, query: str, documents: list[str]) -> None:
    publish(name, folder, weights, "text-classification", documents)
    encoder = CrossEncoder(str(folder), device="cpu")
    reference = f"{SENTENCE_TRANSFORMERS} CrossEncoder.rank; raw_scores: with activation Identity"
    requests = Requests(name, reference)
    for request, options in [
        ("rerank", {}),
        ("rerank-top-k", {"top_k": 2}),
        ("rerank-raw-scores", {"raw_scores": True}),
        ("rerank-raw-scores-top-k", {"raw_scores": True, "top_k": 3}),
    ]:
        options = {"query": query} | options
        requests.add(request, options, documents, rank(encoder, documents, options))
    options = {"query": documents[-1]}
    requests.add("rerank-one", options, [query], rank(encoder, [query], options))
    requests.write()

    # Not transformers' text-classification pipeline: it knows nothing of the
    # folder's activation, and takes an empty second text for none.
    cases = []
    for document in documents:
        pair = [(query, document)]
        logits = encoder.predict(pair, activation_fn=torch.nn.Identity())
        scores = encoder.predict(pair)
        label = weights.config.id2label[0]
        cases.append(
            {"text": query, "text_pair": document}
            | {"logits": logits.tolist(), "pipeline": [{"label": label, "score": scores[0].item()}]}
        )
    reference = f"{SENTENCE_TRANSFORMERS} CrossEncoder.predict; logits: with activation Identity"
    write_golden(name, weights.config.model_type, "sequence_classification", 64, reference, cases)


def make_cross_encoders() -> None:
    query = "We have already a clue."
    documents = texts("bert-embedding")[:5] + ["", texts("bert-embedding")[-1]]

    name = "ce-identity"
    activation = {"activation_fn": "torch.nn.modules.linear.Identity", "version": "5.0.0"}
    configuration = config(BertConfig, num_labels=1, sentence_transformers=activation)
    weights = model(BertForSequenceClassification, configuration, 71)
    folder = draft(name, weights, WORDPIECE)
    make_cross_encoder(name, folder, weights, query, documents)

    name = "ce-modules"
    weights = model(RobertaForSequenceClassification, config(RobertaConfig, num_labels=1), 72)
    encoder = CrossEncoder(str(draft(f"{name}-parts", weights, BYTE_LEVEL_BPE)), device="cpu")
    folder = WORK / name
    encoder.save_pretrained(str(folder), create_model_card=False)
    make_cross_encoder(name, folder, weights, query, documents)


def main() -> None:
    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    for library in ("optimum", "sentence_transformers"):
        logging.getLogger(library).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    make_fill_masks()
    make_splade_max()
    make_splade_sum()
    make_nli_requests()
    make_spans()
    make_dense_layernorm()
    make_norm_dense()
    make_lowercase()
    make_unpooled_requests()
    make_excluded_prompts()
    make_roles()
    make_long()
    make_cross_encoders()
    print(f"largest difference between PyTorch and ONNX Runtime: {largest_onnx_difference:.1e}")


if __name__ == "__main__":
    try:
        main()
    finally:
        shutil.rmtree(WORK)
