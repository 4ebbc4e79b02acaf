"""LangChain: embeddings, and a reranker for a ``ContextualCompressionRetriever``.

>>> from encoderfile.integrations.langchain import EncoderfileEmbeddings
>>> embeddings = EncoderfileEmbeddings()
>>> len(embeddings.embed_query("How do I reset my password?"))
384
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import Source, encoded, missing, opened

try:
    from langchain_core.callbacks import Callbacks
    from langchain_core.documents import BaseDocumentCompressor, Document
    from langchain_core.embeddings import Embeddings
    from pydantic import ConfigDict, PrivateAttr
except ImportError as error:
    raise missing("langchain-core", error) from error

from ..model import Encoderfile

__all__ = ["EncoderfileEmbeddings", "EncoderfileReranker"]


class EncoderfileEmbeddings(Embeddings):
    """Embeddings, with the model's prompts for queries and documents.

    ``options`` are those of :meth:`Encoderfile.encode`, such as ``dimensions``.
    """

    def __init__(self, model: Source = None, **options: Any) -> None:
        self.model = opened(model)
        self.options = options

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """The embedding of each text."""
        vectors: list[list[float]]
        vectors = encoded(self.model, texts, "document", self.options).tolist()
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """The embedding of a query."""
        vector: list[float]
        vector = encoded(self.model, text, "query", self.options).tolist()
        return vector


class EncoderfileReranker(BaseDocumentCompressor):
    """The documents that answer a query best, each with ``relevance_score`` in its metadata.

    ``model`` is a cross-encoder, ColBERT or BGE-M3. ``top_n`` is how many are kept; all by
    default.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    model: Any = None
    top_n: int | None = None
    _opened: Encoderfile = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Opens the file."""
        super().model_post_init(context)
        self._opened = opened(self.model)

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """The best of ``documents``, best first."""
        texts = [document.page_content for document in documents]
        ranked = self._opened.rerank(query, texts, top_k=self.top_n)
        return [_scored(documents[it["index"]], it["score"]) for it in ranked]


def _scored(document: Document, score: float) -> Document:
    metadata: dict[str, Any] = {**document.metadata, "relevance_score": score}
    return document.model_copy(update={"metadata": metadata})
