#!/usr/bin/env python3
"""Computes every reference of the folders `late-*` again, by what `late_interaction.md` says.

    pip install numpy==2.4.6 onnxruntime==1.31.1 safetensors==0.8.0 tokenizers==0.22.2
    python tests/models/check_late_interaction.py

Neither PyLate, sentence-transformers, transformers nor torch are used: only the folder's
files, its graph in ONNX Runtime, the tokenizers package and numpy. One text at a time.
"""

import json
import math
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from safetensors.numpy import load_file
from tokenizers import AddedToken, Tokenizer

FOLDERS = Path(__file__).parent
TOLERANCE = 1e-5
PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
ACTIVATIONS = {
    "torch.nn.modules.linear.Identity": lambda x: x,
    "torch.nn.modules.activation.Tanh": np.tanh,
    "torch.nn.modules.activation.GELU": lambda x: x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2))),
}


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def normalized(rows):
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)


class Model:
    """What a folder of PyLate's, or of Stanford's ColBERT, says."""

    # Whether a score is the mean over the query's vectors rather than the sum.
    is_mean = False

    def __init__(self, folder):
        self.session = onnxruntime.InferenceSession(folder / "model.onnx")
        config = read_json(folder / "config_sentence_transformers.json")
        metadata = read_json(folder / "artifact.metadata")
        stanford = read_json(folder / "config.json").get("architectures") == ["HF_ColBERT"]
        sentence_bert = read_json(folder / "sentence_bert_config.json")
        tokenizer = read_json(folder / "tokenizer_config.json")

        def setting(key, stanford_key, default):
            value = metadata.get(stanford_key) if stanford else config.get(key)
            return default if value is None else value

        prefixes = [setting("query_prefix", "query_token_id", "[unused0]" if stanford else "[Q] "),
                    setting("document_prefix", "doc_token_id", "[unused1]" if stanford else "[D] ")]
        self.lengths = [setting("query_length", "query_maxlen", 32), setting("document_length", "doc_maxlen", 180)]
        self.expands = setting("do_query_expansion", None, True)
        self.attends = self.expands and setting("attend_to_expansion_tokens", "attend_to_mask_tokens", False)
        self.prompts = config.get("prompts", {})
        self.default_prompt = config.get("default_prompt_name")
        self.lowercases = sentence_bert.get("do_lower_case", False)
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.add_tokens([AddedToken(prefix) for prefix in prefixes if prefix])
        self.prefix_ids = [self.tokenizer.token_to_id(prefix) if prefix else None for prefix in prefixes]
        self.expansion_id = self.tokenizer.token_to_id(tokenizer.get("mask_token") or tokenizer.get("eos_token"))
        unknown = tokenizer.get("unk_token")
        unknown = self.tokenizer.token_to_id(unknown) if unknown else None
        words = setting("skiplist_words", None, list(PUNCTUATION))
        found = [self.tokenizer.token_to_id(word) for word in words]
        self.skiplist = {unknown if id is None else id for id in found}
        self.projections = self.read_projections(folder, stanford)

    def read_projections(self, folder, stanford):
        """Weights and settings of each Dense, unless the graph has them in it."""
        if self.session.get_outputs()[0].name in ("output", "contextual"):
            return []
        if stanford:
            return [({"linear.weight": load_file(folder / "model.safetensors")["linear.weight"]}, {})]
        modules = [it["path"] for it in read_json(folder / "modules.json") if it["type"].endswith("Dense")]
        return [(load_file(folder / it / "model.safetensors"), read_json(folder / it / "config.json")) for it in modules]

    def encode_ids(self, text, is_query, prompt_name=None):
        """The ids and the attention mask of a text."""
        prompt_name = prompt_name or self.default_prompt
        text = (self.prompts[prompt_name] if prompt_name else "") + text
        text = text.strip()
        text = text.lower() if self.lowercases else text
        prefix, length = self.prefix_ids[not is_query], self.lengths[not is_query]
        room = length - (prefix is not None)
        self.tokenizer.enable_truncation(room)
        ids = self.tokenizer.encode(text).ids
        missing = room - len(ids) if is_query and self.expands else 0
        mask = [1] * len(ids) + [int(self.attends)] * missing
        ids = ids + [self.expansion_id] * missing
        if prefix is not None:
            ids, mask = [*ids[:1], prefix, *ids[1:]], [*mask[:1], 1, *mask[1:]]
        return ids, mask

    def kept(self, ids, mask, is_query):
        """Which tokens give a vector: for a query all, for a document those that are not skipped."""
        return [int(is_query or id not in self.skiplist) for id in ids]

    def encode(self, ids, mask, kept):
        feed = {"input_ids": [ids], "attention_mask": [mask], "token_type_ids": [[0] * len(ids)]}
        names = [it.name for it in self.session.get_inputs()]
        rows = self.session.run(None, {name: np.array(feed[name], np.int64) for name in names})[0][0]
        for weights, settings in self.projections:
            projected = rows @ weights["linear.weight"].T + weights.get("linear.bias", 0)
            projected = ACTIVATIONS[settings.get("activation_function", "torch.nn.modules.linear.Identity")](projected)
            if settings.get("use_residual"):
                projected = projected + (rows @ weights["residual.weight"].T if "residual.weight" in weights else rows)
            rows = projected
        return normalized(rows[np.array(kept, bool)]).astype(np.float32)


