"""The other tasks: each method against what the command prints for the same file."""

from __future__ import annotations

import inspect
import json
import pickle
import re
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from encoderfile import Encoderfile, RequestError, tool

TEXTS = ["Angela Merkel was born in Hamburg.", "a [MASK] in the house", "naïve 北京 café"]


def printed(model: Encoderfile, texts: Sequence[str], *options: str) -> list[dict[str, Any]]:
    """What `encoderfile run FILE infer` prints."""
    file = model.__reduce__()[1][1]
    command = [tool.path(), "run", file, "infer", "--format", "jsonl", *options, "--", *texts]
    output = subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout
    return [json.loads(line) for line in output.splitlines()]


def near(a: Any, b: Any) -> bool:
    """Whether they are the same, as far as WebAssembly's numbers are, which `run` gives."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(near(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(near(x, y) for x, y in zip(a, b, strict=True))
    return bool(np.isclose(a, b, rtol=0, atol=1e-5)) if isinstance(a, float) else a == b


def test_classify(built: Callable[[str], Encoderfile]) -> None:
    model = built("bert-sequence_classification")
    expected = printed(model, TEXTS)
    got = model.classify(TEXTS)
    for result, scores in zip(expected, got, strict=True):
        by_label = {it["label"]: it["score"] for it in scores}
        assert scores[0]["label"] == result["predicted_label"]
        assert near([by_label[label] for label in model.info["labels"]], result["scores"])
    assert near(model.classify(TEXTS[0]), got[0]) and len(model.classify(TEXTS[0], top_k=1)) == 1
    pair = ("a text", "another")
    assert near(model.classify(pair), model.classify([pair])[0])
    assert not near(model.classify(pair), model.classify("a text"))
    mapping = {"text": "a text", "text_pair": "another"}
    assert near(model.classify([mapping])[0], model.classify(pair))


def test_entities(built: Callable[[str], Encoderfile]) -> None:
    model = built("bert-token_classification")
    expected = [it["entities"] for it in printed(model, TEXTS, "--aggregation=simple")]
    assert near(model.entities(TEXTS), expected)
    assert near(model.entities(TEXTS[0]), expected[0])
    for text, entities in zip(TEXTS, model.entities(TEXTS, ignore_labels=[]), strict=True):
        assert entities and all(text[it["start"] : it["end"]] for it in entities)


def test_fill_mask(built: Callable[[str], Encoderfile]) -> None:
    model = built("bert-fill_mask")
    text = "a [MASK] in [MASK]"
    expected = printed(model, [text], "--top-k=3")[0]["masks"]
    assert near(model.fill_mask(text, top_k=3), expected) and len(expected[0]) == 3


def test_zero_shot(built: Callable[[str], Encoderfile]) -> None:
    model = built("cls-pair-nli")
    labels = ["sport", "politics"]
    expected = printed(model, TEXTS[:1], "--labels=sport,politics")[0]
    scores = model.zero_shot(TEXTS[0], labels)
    assert [it["label"] for it in scores] == expected["labels"]
    assert near([it["score"] for it in scores], expected["scores"])


def test_rerank(built: Callable[[str], Encoderfile]) -> None:
    model = built("cls-pair-rerank")
    expected = printed(model, TEXTS, "--query=where was she born")
    assert near(model.rerank("where was she born", TEXTS), expected)
    assert near(model.rerank("where was she born", iter(TEXTS), top_k=1), expected[:1])
    assert model.rerank("a", []) == []
    with pytest.raises(TypeError, match="one text, where a list of texts is expected"):
        model.rerank("a", "b")


def test_sparse(built: Callable[[str], Encoderfile]) -> None:
    model = built("splade-max")
    for result, vector in zip(printed(model, TEXTS), model.sparse(TEXTS), strict=True):
        weights = result["sparse_embedding"]
        assert vector.indices.tolist() == [it["index"] for it in weights]
        assert np.allclose(vector.values, [it["value"] for it in weights], atol=1e-5)
        assert vector.values.dtype == np.float32
    assert len(model.sparse(TEXTS[0])) == 1


def test_token_embeddings(built: Callable[[str], Encoderfile], model: Encoderfile) -> None:
    tokens = built("bert-embedding")
    for result, array in zip(printed(tokens, TEXTS), tokens.encode_tokens(TEXTS), strict=True):
        assert np.allclose(array, [it["embedding"] for it in result["embeddings"]], atol=1e-5)
    pooled = model.encode_tokens("a kitten", special_tokens=True)
    assert len(pooled) == 1 and pooled[0].shape == (4, 384)
    mean = pooled[0].mean(axis=0)
    assert np.allclose(mean / np.linalg.norm(mean), model.encode("a kitten"), atol=1e-6)


def test_late_interaction(built: Callable[[str], Encoderfile]) -> None:
    model = built("late-bert")
    query = model.encode_tokens("where was she born", role="query")[0]
    documents = model.encode_tokens(TEXTS, role="document")
    scores = [float((query @ document.T).max(axis=1).sum()) for document in documents]
    ranked = model.rerank("where was she born", TEXTS)
    assert near([scores[it["index"]] for it in ranked], [it["score"] for it in ranked])


def test_several_kinds_of_vectors(built: Callable[[str], Encoderfile]) -> None:
    model = built("hybrid-bge-m3")
    everything = model.infer(TEXTS, vectors="all")
    for result, dense, sparse, tokens in zip(
        everything,
        model.encode(TEXTS),
        model.sparse(TEXTS),
        model.encode_tokens(TEXTS),
        strict=True,
    ):
        assert np.allclose(result["embedding"], dense, atol=1e-6)
        assert [it["index"] for it in result["sparse_embedding"]] == sparse.indices.tolist()
        assert np.allclose([it["embedding"] for it in result["embeddings"]], tokens, atol=1e-6)


def test_ranks_by_one_kind_of_vectors(built: Callable[[str], Encoderfile]) -> None:
    model = built("hybrid-bge-m3")
    for kind in ("dense", "sparse", "colbert", "all"):
        expected = printed(model, TEXTS, "--query=where", f"--vectors={kind}")
        assert near(model.rerank("where", TEXTS, vectors=kind), expected)


def test_every_option_of_the_runtime_is_some_methods(model: Encoderfile) -> None:
    with pytest.raises(RequestError, match="expected one of") as caught:
        model.infer(["a"], unknown=1)
    names = set(re.findall(r"`(\w+)`", str(caught.value))) - {"unknown"}
    methods = "encode encode_tokens sparse classify zero_shot entities fill_mask rerank"
    offered = {
        parameter
        for method in methods.split()
        for parameter in inspect.signature(getattr(Encoderfile, method)).parameters
    }
    # Two older names, and what `encode_tokens` is.
    assert names - offered == {"long", "truncation", "unpooled"}


def test_tokenize(model: Encoderfile) -> None:
    tokens = model.tokenize("naïve 北京")
    assert tokens["tokens_total"] == tokens["tokens_used"] == len(tokens["tokens"])
    spelled = [
        "naïve 北京"[it["start"] : it["end"]] for it in tokens["tokens"] if not it["special"]
    ]
    assert "".join(spelled) == "naïve北京"
    assert model.tokenize(["a", "b"], max_tokens=3)[1]["tokens"][1]["token"] == "b"


def test_infer_gives_all_that_predict_has(model: Encoderfile) -> None:
    long = " ".join(["word"] * 600)
    results = model.infer(["a", long, "b"], partial=True, overflow="error")
    assert results[0].keys() == {"embedding"} and isinstance(results[1], RequestError)
    assert str(results[1]).startswith("texts[1]: the text has 602 tokens")
    assert model.infer([long])[0]["tokens_total"] == 602


@pytest.mark.parametrize("name", ["classify", "entities", "fill_mask", "sparse"])
def test_what_a_model_cannot_do_is_said_with_what_it_can(model: Encoderfile, name: str) -> None:
    with pytest.raises(RequestError, match="is for sentence_embedding, and gives embed"):
        getattr(model, name)("a")


def test_the_default_model_is_in_the_package(model: Encoderfile) -> None:
    default = Encoderfile.load()
    assert default.info["payload_digest"] == model.info["payload_digest"]
    assert pickle.loads(pickle.dumps(default)).info == default.info
    assert default.self_test()["passed"] is True
