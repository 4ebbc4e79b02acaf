"""LangChain's own classes call ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("langchain_core", reason="langchain-core is not installed")

from langchain_core.documents import Document
from langchain_core.vectorstores import InMemoryVectorStore

from encoderfile import Encoderfile
from encoderfile.integrations.langchain import EncoderfileEmbeddings, EncoderfileReranker

TEXTS = ["Reset your password here.", "Our office is in Berlin.", "We are closed on Sunday."]


def test_a_vector_store_finds_the_nearest(model: Encoderfile) -> None:
    store = InMemoryVectorStore.from_texts(TEXTS, EncoderfileEmbeddings(model))
    (found, score), *_ = store.similarity_search_with_score("I forgot my login", k=2)
    assert found.page_content == TEXTS[0]
    wanted = model.similarity(model.encode("I forgot my login"), model.encode(TEXTS[0]))
    assert score == pytest.approx(float(wanted[0, 0]), abs=1e-5)


def test_queries_and_documents_have_their_prompts(build: Callable[[str], str]) -> None:
    core = Encoderfile.load(build("st-roles"))
    embeddings = EncoderfileEmbeddings(build("st-roles"))
    query = np.array(embeddings.embed_query(TEXTS[0]))
    documents = np.array(embeddings.embed_documents(TEXTS))
    assert np.allclose(query, core.encode(TEXTS[0], role="query"))
    assert np.allclose(documents, core.encode(TEXTS, role="document"))
    assert not np.allclose(query, documents[0])


def test_options_and_await(model: Encoderfile) -> None:
    embeddings = EncoderfileEmbeddings(model, dimensions=64)
    awaited = asyncio.run(embeddings.aembed_documents(TEXTS))
    assert awaited == embeddings.embed_documents(TEXTS)
    assert np.allclose(awaited, model.encode(TEXTS, dimensions=64))
    assert len(asyncio.run(embeddings.aembed_query(TEXTS[0]))) == 64


def test_a_reranker_keeps_the_best(build: Callable[[str], str]) -> None:
    path = build("cls-pair-rerank")
    documents = [Document(text, metadata={"id": index}) for index, text in enumerate(TEXTS)]
    wanted = Encoderfile.load(path).rerank("Where are you?", TEXTS, top_k=2)
    reranker = EncoderfileReranker(model=path, top_n=2)
    for kept in (
        reranker.compress_documents(documents, "Where are you?"),
        asyncio.run(reranker.acompress_documents(documents, "Where are you?")),
    ):
        assert [it.metadata["id"] for it in kept] == [it["index"] for it in wanted]
        scores = [it.metadata["relevance_score"] for it in kept]
        assert scores == [it["score"] for it in wanted]
    assert documents[0].metadata == {"id": 0}
