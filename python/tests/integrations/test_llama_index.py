"""LlamaIndex's own classes call ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("llama_index.core", reason="llama-index-core is not installed")

from llama_index.core import VectorStoreIndex
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from encoderfile import Encoderfile
from encoderfile.integrations.llama_index import EncoderfileEmbedding, EncoderfileRerank

TEXTS = ["Reset your password here.", "Our office is in Berlin.", "We are closed on Sunday."]


def test_an_index_finds_the_nearest(model: Encoderfile) -> None:
    nodes = [TextNode(text=text, id_=str(index)) for index, text in enumerate(TEXTS)]
    index = VectorStoreIndex(nodes, embed_model=EncoderfileEmbedding(model))
    found = index.as_retriever(similarity_top_k=2).retrieve("I forgot my login")
    assert found[0].node_id == "0"
    wanted = model.similarity(model.encode("I forgot my login"), model.encode(TEXTS[0]))
    assert found[0].score == pytest.approx(float(wanted[0, 0]), abs=1e-5)


def test_queries_and_documents_have_their_prompts(build: Callable[[str], str]) -> None:
    core = Encoderfile.load(build("st-roles"))
    embedding = EncoderfileEmbedding(build("st-roles"))
    query = core.encode(TEXTS[0], role="query")
    documents = core.encode(TEXTS, role="document")
    assert np.allclose(embedding.get_query_embedding(TEXTS[0]), query)
    assert np.allclose(embedding.get_text_embedding(TEXTS[0]), documents[0])
    assert np.allclose(embedding.get_text_embedding_batch(TEXTS), documents)
    assert np.allclose(asyncio.run(embedding.aget_query_embedding(TEXTS[0])), query)
    assert np.allclose(asyncio.run(embedding.aget_text_embedding_batch(TEXTS)), documents)


def test_it_is_stored_and_read_again(model_path: str) -> None:
    embedding = EncoderfileEmbedding(model_path, options={"dimensions": 64})
    assert embedding.model_name == "all-MiniLM-L6-v2"
    again = EncoderfileEmbedding.from_dict(embedding.to_dict())
    assert again.get_text_embedding(TEXTS[0]) == embedding.get_text_embedding(TEXTS[0])
    assert len(again.get_text_embedding(TEXTS[0])) == 64


def test_a_reranker_keeps_the_best(build: Callable[[str], str]) -> None:
    path = build("cls-pair-rerank")
    nodes = [
        NodeWithScore(node=TextNode(text=text, id_=str(index)), score=0.0)
        for index, text in enumerate(TEXTS)
    ]
    wanted = Encoderfile.load(path).rerank("Where are you?", TEXTS, top_k=2)
    reranker = EncoderfileRerank(path, top_n=2)
    kept = reranker.postprocess_nodes(nodes, query_str="Where are you?")
    assert [int(it.node_id) for it in kept] == [it["index"] for it in wanted]
    assert [it.score for it in kept] == [it["score"] for it in wanted]
    again = EncoderfileRerank.from_dict(reranker.to_dict())
    assert again.postprocess_nodes(nodes, QueryBundle("Where are you?")) == kept
    with pytest.raises(ValueError, match="query_bundle"):
        reranker.postprocess_nodes(nodes)
