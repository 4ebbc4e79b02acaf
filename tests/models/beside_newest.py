"""Computes every reference result anew with the newest transformers and sentence-transformers,
and shows what they give differently: the cases of golden.json and the requests of requests.json.

    python beside_newest.py [--real DIR] [FOLDER …]

Without folders, all beside this file that have a golden.json and a graph. Needs transformers 5,
sentence-transformers 6, torch and onnxruntime; nothing is downloaded or written.

The folders have no PyTorch weights. Here the folder's own ONNX graph, run by ONNX Runtime,
stands for the PyTorch model; tokenizers, pipelines, modules and encoders are the libraries'
own. `--real` is the folder of all-MiniLM-L6-v2 with its graph, which is not kept here.

A number may differ by |a - b| / (1 + |b|) of `NEAR`, or of what `LOOSE` says for a graph that
ONNX Runtime computes with rounding of its own. Everything else has to be the same. What differs
and is not in `EXPECTED`, or is there and does not differ, is an error, and the exit code is 1.
"""

import argparse
import json
import logging
import math
import os
import sys
import warnings
from itertools import pairwise
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
warnings.filterwarnings("ignore")

import numpy as np
import onnxruntime
import sentence_transformers
import torch
import transformers
from sentence_transformers import CrossEncoder, SentenceTransformer, SparseEncoder
from sentence_transformers.base.modules import Normalize, Transformer
from transformers import (
    AutoConfig,
    AutoTokenizer,
    FillMaskPipeline,
    PreTrainedModel,
    TextClassificationPipeline,
    TokenClassificationPipeline,
    ZeroShotClassificationPipeline,
)
from transformers.modeling_outputs import ModelOutput

MODELS = Path(__file__).parent
REAL = "all-MiniLM-L6-v2"

# The references are rounded to 7 digits, and are of another engine.
NEAR = 2e-5

# Weights in 8 or 16 bits: the reference is of those weights computed in float32, as the Rust
# tests take it, while ONNX Runtime rounds the activations too. The cosine that
# make_model_files.py asks for between the two.
LOOSE = {
    "files-float16": 0.9999,
    "files-int8": 0.98,
    "files-int8-convolutions": 0.95,
    "files-int8-optimized": 0.98,
    "files-int8-session": 0.98,
    "files-optimized-O4": 0.9999,
    "files-uint8-per-channel": 0.98,
}

# Model types whose positions begin after the padding id.
AFTER_PADDING = ["roberta", "xlm-roberta"]

# What is known to differ, or cannot be compared: folder and kind, and why.
EXPECTED = {
    (REAL, "not compared"): "only its reference is kept here; --real has it compared",
}


# --- the graph in the model's place ----------------------------------------------------------


class Graph(PreTrainedModel):
    """The folder's ONNX graph as a model of transformers."""

    def __init__(self, config, folder):
        super().__init__(config)
        # Asked for the device and the type of the weights.
        self.anchor = torch.nn.Parameter(torch.zeros(1), requires_grad=False)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(graph_file(folder), options)
        self.names = [output.name for output in self.session.get_outputs()]

    def forward(self, input_ids, attention_mask=None, token_type_ids=None, position_ids=None, **others):
        given = {
            "input_ids": input_ids,
            "attention_mask": torch.ones_like(input_ids) if attention_mask is None else attention_mask,
            "token_type_ids": torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids,
            "position_ids": self.positions(input_ids) if position_ids is None else position_ids,
        }
        feeds = {}
        for wanted in self.session.get_inputs():
            kind = np.int32 if "int32" in wanted.type else np.int64
            feeds[wanted.name] = given[wanted.name].numpy().astype(kind)
        found = dict(zip(self.names, self.session.run(None, feeds)))
        found = {name: torch.from_numpy(value.astype(np.float32)) for name, value in found.items()}
        return ModelOutput(**named_as_transformers(found, self.config))

    def positions(self, input_ids):
        first = self.config.pad_token_id + 1 if self.config.model_type in AFTER_PADDING else 0
        return first + torch.arange(input_ids.shape[1]).expand_as(input_ids)


def named_as_transformers(outputs, config):
    """Exporters have names of their own for what transformers returns."""
    head = "last_hidden_state" if config.architectures[0].endswith("Model") else "logits"
    names = {"token_embeddings": "last_hidden_state", "output_0": head}
    return {names.get(name, name): value for name, value in outputs.items()}


