"""LlamaIndex: an embedding model and a reranking postprocessor.

>>> from encoderfile.integrations.llama_index import EncoderfileEmbedding
>>> embedding = EncoderfileEmbedding()
>>> len(embedding.get_query_embedding("How do I reset my password?"))
384
"""

from __future__ import annotations

from typing import Any

from . import Source, encoded, missing, opened, stated

try:
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from llama_index.core.bridge.pydantic import Field, PrivateAttr
    from llama_index.core.postprocessor.types import BaseNodePostprocessor
    from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
except ImportError as error:
    raise missing("llama-index-core", error) from error

from ..model import Encoderfile
from ..types import Role

__all__ = ["EncoderfileEmbedding", "EncoderfileRerank"]


class EncoderfileEmbedding(BaseEmbedding):
    """An embedding model, with the model's prompts for queries and documents.

    ``options`` are those of :meth:`Encoderfile.encode`, such as ``dimensions``.
    """

    path: str | None = Field(default=None, description="The file; none for the default model.")
    options: dict[str, Any] = Field(default_factory=dict, description="Options of encode.")
    _model: Encoderfile = PrivateAttr()

    def __init__(
        self, model: Source = None, *, options: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        model = kwargs.pop("path", None) if model is None else model
        loaded = opened(model)
        kwargs.setdefault("model_name", loaded.name)
        kwargs |= {"path": stated(model), "options": options or {}}
        super().__init__(**kwargs)
        self._model = loaded

    @classmethod
    def class_name(cls) -> str:
        """What a stored index calls it."""
        return "EncoderfileEmbedding"

    def _embed(self, texts: Any, role: Role) -> Any:
        return encoded(self._model, texts, role, self.options).tolist()

    def _get_query_embedding(self, query: str) -> list[float]:
        vector: list[float] = self._embed(query, "query")
        return vector

    def _get_text_embedding(self, text: str) -> list[float]:
        vector: list[float] = self._embed(text, "document")
        return vector

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        vectors: list[list[float]] = self._embed(texts, "document")
        return vectors

    async def _aget_query_embedding(self, query: str) -> list[float]:
        from asyncio import to_thread

        return await to_thread(self._get_query_embedding, query)

    async def _aget_text_embedding(self, text: str) -> list[float]:
        from asyncio import to_thread

        return await to_thread(self._get_text_embedding, text)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        from asyncio import to_thread

        return await to_thread(self._get_text_embeddings, texts)


class EncoderfileRerank(BaseNodePostprocessor):
    """The nodes that answer a query best, scored by a cross-encoder, ColBERT or BGE-M3.

    ``top_n`` is how many are kept; all by default.
    """

    path: str | None = Field(default=None, description="The file; none for the default model.")
    top_n: int | None = Field(default=None, description="How many nodes are kept.")
    _model: Encoderfile = PrivateAttr()

    def __init__(self, model: Source = None, *, top_n: int | None = None, **kwargs: Any) -> None:
        model = kwargs.pop("path", None) if model is None else model
        kwargs |= {"path": stated(model), "top_n": top_n}
        super().__init__(**kwargs)
        self._model = opened(model)

    @classmethod
    def class_name(cls) -> str:
        """What a stored pipeline calls it."""
        return "EncoderfileRerank"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None:
            raise ValueError("query_bundle: a reranker needs the query")
        texts = [it.node.get_content(metadata_mode=MetadataMode.EMBED) for it in nodes]
        ranked = self._model.rerank(query_bundle.query_str, texts, top_k=self.top_n)
        return [NodeWithScore(node=nodes[it["index"]].node, score=it["score"]) for it in ranked]
