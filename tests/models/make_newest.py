"""Models as the newest libraries write them: PyTorch's exporter (`dynamo=True`) with
opset 23, T5 encoders, and Gemma 3 with bidirectional attention. References are those of
transformers 5.24.0 and sentence-transformers 6.2.0 on PyTorch 2.15.0, in float32, one
text at a time. The same run gives the same numbers; the exporter orders nodes as it likes.

    python make_newest.py OUT

Tokenizers are those of the model folders beside this file.
"""

import json
import logging
import sys
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)

import onnx
import sentence_transformers
import torch
import transformers
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.models import Dense, Normalize, Pooling, Transformer
from transformers import (
    AutoTokenizer, BertConfig, BertModel, Gemma3TextConfig, Gemma3TextForSequenceClassification,
    Gemma3TextModel, ModernBertConfig, ModernBertModel, RobertaConfig, RobertaModel, T5Config, T5EncoderModel,
)

HERE = Path(__file__).parent
MAX_LENGTH = 64
TEXTS = [
    "Of these bedrooms the first is Dr.",
    "\"Witness: I should prefer not to answer.\"",
    "Zoë flew from Zürich to 東京 😀 today.",
    "!",
    "It is a truth universally acknowledged, that a single man in possession of a good fortune, "
    "must be in want of a wife. However little known the feelings or views of such a man may be on "
    "his first entering a neighbourhood, this truth is so well fixed in the minds of the surrounding "
    "families, that he is considered as the rightful property of some one or other of their daughters.",
]
SMALL = dict(vocab_size=700, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
             num_attention_heads=4, max_position_embeddings=80)


class Output(torch.nn.Module):
    """One output of a model as a function of ids and mask."""

    def __init__(self, model, name):
        super().__init__()
        self.model = model
        self.name = name
        # The exporter leaves a model as it found this one.
        self.eval()

    def forward(self, input_ids, attention_mask):
        return self.model(input_ids=input_ids, attention_mask=attention_mask)[self.name]


def drawn(model, spread=0.3):
    """The model with random weights, drawn widely so that all of it shows."""
    generator = torch.Generator().manual_seed(23)
    for parameter in model.parameters():
        with torch.no_grad():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(noise * spread if parameter.dim() > 1 else parameter + 0.1 * noise)
    return model.eval()


def export(model, path, dynamo, output="last_hidden_state"):
    ids = torch.tensor([[5, 6, 7, 8, 9, 30, 31, 2], [9, 8, 7, 6, 5, 31, 30, 2]])
    names = dict(input_names=["input_ids", "attention_mask"], output_names=[output])
    axes = {0: "batch", 1: "sequence"}
    if dynamo:
        shapes = {"input_ids": axes, "attention_mask": axes}
        torch.onnx.export(Output(model, output), (ids, torch.ones_like(ids)), path, dynamo=True, opset_version=23,
                          dynamic_shapes=shapes, external_data=False, verbose=False, **names)
    else:
        every = {name: axes for name in ["input_ids", "attention_mask", output]}
        torch.onnx.export(Output(model, output), (ids, torch.ones_like(ids)), path, dynamo=False, opset_version=17,
                          dynamic_axes=every, **names)
    # The exporter writes where in whose Python each node comes from.
    proto = onnx.load(path)
    for node in proto.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del proto.graph.value_info[:]
    del proto.metadata_props[:]
    for value in [*proto.graph.input, *proto.graph.output, *proto.graph.initializer]:
        del value.metadata_props[:]
    onnx.save(proto, path)


def write_json(path, value):
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def sentencepiece(tokenizer):
    """XLM-R's tokenizer.json with T5's first pieces."""
    pieces = tokenizer["model"]["vocab"]
    tokenizer["model"]["vocab"] = [["<pad>", 0.0], ["</s>", 0.0], ["<unk>", 0.0]] + pieces[4:]
    tokenizer["model"]["unk_id"] = 2
    tokenizer["added_tokens"] = [
        {"id": index, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False, "special": True}
        for index, content in enumerate(["<pad>", "</s>", "<unk>"])]
    tokenizer["post_processor"] = None
    return tokenizer