def graph_file(folder):
    found = [*folder.glob("*.onnx"), *folder.glob("onnx/*.onnx")]
    assert len(found) == 1, f"{len(found)} ONNX files"
    return found[0]


def load_graph(module, name, task, config, *others, **keywords):
    """In the place of Transformer._load_model."""
    return Graph(config, Path(name))


Transformer._load_model = load_graph


class Folder:
    """What the libraries make of a model folder, each part when it is first asked for."""

    def __init__(self, path, golden):
        self.path, self.golden = path, golden
        self.parts = {}

    def part(self, name, make):
        if name not in self.parts:
            self.parts[name] = make()
        return self.parts[name]

    @property
    def tokenizer(self):
        return self.part("tokenizer", lambda: AutoTokenizer.from_pretrained(self.path))

    @property
    def graph(self):
        return self.part("graph", lambda: Graph(AutoConfig.from_pretrained(self.path), self.path))

    def pipeline(self, kind):
        make = lambda: kind(model=self.graph, tokenizer=AutoTokenizer.from_pretrained(self.path), device="cpu")
        return self.part(kind.__name__, make)

    def encoder(self, kind):
        def make():
            encoder = kind(str(self.path), device="cpu")
            return pooled_by_the_graph(encoder) if self.is_pooled_by(encoder[0].model) else encoder

        return self.part(kind.__name__, make)

    def is_pooled_by(self, graph):
        """A graph may give the token vectors too; then modules.json is followed if there is one."""
        names = graph.names
        is_open = "token_embeddings" in names and (self.path / "modules.json").is_file()
        return "sentence_embedding" in names and not is_open

    @property
    def labels(self):
        return list(self.graph.config.id2label.values())

    def tokens(self, text, **arguments):
        limit = {"truncation": True, "max_length": self.golden["max_length"]}
        return self.tokenizer(text, **limit, **arguments)

    def run(self, encoding):
        with torch.inference_mode():
            return self.graph(**{name: torch.tensor([values]) for name, values in encoding.items()})


def pooled_by_the_graph(encoder):
    """The same without the modules after the graph."""
    encoder[0].modality_config = {"text": {"method": "forward", "method_output_name": "sentence_embedding"}}
    encoder[0].module_output_name = "sentence_embedding"
    return SentenceTransformer(
        modules=[encoder[0]], prompts=encoder.prompts, default_prompt_name=encoder.default_prompt_name, device="cpu"
    )


# --- cases -----------------------------------------------------------------------------------


def token_results(folder, case):
    encoding = folder.tokens(case["text"], return_offsets_mapping=True)
    offsets = [list(pair) for pair in encoding.pop("offset_mapping")]
    found = {"input_ids": encoding["input_ids"], "tokens": encoding.tokens(), "offsets": offsets}
    return encoding, found


def embedding_case(folder, case):
    encoding, found = token_results(folder, case)
    hidden = folder.run(encoding).last_hidden_state[0]
    return found | {"mean": hidden.mean(0), "cls": hidden[0], "last_token": hidden[-1]}


def token_classification_case(folder, case):
    encoding, found = token_results(folder, case)
    pipeline = folder.pipeline(TokenClassificationPipeline)
    spans = {name: pipeline(case["text"], aggregation_strategy=name) for name in case.get("pipeline", {})}
    return found | {"logits": folder.run(encoding).logits[0], "pipeline": spans}


def sequence_classification_case(folder, case):
    if "CrossEncoder.predict" in folder.golden["reference"]:
        return cross_encoder_case(folder, case)
    found = token_results(folder, case)[1] if "input_ids" in case else {}
    item = {key: case[key] for key in ("text", "text_pair") if key in case}
    pipeline = folder.pipeline(TextClassificationPipeline)
    ranked = pipeline(item, top_k=None, truncation=True)
    logits = pipeline(item, top_k=None, truncation=True, function_to_apply="none")
    scores = by_label(folder, ranked)
    return found | {
        "logits": by_label(folder, logits),
        "pipeline": ranked,
        "scores": scores,
        "label": folder.labels[int(np.argmax(scores))],
    }


def by_label(folder, ranked):
    scores = {it["label"]: it["score"] for it in ranked}
    return [scores[label] for label in folder.labels]


def cross_encoder_case(folder, case):
    encoder = folder.encoder(CrossEncoder)
    pair = [(case["text"], case["text_pair"])]
    scores = encoder.predict(pair).tolist()
    label = encoder[0].config.id2label[0] if encoder.num_labels == 1 else None
    return {
        "logits": encoder.predict(pair, activation_fn=torch.nn.Identity()),
        "scores": scores,
        "label": label,
        "pipeline": [{"label": label, "score": scores[0]}],
    }


