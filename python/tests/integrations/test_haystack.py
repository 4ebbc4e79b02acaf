"""A pipeline of Haystack with our components, stored and read again."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("haystack", reason="haystack-ai is not installed")

from haystack import Document, Pipeline
from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
from haystack.document_stores.in_memory import InMemoryDocumentStore

from encoderfile import Encoderfile, RequestError
from encoderfile.integrations.haystack import (
    EncoderfileDocumentEmbedder,
    EncoderfileRanker,
    EncoderfileTextEmbedder,
)

TEXTS = ["Reset your password here.", "Our office is in Berlin.", "We are closed on Sunday."]


def documents() -> list[Document]:
    return [Document(id=str(index), content=text) for index, text in enumerate(TEXTS)]


def test_a_pipeline_searches_and_ranks(model_path: str, build: Callable[[str], str]) -> None:
    store = InMemoryDocumentStore(embedding_similarity_function="cosine")
    store.write_documents(EncoderfileDocumentEmbedder(model_path).run(documents())["documents"])
    pipeline = Pipeline()
    pipeline.add_component("embedder", EncoderfileTextEmbedder(model_path))
    pipeline.add_component("retriever", InMemoryEmbeddingRetriever(store, top_k=3))
    pipeline.add_component("ranker", EncoderfileRanker(build("cls-pair-rerank"), top_k=2))
    pipeline.connect("embedder.embedding", "retriever.query_embedding")
    pipeline.connect("retriever.documents", "ranker.documents")
    query = "I forgot my login"
    given = {"embedder": {"text": query}, "ranker": {"query": query}}
    found = pipeline.run(given, include_outputs_from={"retriever"})
    assert found["retriever"]["documents"][0].content == TEXTS[0]
    retrieved = [it.content for it in found["retriever"]["documents"]]
    wanted = Encoderfile.load(build("cls-pair-rerank")).rerank(query, retrieved, top_k=2)
    ranked = found["ranker"]["documents"]
    assert [it.content for it in ranked] == [retrieved[it["index"]] for it in wanted]
    assert [it.score for it in ranked] == [it["score"] for it in wanted]


def test_components_are_stored_and_read_again(model_path: str, build: Callable[[str], str]) -> None:
    pipeline = Pipeline()
    pipeline.add_component("text", EncoderfileTextEmbedder(model_path, {"dimensions": 64}))
    pipeline.add_component(
        "document", EncoderfileDocumentEmbedder(model_path, meta_fields_to_embed=["title"])
    )
    pipeline.add_component("ranker", EncoderfileRanker(build("cls-pair-rerank"), top_k=1))
    trusted = ["encoderfile.integrations.haystack"]
    again = Pipeline.loads(pipeline.dumps(), allowed_modules=trusted)
    for name in ("text", "document", "ranker"):
        one, other = pipeline.get_component(name), again.get_component(name)
        assert one is not other and one.to_dict() == other.to_dict()
    again.get_component("text").warm_up()
    assert len(again.get_component("text").run(text="A cat")["embedding"]) == 64


def test_queries_and_documents_have_their_prompts(build: Callable[[str], str]) -> None:
    core = Encoderfile.load(build("st-roles"))
    query = EncoderfileTextEmbedder(core).run(text=TEXTS[0])
    assert np.allclose(query["embedding"], core.encode(TEXTS[0], role="query"))
    assert query["meta"] == {"model": "st-roles"}
    given = [Document(content="It is here.", meta={"title": "Berlin", "page": 1})]
    embedder = EncoderfileDocumentEmbedder(core, meta_fields_to_embed=["title", "none"])
    (embedded,) = embedder.run(documents=given)["documents"]
    wanted = core.encode("Berlin\nIt is here.", role="document")
    assert np.allclose(embedded.embedding, wanted)
    assert given[0].embedding is None


def test_a_threshold_leaves_out_the_worse(build: Callable[[str], str]) -> None:
    core = Encoderfile.load(build("cls-pair-rerank"))
    scores = [it["score"] for it in core.rerank("Where are you?", TEXTS)]
    ranker = EncoderfileRanker(core)
    kept = ranker.run(query="Where are you?", documents=documents(), score_threshold=scores[1])
    assert [it.score for it in kept["documents"]] == scores[:2]


def test_a_model_from_bytes_cannot_be_stored(model_path: str) -> None:
    with open(model_path, "rb") as file:
        embedder = EncoderfileTextEmbedder(Encoderfile.load(file.read()))
    with pytest.raises(RequestError, match="loaded from bytes"):
        embedder.to_dict()


def test_the_default_model_is_stored_as_such() -> None:
    for source in (None, Encoderfile.load()):
        stored = EncoderfileTextEmbedder(source).to_dict()
        assert stored["init_parameters"]["model"] is None