def folder(out, name, config, source, tokenizer_class):
    place = out / name
    place.mkdir(parents=True, exist_ok=True)
    tokenizer = json.loads((HERE / source / "tokenizer.json").read_text())
    settings = {"tokenizer_class": tokenizer_class, "model_max_length": MAX_LENGTH}
    if tokenizer_class == "T5Tokenizer":
        tokenizer = sentencepiece(tokenizer)
        settings.update(extra_ids=0, eos_token="</s>", unk_token="<unk>", pad_token="<pad>")
    elif tokenizer_class == "PreTrainedTokenizerFast":
        settings = json.loads((HERE / source / "tokenizer_config.json").read_text())
    write_json(place / "tokenizer.json", tokenizer)
    write_json(place / "tokenizer_config.json", settings)
    write_json(place / "config.json", config)
    return place


def config_of(model):
    kept = json.loads(model.config.to_json_string(use_diff=True))
    return {**kept, "architectures": [type(model).__name__]}


def rounded(tensor):
    return [round(float(value), 7) for value in tensor]


def computed(place, model, output):
    """The tokens of each text, as a case begins, and that output of the model."""
    tokenizer = AutoTokenizer.from_pretrained(place)
    for text in TEXTS:
        out = tokenizer(text, truncation=True, max_length=MAX_LENGTH, return_offsets_mapping=True)
        ids = torch.tensor([out["input_ids"]])
        with torch.no_grad():
            result = model(input_ids=ids, attention_mask=torch.ones_like(ids))[output][0]
        yield {
            "text": text, "input_ids": out["input_ids"], "tokens": out.tokens(),
            "offsets": [list(pair) for pair in out["offset_mapping"]],
        }, result


def golden(place, model):
    cases = []
    for case, hidden in computed(place, model, "last_hidden_state"):
        cases.append({
            **case, "mean": rounded(hidden.mean(0)), "cls": rounded(hidden[0]), "last_token": rounded(hidden[-1]),
        })
    reference = f"transformers {transformers.__version__} / torch {torch.__version__.split('+')[0]}, batch of one, float32"
    write_json(place / "golden.json", {
        "model": place.name, "architecture": model.config.model_type, "task": "embedding",
        "max_length": MAX_LENGTH, "reference": reference, "cases": cases})


def embedding(out, name, model, source, tokenizer_class, dynamo):
    model = drawn(model)
    place = folder(out, name, config_of(model), source, tokenizer_class)
    export(model, place / "model.onnx", dynamo)
    golden(place, model)
    print(name)


def classification(out, name, model, source):
    model = drawn(model)
    place = folder(out, name, config_of(model), source, "PreTrainedTokenizerFast")
    export(model, place / "model.onnx", True, "logits")
    cases = []
    for case, logits in computed(place, model, "logits"):
        cases.append({
            **case, "logits": rounded(logits), "scores": rounded(logits.softmax(0)),
            "label": model.config.id2label[int(logits.argmax())],
        })
    reference = f"transformers {transformers.__version__} / torch {torch.__version__.split('+')[0]}, batch of one, float32"
    write_json(place / "golden.json", {
        "model": name, "architecture": model.config.model_type, "task": "sequence_classification",
        "max_length": MAX_LENGTH, "reference": reference, "cases": cases})
    print(name)


def t5(**changes):
    settings = dict(vocab_size=700, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4,
                    relative_attention_num_buckets=8, relative_attention_max_distance=20, dropout_rate=0.0)
    config = T5Config(**{**settings, **changes})
    # The exporter does not trace the other kind of T5's attention.
    config._attn_implementation = "eager"
    return T5EncoderModel(config)


