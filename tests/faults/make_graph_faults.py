#!/usr/bin/env python3
"""Makes the `graph-*` folders: graphs and configs that say different things.

    pip install torch==2.15.0 transformers==5.24.0 tokenizers onnx==1.23.2 onnxruntime==1.31.1 safetensors
    python tests/faults/make_graph_faults.py

An encoder of one layer with random weights from a fixed seed stands for the
models that people have: what matters here is how it knows positions, what its
outputs are called, and what config.json says of them. Every run writes the same
bytes. What `expected.json` holds comes from PyTorch (numbers, and the longest
sequence that the module computes), and for labels from transformers' own
`PreTrainedConfig`; where a folder is to be refused, `says` are words that the
message has to contain.
"""

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn
from transformers import BertConfig

warnings.filterwarnings("ignore")

FAULTS = Path(__file__).parent
WORDS = "a king rode out he stayed home quick brown fox jumps over the lazy dog it is truth that broken".split()
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCABULARY = SPECIAL + WORDS + ["."]
WIDTH, HEADS, PADDING = 8, 2, 0
HEAD = WIDTH // HEADS
TEXTS = ["The king rode out.", "A quick brown fox jumps over the lazy dog."]


# --- the encoder ---------------------------------------------------------------


class Encoder(nn.Module):
    """Word embedding, positions of one kind or another, and one layer."""

    def __init__(self, positions="table", rows=32):
        super().__init__()
        self.positions, self.rows = positions, rows
        self.words = nn.Embedding(len(VOCABULARY), WIDTH)
        self.project = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.norm = nn.LayerNorm(WIDTH)
        if positions in ("table", "after-padding", "after-two", "input"):
            self.table = nn.Embedding(rows, WIDTH)
        if positions == "table":
            self.register_buffer("ids", torch.arange(rows).expand(1, -1), persistent=False)
        if positions in ("pairs", "clamped"):
            self.distances = nn.Embedding(2 * rows - 1, HEAD)
        angles = torch.arange(rows)[:, None] / 10.0 ** torch.arange(HEAD // 2)
        if positions == "rotary-cache":
            self.register_buffer("cosines", torch.cat([angles.cos()] * 2, -1), persistent=False)
            self.register_buffer("sines", torch.cat([angles.sin()] * 2, -1), persistent=False)
        if positions == "alibi-buffer":
            self.register_buffer("bias", self.alibi(rows)[None], persistent=False)
        if positions == "sinusoids":
            sinusoids = torch.cat([angles.sin(), angles.cos()] * 2, -1)
            self.register_buffer("sinusoids", sinusoids, persistent=False)

    @staticmethod
    def alibi(length):
        place = torch.arange(length)
        distance = (place[:, None] - place[None]).abs()
        return -distance[None] * torch.tensor([0.5, 0.25])[:, None, None]

    def forward(self, input_ids, attention_mask, position_ids=None):
        length = input_ids.shape[1]
        place = torch.arange(length)
        hidden = self.words(input_ids)
        if self.positions == "table":
            hidden = hidden + self.table(self.ids[:, :length])
        elif self.positions == "after-padding":
            counts = (input_ids != PADDING).int()
            hidden = hidden + self.table((counts.cumsum(1) * counts).long() + PADDING)
        elif self.positions == "after-two":
            hidden = hidden + self.table(place + 2)[None]
        elif self.positions == "input":
            hidden = hidden + self.table(position_ids)
        elif self.positions == "sinusoids":
            hidden = hidden + self.sinusoids[place][None]
        query, key, value = (self.heads(layer(hidden)) for layer in self.project[:3])
        if self.positions == "rotary-cache":
            cosines, sines = self.cosines[:length], self.sines[:length]
            query, key = (it * cosines + self.turned(it) * sines for it in (query, key))
        elif self.positions == "rotary":
            angles = place[:, None] / 10.0 ** torch.arange(HEAD // 2)
            angles = torch.cat([angles, angles], -1)
            query, key = (it * angles.cos() + self.turned(it) * angles.sin() for it in (query, key))
        scores = query @ key.transpose(-1, -2) / HEAD**0.5
        if self.positions in ("pairs", "clamped"):
            distance = place[:, None] - place[None]
            if self.positions == "clamped":
                distance = distance.clamp(1 - self.rows, self.rows - 1)
            relative = self.distances(distance + self.rows - 1)
            scores = scores + torch.einsum("bhld,lrd->bhlr", query, relative)
        elif self.positions == "alibi-buffer":
            scores = scores + self.bias[:, :, :length, :length]
        elif self.positions == "alibi":
            scores = scores + self.alibi(length)
        scores = scores + (1.0 - attention_mask[:, None, None].float()) * -1e4
        mixed = (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)
        return self.norm(hidden + self.project[3](mixed))

    @staticmethod
    def heads(values):
        return values.unflatten(-1, (HEADS, HEAD)).transpose(1, 2)

    @staticmethod
    def turned(values):
        left, right = values.chunk(2, -1)
        return torch.cat([-right, left], -1)


class Headed(nn.Module):
    """With logits: of the first token, or of each."""

    def __init__(self, encoder, logits, per_token=False):
        super().__init__()
        self.encoder, self.per_token = encoder, per_token
        self.head = nn.Linear(WIDTH, logits)

    def forward(self, *inputs):
        hidden = self.encoder(*inputs)
        return self.head(hidden if self.per_token else hidden[:, 0])


class Pooler(nn.Module):
    """BERT's: what a head of its own takes."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder, self.dense = encoder, nn.Linear(WIDTH, WIDTH)

    def forward(self, *inputs):
        return torch.tanh(self.dense(self.encoder(*inputs)[:, 0]))


def seeded(make):
    torch.manual_seed(15)
    model = make()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.5)
    return model.eval()


# --- folders -------------------------------------------------------------------


def tokenizer():
    made = Tokenizer(models.WordLevel({it: id for id, it in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    pair = "[CLS] $A [SEP] $B:1 [SEP]:1"
    made.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", pair, [("[CLS]", 2), ("[SEP]", 3)])
    made.add_special_tokens(SPECIAL)
    return made


def export(model, path, output="last_hidden_state", fixed=None, declared=None):
    """`fixed`: the axes that are not dynamic, as (batch, tokens) with None for
    any; `declared`: the same for what is only written on the inputs."""
    batch, tokens = fixed or (None, None)
    example = torch.randint(5, len(VOCABULARY), (batch or 2, tokens or 7))
    inputs = {"input_ids": example, "attention_mask": torch.ones_like(example)}
    encoder = getattr(model, "encoder", model)
    if encoder.positions == "input":
        inputs["position_ids"] = torch.arange(example.shape[1]).expand_as(example) + PADDING + 1
    axes = {axis: name for axis, name in enumerate(["batch", "tokens"]) if (batch, tokens)[axis] is None}
    torch.onnx.export(
        model,
        tuple(inputs.values()),
        path,
        dynamo=False,
        opset_version=17,
        input_names=list(inputs),
        output_names=[output],
        dynamic_axes={name: axes for name in [*inputs, output]} if axes else None,
    )
    exported = onnx.load(path)
    for node in exported.graph.node:
        node.doc_string = ""
    if declared:
        for value in [*exported.graph.input, *exported.graph.output]:
            for dim, name in zip(value.type.tensor_type.shape.dim, declared):
                dim.dim_param = name
    onnx.save(exported, path)


def folder(name, config=None, tokenizer_config=None, modules=None):
    target = FAULTS / f"graph-{name}"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    tokenizer().save(str(target / "tokenizer.json"), pretty=False)
    write(
        target / "config.json",
        {
            "architectures": ["BertModel"],
            "model_type": "bert",
            "hidden_size": WIDTH,
            "max_position_embeddings": 32,
            "pad_token_id": PADDING,
            "vocab_size": len(VOCABULARY),
        }
        | (config or {}),
    )
    named = {f"{it[1:-1].lower()}_token": it for it in SPECIAL}
    base = {"tokenizer_class": "PreTrainedTokenizerFast"} | named
    write(target / "tokenizer_config.json", base | (tokenizer_config or {}))
    if modules:
        listed = []
        for place, (kind, settings) in enumerate([("Transformer", None), *modules]):
            path = f"{place}_{kind}" if settings is not None else ""
            listed.append(
                {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{kind}"}
            )
            if settings is not None:
                (target / path).mkdir()
                write(target / path / "config.json", settings)
        write(target / "modules.json", listed)
    return target


MEAN = ("Pooling", {"word_embedding_dimension": WIDTH, "pooling_mode_mean_tokens": True})


def write(path, value):
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def expect(target, kind, what, **more):
    write(target / "expected.json", {"what": what, "kind": kind, **more})


def refused(target, what, *says):
    expect(target, "refused", what, says=list(says))


def computed(model, text):
    ids = torch.tensor([tokenizer().encode(text).ids])
    inputs = [ids, torch.ones_like(ids)]
    if getattr(model, "encoder", model).positions == "input":
        inputs.append(torch.arange(ids.shape[1])[None] + PADDING + 1)
    with torch.no_grad():
        return model(*inputs)[0]


def embeddings(model):
    cases = [{"text": text, "embedding": computed(model, text).mean(0).tolist()} for text in TEXTS]
    return {"cases": cases}


def longest(model, at_most):
    """The most tokens that the module computes, up to `at_most`."""
    for length in range(at_most, 0, -1):
        ids = torch.full((1, length), len(VOCABULARY) - 1)
        inputs = [ids, torch.ones_like(ids)]
        if model.positions == "input":
            inputs.append(torch.arange(length)[None] + PADDING + 1)
        try:
            with torch.no_grad():
                model(*inputs)
        except (IndexError, RuntimeError):
            continue
        return length
    raise AssertionError("nothing is computed")


# --- limits --------------------------------------------------------------------

# How positions are known, the rows there are, and what config and tokenizer say.
LIMITS = {
    "table": ("table", 24, {"max_position_embeddings": 64}, {"model_max_length": 64}),
    "table-unstated": ("table", 24, {"max_position_embeddings": None}, {}),
    "table-stated": ("table", 24, {}, {"model_max_length": 11}),
    "after-padding": ("after-padding", 24, {"max_position_embeddings": 24, "model_type": "somebodys"}, {}),
    "after-two": ("after-two", 26, {"max_position_embeddings": 26}, {"model_max_length": 26}),
    "position-ids": ("input", 24, {"max_position_embeddings": 24, "model_type": "roberta"}, {"model_max_length": 24}),
    "sinusoids": ("sinusoids", 24, {"max_position_embeddings": 64}, {"model_max_length": 64}),
    "pairs": ("pairs", 24, {"max_position_embeddings": 64}, {"model_max_length": 64}),
    "clamped": ("clamped", 12, {"max_position_embeddings": 12}, {"model_max_length": 64}),
    "rotary": ("rotary", 0, {"max_position_embeddings": 16}, {"model_max_length": 64}),
    "rotary-unstated": ("rotary", 0, {"max_position_embeddings": 16}, {"model_max_length": 10**30}),
    "rotary-cache": ("rotary-cache", 24, {"max_position_embeddings": 64}, {"model_max_length": 64}),
    "alibi": ("alibi", 0, {"max_position_embeddings": 16}, {"model_max_length": 64}),
    "alibi-buffer": ("alibi-buffer", 24, {"max_position_embeddings": 64}, {"model_max_length": 64}),
}


def limits():
    for name, (positions, rows, config, tokenizer_config) in LIMITS.items():
        model = seeded(lambda: Encoder(positions, rows))
        target = folder(f"limit-{name}", config, tokenizer_config)
        export(model, target / "model.onnx")
        stated = tokenizer_config.get("model_max_length", 10**30)
        stated = stated if stated < 1e9 else config["max_position_embeddings"] or 999
        limit = longest(model, stated)
        said = f"positions: {positions}, {rows} rows; config and tokenizer say {config} {tokenizer_config}"
        expect(target, "limit", said, max_tokens=limit)


# --- outputs and labels --------------------------------------------------------

CLASSIFIER = {"architectures": ["BertForSequenceClassification"]}
NER = {"architectures": ["BertForTokenClassification"]}
MASKED = {"architectures": ["BertForMaskedLM"]}


def outputs():
    hidden = seeded(Encoder)
    pooler = seeded(lambda: Pooler(Encoder()))
    vocabulary = seeded(lambda: Headed(Encoder(), len(VOCABULARY), per_token=True))
    three = seeded(lambda: Headed(Encoder(), 3))
    cases = {
        "pooler-for-logits": (pooler, "pooler_output", CLASSIFIER, None, ["pooler_output", "logits"]),
        "pooler-as-output": (pooler, "output_0", CLASSIFIER, None, ["8 logits", "2"]),
        "ner-without-logits": (hidden, "last_hidden_state", NER, None, ["last_hidden_state", "logits"]),
        "ner-hidden-as-output": (hidden, "output_0", NER, None, ["8 logits", "2"]),
        "masked-hidden-as-logits": (hidden, "logits", MASKED, None, ["logits", "vocabulary", "26"]),
        "splade-without-logits": (hidden, "last_hidden_state", MASKED, [("SpladePooling", {"pooling_strategy": "max"})], ["last_hidden_state", "logits"]),
        "logits-for-vectors": (vocabulary, "output_0", None, None, ["26", "logits"]),
        "logits-as-vectors": (vocabulary, "logits", None, [MEAN], ["logits", "last_hidden_state"]),
        "pooler-for-mean": (pooler, "pooler_output", None, [MEAN], ["pooler_output", "last_hidden_state"]),
        "more-logits": (three, "logits", CLASSIFIER, None, ["3 logits", "2 labels"]),
    }
    for name, (model, output, config, modules, says) in cases.items():
        target = folder(f"output-{name}", config, modules=modules)
        export(model, target / "model.onnx", output)
        refused(target, f"the graph's only output is `{output}`", *says)


# What config.json says, and the number of logits.
LABELS = {
    "unsaid": ({}, 2),
    "counted": ({"num_labels": 3}, 3),
    "numbers": ({"id2label": {"0": 1, "1": 2.5, "2": True}}, 3),
    "null": ({"id2label": None, "num_labels": 1}, 1),
    "against-count": ({"id2label": {"0": "no", "1": "yes"}, "num_labels": 3}, 3),
    "one": ({"id2label": {"0": "relevant"}}, 1),
    "spaced-ids": ({"id2label": {" 1": "yes", "00": "no"}}, 2),
    "list": ({"id2label": ["no", "yes"]}, 2),
    "gap": ({"id2label": {"0": "no", "2": "yes"}}, 2),
    "too-many": ({"id2label": {"0": "no", "1": "yes", "2": "maybe"}}, 2),
    "only-label2id": ({"label2id": {"no": 0, "yes": 1, "maybe": 2}}, 3),
    "one-unsaid": ({}, 1),
}


def labels():
    for name, (said, logits) in LABELS.items():
        model = seeded(lambda: Headed(Encoder(), logits))
        target = folder(f"labels-{name}", CLASSIFIER | said)
        export(model, target / "model.onnx", "logits")
        try:
            config = BertConfig(**said)
            names = [str(config.id2label[id]) for id in range(config.num_labels)]
        except (AttributeError, KeyError, TypeError, ValueError):
            names = None
        what = f"config.json says {json.dumps(said)} of {logits} logits"
        if names is None or len(names) != logits:
            key = "num_labels" if not said else "labels" if "label2id" in said else "id2label"
            refused(target, what, key)
            continue
        cases = [{"text": text, "logits": computed(model, text).tolist()} for text in TEXTS]
        for case in cases:
            values = torch.tensor(case["logits"])
            scores = values.sigmoid() if logits == 1 else values.softmax(0)
            case |= {"scores": scores.tolist(), "label": names[int(scores.argmax())]}
        expect(target, "logits", what, cases=cases, labels=names)


# --- numbers that are not finite -------------------------------------------------


def numbers():
    def spoiled(value):
        model = seeded(Encoder)
        with torch.no_grad():
            model.words.weight[VOCABULARY.index("broken")] = value
        return model

    cls = ("Pooling", {"word_embedding_dimension": WIDTH, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False})
    cases = [("nan", "nan", MEAN), ("infinity", "inf", MEAN), ("nan-elsewhere", "nan", cls)]
    for name, value, pooling in cases:
        target = folder(f"rare-{name}", modules=[pooling])
        export(spoiled(float(value)), target / "model.onnx")
        what = "one word's embedding is no number: texts without it have results, a text with it is an error"
        expect(target, "builds", what)

    model = seeded(Encoder)
    with torch.no_grad():
        model.project[3].bias[3] = float("nan")
    modes = {"max": {"pooling_mode_max_tokens": True}, "mean": {"pooling_mode_mean_tokens": True}}
    for mode, settings in modes.items():
        pooling = ("Pooling", {"word_embedding_dimension": WIDTH, "pooling_mode_cls_token": False} | settings)
        target = folder(f"nan-before-{mode}", modules=[pooling])
        export(model, target / "model.onnx")
        refused(target, f"NaN in every text, before {mode} pooling", "NaN", "last_hidden_state")

    target = folder("infinite-logits", CLASSIFIER)
    model = seeded(lambda: Headed(Encoder(), 2))
    with torch.no_grad():
        model.head.weight.fill_(3e38)
        model.head.bias.fill_(3e38)
    export(model, target / "model.onnx", "logits")
    refused(target, "logits that are beyond float32", "not finite", "logits")

    for name, value in [("nan", np.nan), ("infinity", np.inf)]:
        dense = {"in_features": WIDTH, "out_features": 4, "bias": True, "activation_function": "torch.nn.modules.activation.Tanh"}
        target = folder(f"dense-{name}", modules=[MEAN, ("Dense", dense)])
        export(seeded(Encoder), target / "model.onnx")
        weight = np.full((4, WIDTH), 0.25, np.float32)
        weight[2, 3] = value
        tensors = {"linear.weight": weight, "linear.bias": np.zeros(4, np.float32)}
        save_file(tensors, target / "2_Dense" / "model.safetensors")
        refused(target, "a Dense module with a weight that is no number", "2_Dense/model.safetensors", "linear.weight")


# --- shapes and order --------------------------------------------------------------


def shapes():
    model = seeded(Encoder)
    target = folder("one-text-at-a-time", modules=[MEAN])
    export(model, target / "model.onnx", fixed=(1, None))
    expect(target, "embedding", "the batch axis is fixed at 1, which is all that is ever computed", **embeddings(model))
    for name, fixed, says in [
        ("fixed-tokens", (None, 16), ["fixed", "tokens at 16"]),
        ("fixed-batch", (2, None), ["fixed", "batch at 2"]),
        ("fixed-both", (1, 16), ["fixed", "tokens at 16"]),
    ]:
        target = folder(name)
        export(model, target / "model.onnx", fixed=fixed)
        refused(target, f"exported for {fixed} (batch, tokens)", *says, "dynamic axes")
    target = folder("fixed-inside")
    export(model, target / "model.onnx", fixed=(2, 16), declared=("batch", "tokens"))
    refused(target, "exported for 2 texts of 16 tokens, but declared as dynamic", "dynamic axes")


def in_branch(graph):
    """Puts the graph's last node into both branches of an If whose condition holds."""
    last = graph.node[-1]
    final = last.output[0]
    branches = {}
    for name in ("then_branch", "else_branch"):
        first = helper.make_node("Identity", [last.input[0]], [f"{name}/in"])
        rest = onnx.NodeProto()
        rest.CopyFrom(last)
        rest.name, rest.input[0], rest.output[0] = "", f"{name}/in", f"{name}/out"
        out = helper.make_tensor_value_info(f"{name}/out", TensorProto.FLOAT, None)
        # Each after what needs it.
        branches[name] = helper.make_graph([rest, first], name, [], [out])
    always = numpy_helper.from_array(np.array(True), "always")
    graph.initializer.append(always)
    del graph.node[-1]
    graph.node.append(helper.make_node("If", ["always"], [final], **branches))


def order():
    model = seeded(Encoder)
    for name in ("reversed", "shuffled", "reversed-branch"):
        target = folder(f"nodes-{name}", modules=[MEAN])
        path = target / "model.onnx"
        export(model, path)
        exported = onnx.load(path)
        if name == "reversed-branch":
            in_branch(exported.graph)
        nodes = list(exported.graph.node)
        if name == "shuffled":
            places = np.random.default_rng(15).permutation(len(nodes))
            nodes = [nodes[place] for place in places]
        else:
            nodes.reverse()
        del exported.graph.node[:]
        exported.graph.node.extend(nodes)
        onnx.save(exported, path)
        expect(target, "embedding", f"nodes {name}", **embeddings(model))

    target = folder("nodes-in-a-circle")
    path = target / "model.onnx"
    export(model, path)
    exported = onnx.load(path)
    first = next(it for it in exported.graph.node if it.op_type == "Add")
    first.name, first.input[0] = "/first/Add", exported.graph.output[0].name
    onnx.save(exported, path)
    refused(target, "a node needs what is computed from it", "model.onnx", "needs its own result")

    target = folder("nodes-of-one-name")
    path = target / "model.onnx"
    export(model, path)
    exported = onnx.load(path)
    second = [it for it in exported.graph.node if it.op_type == "Add"][1]
    again = onnx.NodeProto()
    again.CopyFrom(second)
    exported.graph.node.append(again)
    onnx.save(exported, path)
    refused(target, "two nodes define one value", "model.onnx", second.output[0], "defined already")


def check():
    """ONNX Runtime computes what PyTorch does, where there is something to compute."""
    for target in sorted(FAULTS.glob("graph-*")):
        if target.name == "graph-nodes-reversed-branch":
            continue  # It sorts the graph, and not what is in its branches.
        expected = json.loads((target / "expected.json").read_text())
        for case in expected.get("cases", []):
            ids = np.array([tokenizer().encode(case["text"]).ids])
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 3
            session = onnxruntime.InferenceSession(target / "model.onnx", options)
            got = session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0][0]
            want = case.get("logits") or case["embedding"]
            got = got if "logits" in case else got.mean(0)
            assert np.abs(got - np.array(want)).max() < 2e-5, target
        size = sum(it.stat().st_size for it in target.rglob("*") if it.is_file())
        assert size < 60_000, (target, size)


if __name__ == "__main__":
    for make in (limits, outputs, labels, numbers, shapes, order, check):
        make()