class MultiVectorModel(Model):
    """What a folder of sentence-transformers' own MultiVectorEncoder says."""

    def __init__(self, folder):
        self.session = onnxruntime.InferenceSession(folder / "model.onnx")
        config = read_json(folder / "config_sentence_transformers.json")
        sentence_bert = read_json(folder / "sentence_bert_config.json")
        tokenizer = read_json(folder / "tokenizer_config.json")
        self.prompts = config["prompts"]
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.expansion = sentence_bert.get("query_expansion")
        limit = tokenizer["model_max_length"]
        self.lengths = [sentence_bert.get("query_length") or limit, sentence_bert.get("document_length") or limit]
        if self.expansion:
            token = self.expansion.get("token") or tokenizer.get("mask_token") or tokenizer.get("eos_token")
            self.expansion_id = self.tokenizer.token_to_id(token)
        paths = {it["type"].rpartition(".")[2]: folder / it["path"] for it in read_json(folder / "modules.json")}
        self.is_mean = config["similarity_fn_name"] == "meanmaxsim"
        self.projections = self.read_projections(folder, False)
        self.skips = None
        if "MultiVectorMask" not in paths:
            return
        mask = read_json(paths["MultiVectorMask"] / "config.json")
        found = [self.tokenizer.token_to_id(word) for word in mask["skiplist_words"]]
        # Unlike in PyLate, a word that is no token is left out.
        self.skiplist = {id for word, id in zip(mask["skiplist_words"], found)
                         if id is not None and (id != self.tokenizer.token_to_id(tokenizer["unk_token"])
                                                or word == tokenizer["unk_token"])}
        self.skips = [role in mask["skiplist_tasks"] for role in ("query", "document")]

    def encode_ids(self, text, is_query, prompt_name=None):
        text = (self.prompts[prompt_name or ("query" if is_query else "document")] or "") + text
        length, expansion = self.lengths[not is_query], self.expansion if is_query else None
        if expansion:
            longest = expansion["length"]
            length = longest if expansion["strategy"] == "fixed" else max(length, longest)
        self.tokenizer.enable_truncation(length)
        ids = self.tokenizer.encode(text).ids
        missing = max(0, expansion["length"] - len(ids)) if expansion else 0
        attends = bool(expansion and expansion["attend"])
        return ids + [self.expansion_id] * missing, [1] * len(ids) + [int(attends)] * missing

    def kept(self, ids, mask, is_query):
        if self.skips is None:
            # Without a mask of its own, the attention's is that of the scores.
            return mask
        skipped = self.skiplist if self.skips[not is_query] else ()
        return [int(id not in skipped) for id in ids]


def maxsim(query, document):
    return float((query @ document.T).max(axis=1).sum())