def sentence_t5(out):
    """As sentence-t5 is made: the mean, a projection without a bias, a norm."""
    model = drawn(t5())
    place = folder(out, "st-t5", config_of(model), "xlm-roberta-embedding", "T5Tokenizer")
    model.save_pretrained(place)
    transformer = Transformer(str(place), max_seq_length=48)
    torch.manual_seed(5)
    dense = Dense(32, 24, bias=False, activation_function=torch.nn.Identity())
    whole = SentenceTransformer(modules=[transformer, Pooling(32, "mean"), dense, Normalize()], device="cpu")
    whole.save(str(place), create_model_card=False)
    write_json(place / "config.json", config_of(model))
    export(model, place / "model.onnx", dynamo=False)
    (place / "model.safetensors").unlink()
    whole = SentenceTransformer(modules=list(whole), device="cpu")
    cases = []
    for text in TEXTS:
        count = len(AutoTokenizer.from_pretrained(place)(text)["input_ids"])
        cases.append({"text": text, "embedding": rounded(whole.encode(text)), "tokens": count})
    reference = f"sentence-transformers {sentence_transformers.__version__} encode(), batch of one, float32"
    write_json(place / "golden.json", {"model": "st-t5", "architecture": "t5", "task": "sentence_embedding",
                                       "reference": reference, "cases": cases})
    print("st-t5")


def cross_encoder(out):
    """A cross-encoder made of modules: the last Dense gives the scores."""
    model = drawn(BertModel(BertConfig(**SMALL), add_pooling_layer=False))
    place = folder(out, "ce-dense", config_of(model), "bert-embedding", "PreTrainedTokenizerFast")
    # The graph has no input for them.
    settings = json.loads((place / "tokenizer_config.json").read_text())
    write_json(place / "tokenizer_config.json", {**settings, "model_input_names": ["input_ids", "attention_mask"]})
    model.save_pretrained(place)
    transformer = Transformer(str(place), max_seq_length=48)
    torch.manual_seed(6)
    hidden = Dense(32, 16, activation_function=torch.nn.Tanh())
    scores = Dense(16, 1, activation_function=torch.nn.Identity(), module_output_name="scores")
    whole = CrossEncoder(modules=[transformer, Pooling(32, "cls"), hidden, scores], device="cpu")
    whole.save_pretrained(str(place))
    write_json(place / "config.json", config_of(model))
    export(model, place / "model.onnx", dynamo=False)
    for name in ["model.safetensors", "README.md"]:
        (place / name).unlink(missing_ok=True)
    cases = []
    for text, pair in zip(TEXTS, TEXTS[1:] + TEXTS[:1]):
        logits = whole.predict([(text, pair)], activation_fn=torch.nn.Identity())
        found = whole.predict([(text, pair)])
        cases.append({"text": text, "text_pair": pair, "logits": rounded(logits), "scores": rounded(found),
                      "label": "LABEL_0"})
    reference = f"sentence-transformers {sentence_transformers.__version__} CrossEncoder.predict; logits: with activation Identity"
    write_json(place / "golden.json", {"model": "ce-dense", "architecture": "bert", "task": "sequence_classification",
                                       "max_length": 48, "reference": reference, "cases": cases})
    print("ce-dense")


def gemma3(kind, **changes):
    return kind(Gemma3TextConfig(
        **SMALL, num_key_value_heads=2, head_dim=8, sliding_window=8, use_bidirectional_attention=True,
        layer_types=["sliding_attention", "full_attention"], **changes))


def main():
    out = Path(sys.argv[1])
    roberta = {**SMALL, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    modernbert = dict(**roberta, global_attn_every_n_layers=2, local_attention=8, cls_token_id=0, sep_token_id=2)
    bert = BertModel(BertConfig(**SMALL), add_pooling_layer=False)
    fast = "PreTrainedTokenizerFast"
    embedding(out, "t5-embedding", t5(), "xlm-roberta-embedding", "T5Tokenizer", False)
    embedding(out, "t5-gated-embedding", t5(feed_forward_proj="gated-gelu"), "xlm-roberta-embedding", "T5Tokenizer", True)
    embedding(out, "files-opset-23", bert, "bert-embedding", fast, True)
    embedding(out, "files-opset-23-roberta", RobertaModel(RobertaConfig(**roberta), add_pooling_layer=False),
              "roberta-embedding", fast, True)
    embedding(out, "files-opset-23-modernbert", ModernBertModel(ModernBertConfig(**modernbert)),
              "modernbert-embedding", fast, True)
    embedding(out, "gemma3_text-embedding", gemma3(Gemma3TextModel), "roberta-embedding", fast, True)
    classification(out, "gemma3_text-sequence_classification",
                   gemma3(Gemma3TextForSequenceClassification, num_labels=3, pad_token_id=1), "roberta-embedding")
    sentence_t5(out)
    cross_encoder(out)


main()