def sentence_embedding_case(folder, case):
    encoder = folder.encoder(SentenceTransformer)
    prompts = {name: encoder.encode(case["text"], prompt_name=name) for name in case.get("prompt", {})}
    # The count is of the text without a prompt, and before it is cut; one is of a text cut.
    is_cut = case["tokens"] == encoder.max_seq_length
    tokens = len(encoder.tokenizer(case["text"], truncation=is_cut, verbose=False)["input_ids"])
    return {"embedding": encoder.encode(case["text"]), "tokens": tokens, "prompt": prompts}


CASES = {
    "embedding": embedding_case,
    "token_classification": token_classification_case,
    "sequence_classification": sequence_classification_case,
    "sentence_embedding": sentence_embedding_case,
    # Their golden.json has texts alone; what comes of them is in requests.json.
    "fill_mask": lambda folder, case: {},
    "sparse_embedding": lambda folder, case: {},
}


# --- requests, as make_models.py and make_max_tokens.py ask the libraries --------------------


def usage(tokenizer, text, pair=None, truncation=True):
    """How much of a text the model saw, where that is not all of it."""
    total = len(tokenizer(text, pair, truncation=False, verbose=False)["input_ids"])
    used = len(tokenizer(text, pair, truncation=truncation)["input_ids"])
    return {"tokens_total": total, "tokens_used": used} if used < total else {}


def fill_mask(folder, item, options):
    pipeline = folder.pipeline(FillMaskPipeline)
    arguments = {key: options[key] for key in ("top_k", "targets") if key in options}
    pipeline.tokenizer.truncation_side = options.get("truncation_side", "right")
    found = pipeline(item["text"], tokenizer_kwargs={"truncation": True}, **arguments)
    masks = found if isinstance(found[0], list) else [found]
    return {"masks": masks} | usage(pipeline.tokenizer, item["text"])


def prompt_of(encoder, options):
    if "prompt" in options:
        return options["prompt"]
    name = options.get("prompt_name") or options.get("role") or encoder.default_prompt_name
    return encoder.prompts[name] if name else ""


def encoding_call(encoder, options):
    calls = {None: encoder.encode, "query": encoder.encode_query, "document": encoder.encode_document}
    return calls[options.get("role")]


def sparse(folder, item, options):
    encoder = folder.encoder(SparseEncoder)
    arguments = {key: options[key] for key in ("prompt", "prompt_name") if key in options}
    if "top_k" in options:
        arguments["max_active_dims"] = options["top_k"]
    encoder.tokenizer.truncation_side = options.get("truncation_side", "right")
    weights = encoding_call(encoder, options)(item["text"], convert_to_sparse_tensor=False, **arguments)
    values = [{"index": index, "value": value} for index, value in enumerate(weights.tolist()) if value > 0]
    return {"sparse_embedding": values} | usage(encoder.tokenizer, prompt_of(encoder, options) + item["text"])


def sentence(folder, item, options):
    encoder = folder.encoder(SentenceTransformer)
    tokenizer, text = encoder.tokenizer, item["text"]
    options = with_named_document(encoder, options)
    if options.get("normalize") is False and is_normalized(encoder):
        encoder = without_norm(encoder)
    tokenizer.truncation_side = options.get("truncation_side", "right")
    if options.get("unpooled"):
        return token_vectors(encoder, text, options)
    if options.get("long") == "mean":
        return mean_of_windows(encoder, text, options)
    limit = tokenizer.model_max_length
    tokenizer.model_max_length = min(limit, options.get("max_tokens", limit))
    try:
        return {"embedding": encode(encoder, text, options)} | usage(tokenizer, prompt_of(encoder, options) + text)
    finally:
        tokenizer.model_max_length = limit


def is_normalized(encoder):
    return isinstance(encoder[-1], Normalize)


def with_named_document(encoder, options):
    """Ours is the first of document, passage, corpus that the folder names. The library takes
    its own empty `document` before the folder's `passage`."""
    if options.get("role") == "document" and not encoder.prompts["document"]:
        return {key: value for key, value in options.items() if key != "role"} | {"prompt_name": "passage"}
    return options