def pooled(rows, factor):
    """Ward's clusters of all rows but the first, each as its mean."""
    protected, points = rows[:1], rows[1:]
    count = max(len(points) // factor, 1)
    if count >= len(points):
        return rows
    # 1 - cosine stands for the distance that Ward's criterion squares.
    distance = (1 - points @ points.T).astype(np.float64)
    nodes = {index: (0.0, 1, None) for index in range(len(points))}  # height, size, children
    between = {(i, j): distance[i, j] for i in nodes for j in nodes if i < j}
    for merged in range(len(points), 2 * len(points) - 1):
        (left, right), height = min(between.items(), key=lambda it: (it[1], it[0]))
        sizes = nodes[left][1], nodes[right][1]
        active = {index for pair in between for index in pair} - {left, right}
        for other in active:
            size = nodes[other][1]
            near = [between[min(it, other), max(it, other)] ** 2 for it in (left, right)]
            total = (sizes[0] + size) * near[0] + (sizes[1] + size) * near[1] - size * height**2
            between[other, merged] = math.sqrt(total / (sum(sizes) + size))
        nodes[merged] = (height, sum(sizes), (left, right))
        between = {pair: it for pair, it in between.items() if not {left, right} & set(pair)}
    # The `count - 1` merges that are highest are undone.
    heights = sorted(node[0] for node in nodes.values() if node[2])
    limit = heights[len(points) - count - 1]
    clusters = []

    def leaves(index):
        children = nodes[index][2]
        return [index] if children is None else [leaf for child in children for leaf in leaves(child)]

    def visit(index):
        height, _, children = nodes[index]
        if children is None or height <= limit:
            clusters.append(points[leaves(index)].mean(axis=0))
        else:
            # In scipy's order a child that is a single point comes after one that is not.
            for child in sorted(children, key=lambda it: nodes[it][2] is None):
                visit(child)

    visit(2 * len(points) - 2)
    return np.concatenate([protected, np.array(clusters)])


def difference(name, expected, got):
    expected, got = np.array(expected), np.array(got)
    assert expected.shape == got.shape, (name, expected.shape, got.shape)
    largest = float(np.abs(expected - got).max())
    assert largest < TOLERANCE, (name, largest)
    return largest


def check(folder):
    golden = read_json(folder / "golden.json")
    is_multi_vector = read_json(folder / "config_sentence_transformers.json").get("model_type") == "MultiVectorEncoder"
    model = (MultiVectorModel if is_multi_vector else Model)(folder)
    vectors, scores = 0.0, 0.0
    found = {"query": [], "document": []}
    for case in golden["cases"]:
        is_query, prompt_name = case["role"] == "query", case.get("prompt_name")
        ids, mask = model.encode_ids(case["text"], is_query, prompt_name)
        assert ids == case["input_ids"], (folder.name, case["text"], ids, case["input_ids"])
        assert mask == case["attention_mask"], (folder.name, case["text"], mask)
        kept = model.kept(ids, mask, is_query)
        assert kept == case["kept"], (folder.name, case["text"], kept)
        embeddings = model.encode(ids, mask, kept)
        vectors = max(vectors, difference(case["text"], case["embeddings"], embeddings))
        if "prompt_name" not in case:
            found[case["role"]].append(embeddings)
    for query, row, results in zip(found["query"], golden["scores"], golden["rerank"]):
        # A score is a sum over the query's tokens; the difference is that of a term.
        terms = len(query)
        mean = terms if model.is_mean else 1
        exact = [maxsim(query, it) for it in found["document"]]
        scores = max(scores, difference("scores", np.divide(row, terms / mean), np.divide(exact, terms)))
        # `rerank` pads the documents with vectors of zeros, and does not mask them.
        longest = max(len(it) for it in found["document"])
        zero = np.zeros((1, query.shape[1]), np.float32)
        padded = [np.concatenate([it, zero]) if is_padded else it
                  for it in found["document"] for is_padded in [len(it) < longest and not is_multi_vector]]
        ranked = sorted(((maxsim(query, it), index) for index, it in enumerate(padded)), reverse=True)
        assert [it["id"] for it in results] == [index for _, index in ranked], (folder.name, ranked, results)
        got, expected = [it[0] / terms for it in ranked], [it["score"] * mean / terms for it in results]
        scores = max(scores, difference("rerank", expected, got))
    for case in golden.get("pooled", []):
        ids, mask = model.encode_ids(case["text"], False)
        rows = pooled(model.encode(ids, mask, model.kept(ids, mask, False)), case["pool_factor"])
        vectors = max(vectors, difference("pooled", case["embeddings"], rows))
    return vectors, scores


def main():
    largest = 0.0
    for folder in sorted(FOLDERS.glob("late-*")):
        vectors, scores = check(folder)
        largest = max(largest, vectors, scores)
        print(f"{folder.name}: vectors {vectors:.1e}, scores {scores:.1e}")
    print(f"largest difference {largest:.1e}, allowed {TOLERANCE:.0e}")


if __name__ == "__main__":
    sys.exit(main())