def encode(encoder, text, options):
    arguments = {key: options[key] for key in ("prompt", "prompt_name") if key in options}
    if "dimensions" in options:
        arguments["truncate_dim"] = options["dimensions"]
        # What is cut from a unit vector is made one again; the library leaves that to the caller.
        arguments["normalize_embeddings"] = is_normalized(encoder)
    if options.get("normalize"):
        arguments["normalize_embeddings"] = True
    return encoding_call(encoder, options)(text, **arguments)


def without_norm(encoder):
    """The library has no request for that."""
    prompts = {"prompts": encoder.prompts, "default_prompt_name": encoder.default_prompt_name}
    return SentenceTransformer(modules=list(encoder)[:-1], device="cpu", **prompts)


def token_vectors(encoder, text, options):
    prompt = prompt_of(encoder, options)
    rows = encoder.encode(text, prompt=prompt, output_value="token_embeddings")
    tokens = encoder.tokenizer(prompt + text, return_special_tokens_mask=True)
    assert len(rows) == len(tokens["input_ids"])
    if options.get("normalize"):
        rows = torch.nn.functional.normalize(rows, dim=1)
    columns = zip(rows, tokens["input_ids"], tokens["special_tokens_mask"])
    kept = [(row, id) for row, id, special in columns if options.get("special_tokens") or not special]
    return {"embeddings": [{"embedding": row, "token_info": {"token_id": id}} for row, id in kept]}


def mean_of_windows(encoder, text, options):
    """This project's own definition of `long: mean`, over the library's modules."""
    prompt = prompt_of(encoder, options)
    ids = encoder.tokenizer(prompt + text, truncation=False, verbose=False)["input_ids"]
    head = encoder[0]._get_prompt_length(prompt) if prompt else 1
    before, content, after = ids[:head], ids[head:-1], ids[-1:]
    room = encoder.max_seq_length - len(before) - len(after)
    count = max(1, math.ceil(len(content) / room))
    ends = [len(content) * window // count for window in range(count + 1)]
    windows = [before + content[start:end] + after for start, end in pairwise(ends)]
    vectors = [window_vector(encoder, window, head if prompt else 0) for window in windows]
    vector = torch.stack(vectors).mean(dim=0)
    norm = torch.nn.functional.normalize if is_normalized(encoder) else lambda vector, dim: vector
    vector = norm(vector, dim=0)
    if "dimensions" in options:
        vector = norm(vector[: options["dimensions"]], dim=0)
    return {"embedding": vector} | window_counts(len(ids), count)


def window_vector(encoder, ids, prompt_length):
    window = torch.tensor([ids])
    features = {"input_ids": window, "attention_mask": torch.ones_like(window)}
    if prompt_length:
        features["prompt_length"] = prompt_length
    with torch.inference_mode():
        return encoder(features)["sentence_embedding"][0]


def spans(folder, item, options):
    pipeline = folder.pipeline(TokenClassificationPipeline)
    names = {"aggregation": "aggregation_strategy", "ignore_labels": "ignore_labels", "stride": "stride"}
    # The pipeline keeps none of the arguments of an earlier call.
    arguments = {names[key]: value for key, value in options.items() if key in names}
    tokenizer = pipeline.tokenizer
    tokenizer.truncation_side = options.get("truncation_side", "right")
    return {"entities": pipeline(item["text"], **arguments)} | window_usage(tokenizer, item["text"], options)


def window_usage(tokenizer, text, options):
    if "stride" not in options:
        return usage(tokenizer, text)
    total = len(tokenizer(text, truncation=False, verbose=False)["input_ids"])
    windows = tokenizer(text, truncation=True, return_overflowing_tokens=True, stride=options["stride"])
    return window_counts(total, len(windows["input_ids"]))


def window_counts(tokens, windows):
    """All of a text is used, where it is read in several windows."""
    return {"tokens_total": tokens, "tokens_used": tokens, "windows": windows} if windows > 1 else {}


def classes(folder, item, options):
    return choice(folder, item["text"], options) if "labels" in options else pair_classes(folder, item, options)


def pair_classes(folder, item, options):
    pipeline = folder.pipeline(TextClassificationPipeline)
    truncation = options.get("truncation", "longest_first")
    pipeline.tokenizer.truncation_side = options.get("truncation_side", "right")
    arguments = {"top_k": None, "truncation": truncation}
    logits = by_label(folder, pipeline(item, function_to_apply="none", **arguments))
    scores = logits if options.get("raw_scores") else by_label(folder, pipeline(item, **arguments))
    label = folder.labels[int(np.argmax(logits))]
    used = usage(pipeline.tokenizer, item["text"], item.get("text_pair"), truncation)
    return {"logits": logits, "scores": scores, "predicted_label": label} | used


def choice(folder, text, options):
    pipeline = folder.pipeline(ZeroShotClassificationPipeline)
    template = options.get("template", "This example is {}.")
    arguments = {"multi_label": True} if options.get("multi_label") else {}
    found = pipeline(text, candidate_labels=options["labels"], hypothesis_template=template, **arguments)
    result = {"labels": found["labels"], "scores": found["scores"]}
    if len(options["labels"]) > 1:
        return result
    return result | usage(pipeline.tokenizer, text, template.format(options["labels"][0]), "only_first")


REQUESTS = {
    "fill_mask": fill_mask,
    "sparse_embedding": sparse,
    "sentence_embedding": sentence,
    "token_classification": spans,
    "sequence_classification": classes,
}


def rank(folder, texts, options):
    """Of all texts at once: a ranking."""
    encoder = folder.encoder(CrossEncoder)
    query = options["query"]
    identity = {"activation_fn": torch.nn.Identity()} if options.get("raw_scores") else {}
    ranked = encoder.rank(query, texts, batch_size=1, **identity)[: options.get("top_k")]
    return [
        {"index": it["corpus_id"], "score": it["score"]} | usage(encoder.tokenizer, query, texts[it["corpus_id"]])
        for it in ranked
    ]


def request_results(folder, request):
    options, items = request["options"], request["items"]
    if "query" in options:
        return rank(folder, [item["text"] for item in items], options)
    answer = REQUESTS[folder.golden["task"]]
    return [answer(folder, item, options) for item in items]


# --- comparison ------------------------------------------------------------------------------


KINDS = {"input_ids": "ids", "token_id": "ids", "tokens": "tokens", "offsets": "offsets"}
KINDS |= {"start": "offsets", "end": "offsets", "label": "label", "predicted_label": "label"}
KINDS |= {"sequence": "text", "token_str": "text", "word": "text"}


class Comparison:
    """The differences of a folder: where, of which kind, and what."""

    def __init__(self, name):
        self.name, self.largest, self.differences = name, 0.0, []

    def add(self, where, kind, detail):
        self.differences.append((where, kind, detail))

    def compare(self, where, expected, got, kind="structure"):
        """What the reference says has to be in what was found."""
        if isinstance(got, (torch.Tensor, np.ndarray)):
            got = got.tolist()
        if isinstance(expected, dict) and isinstance(got, dict):
            self.compare_fields(where, expected, got)
        elif is_vector(expected) and isinstance(got, list):
            self.compare_numbers(where, expected, [number(it) for it in got])
        elif isinstance(expected, list) and isinstance(got, list):
            self.compare_lists(where, expected, got, kind)
        elif isinstance(expected, float):
            self.compare_numbers(where, [expected], [number(got)])
        elif expected != got:
            self.add(where, kind, f"{expected!r} is now {got!r}")

    def compare_fields(self, where, expected, got):
        for key, value in expected.items():
            if key not in got:
                self.add(f"{where} {key}", KINDS.get(key, "structure"), "is missing")
            else:
                self.compare(f"{where} {key}", value, got[key], KINDS.get(key, "structure"))

    def compare_lists(self, where, expected, got, kind):
        plain = not any(isinstance(it, (dict, list, float)) for it in expected)
        if plain or kind == "offsets":
            if expected != got:
                self.add(where, kind, f"{expected!r} is now {got!r}")
        elif len(expected) != len(got):
            self.add(where, kind, f"{len(expected)} values, now {len(got)}: {got!r}")
        else:
            for place, (one, other) in enumerate(zip(expected, got)):
                self.compare(f"{where} {place}", one, other, kind)

    def compare_numbers(self, where, expected, got):
        if len(expected) != len(got):
            self.add(where, "structure", f"{len(expected)} numbers, now {len(got)}")
            return
        expected, got = np.array(expected), np.array(got)
        apart = float(np.max(np.abs(expected - got) / (1 + np.abs(expected)), initial=0.0))
        self.largest = max(self.largest, apart)
        if not self.is_near(apart, expected, got):
            self.add(where, "numbers", f"apart by {apart:.1e}")

    def is_near(self, apart, expected, got):
        if self.name not in LOOSE:
            return apart <= NEAR
        cosine = expected @ got / np.linalg.norm(expected) / np.linalg.norm(got)
        return cosine >= LOOSE[self.name]


def is_vector(value):
    return isinstance(value, list) and bool(value) and all(isinstance(it, float) for it in value)


def number(value):
    return float(value) if isinstance(value, (int, float, np.floating)) else math.nan


def changed_classes(folder, comparison):
    """Whether the libraries still have the classes that the folder names."""
    config = json.loads((folder.path / "config.json").read_text())
    architecture = config["architectures"][0]
    if not hasattr(transformers, architecture):
        comparison.add("config.json", "architecture", f"transformers has no {architecture}")
    settings = json.loads((folder.path / "tokenizer_config.json").read_text())
    named = settings.get("tokenizer_class", "").removesuffix("Fast")
    loaded = type(folder.tokenizer).__name__.removesuffix("Fast")
    if named and named not in (loaded, "PreTrainedTokenizer"):
        comparison.add("tokenizer_config.json", "tokenizer class", f"{named} is loaded as {loaded}")


def guarded(comparison, where, compute):
    """What the libraries refuse is a difference too."""
    try:
        return compute()
    except Exception as error:
        reason = str(error).strip().split("\n")[0][:300]
        comparison.add(where, "not compared", f"{type(error).__name__}: {reason}")
        return None


def compare_folder(path, golden, requests, comparison):
    folder = Folder(path, golden)
    guarded(comparison, "classes", lambda: changed_classes(folder, comparison))
    for place, case in enumerate(golden["cases"], 1):
        where = f"case {place}"
        found = guarded(comparison, where, lambda: CASES[golden["task"]](folder, case))
        wanted = {key: value for key, value in case.items() if key not in ("text", "text_pair")}
        if found is not None:
            comparison.compare(where, wanted, found)
    for request in requests:
        where = f"request {request['name']}"
        found = guarded(comparison, where, lambda: request_results(folder, request))
        if found is not None:
            comparison.compare(where, request["results"], found)


def read(path):
    """A folder's golden.json and requests.json; a ranking is a request."""
    golden = json.loads((path / "golden.json").read_text())
    golden["reference"] = str(golden["reference"])
    golden["max_length"] = golden.get("max_length") or 0
    requests = []
    if "rerank" in golden:
        rerank = golden["rerank"]
        items = [{"text": text} for text in rerank["texts"]]
        options = {"query": rerank["query"]}
        requests.append({"name": "rerank", "options": options, "items": items, "results": rerank["ranking"]})
    if (path / "requests.json").is_file():
        requests += json.loads((path / "requests.json").read_text())["requests"]
    return golden, requests


def report(comparison, cases, requests):
    """Prints the folder; returns how much of it is an error."""
    counts = f"{cases} cases, {requests} items of requests"
    print(f"{comparison.name}: {counts}, largest difference {comparison.largest:.1e}", flush=True)
    errors = 0
    for where, kind, detail in comparison.differences:
        reason = EXPECTED.get((comparison.name, kind))
        errors += reason is None
        verdict = "not expected" if reason is None else f"expected: {reason}"
        print(f"  {where}: {kind}: {detail[:400]} ({verdict})")
    for kind in [kind for name, kind in EXPECTED if name == comparison.name]:
        if all(kind != other for _, other, _ in comparison.differences):
            errors += 1
            print(f"  {kind}: expected to differ, and does not")
    return errors


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--real", type=Path, help=f"the folder of {REAL}, with its graph")
    parser.add_argument("folders", nargs="*", type=Path)
    return parser.parse_args()


def main():
    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    logging.disable(logging.CRITICAL)
    given = arguments()
    print(f"transformers {transformers.__version__}, sentence-transformers {sentence_transformers.__version__}")
    all_folders = sorted(path.parent for path in MODELS.glob("*/golden.json"))
    # A checkpoint has no graph that could stand for the model.
    with_graph = [path for path in all_folders if not path.name.startswith("checkpoint-")]
    folders = given.folders or with_graph
    errors = 0
    for path in folders:
        golden, requests = read(path)
        comparison = Comparison(path.name)
        if path.name == REAL and given.real:
            path = given.real
            EXPECTED.pop((REAL, "not compared"), None)
        if (path / "config.json").is_file():
            compare_folder(path, golden, requests, comparison)
        else:
            comparison.add("folder", "not compared", "has no config.json")
        errors += report(comparison, len(golden["cases"]), sum(len(it["items"]) for it in requests))
    print(f"{errors} errors")
    sys.exit(errors > 0)


if __name__ == "__main__":
    main()
