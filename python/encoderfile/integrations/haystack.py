"""Haystack: embedders for texts and documents, and a ranker, as components of a pipeline.

>>> from encoderfile.integrations.haystack import EncoderfileTextEmbedder
>>> embedder = EncoderfileTextEmbedder()
>>> len(embedder.run(text="How do I reset my password?")["embedding"])
384

A stored pipeline is read again by ``Pipeline.loads(text, allowed_modules=[
"encoderfile.integrations.haystack"])``: Haystack wants to be told whom to trust.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from . import Source, encoded, missing, opened, stated

try:
    from haystack import Document, component, default_from_dict, default_to_dict
except ImportError as error:
    raise missing("haystack-ai", error) from error

from ..model import Encoderfile

__all__ = ["EncoderfileDocumentEmbedder", "EncoderfileRanker", "EncoderfileTextEmbedder"]


class _Component:
    """A component with a file, which is opened when the pipeline warms up, or first runs.

    ``@component`` makes another class of each that is derived: there is no ``super()`` in them.
    """

    def __init__(self, model: Source, **parameters: Any) -> None:
        self._source = model
        self._parameters = parameters
        self._model: Encoderfile | None = None

    @property
    def model(self) -> Encoderfile:
        """The model, opened."""
        if self._model is None:
            self._model = opened(self._source)
        return self._model

    def warm_up(self) -> None:
        """Opens the file."""
        _ = self.model

    def to_dict(self) -> dict[str, Any]:
        """What a stored pipeline has of it: the path of the file and the parameters."""
        return default_to_dict(self, model=stated(self._source), **self._parameters)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Any:
        """The component of a stored pipeline."""
        return default_from_dict(cls, data)


@component
class EncoderfileTextEmbedder(_Component):
    """The embedding of a query, with the model's prompt for queries.

    ``options`` are those of :meth:`Encoderfile.encode`, such as ``dimensions``.
    """

    def __init__(self, model: Source = None, options: dict[str, Any] | None = None) -> None:
        _Component.__init__(self, model, options=options)
        self.options = options or {}

    @component.output_types(embedding=list[float], meta=dict[str, Any])
    def run(self, text: str) -> dict[str, Any]:
        """``embedding`` of the text."""
        embedding = encoded(self.model, text, "query", self.options)
        return {"embedding": embedding.tolist(), "meta": {"model": self.model.name}}


@component
class EncoderfileDocumentEmbedder(_Component):
    """The embeddings of documents, with the model's prompt for documents.

    ``meta_fields_to_embed`` are put in front of the content, with ``embedding_separator``.
    """

    def __init__(
        self,
        model: Source = None,
        options: dict[str, Any] | None = None,
        meta_fields_to_embed: list[str] | None = None,
        embedding_separator: str = "\n",
    ) -> None:
        _Component.__init__(
            self,
            model,
            options=options,
            meta_fields_to_embed=meta_fields_to_embed,
            embedding_separator=embedding_separator,
        )
        self.options = options or {}
        self.meta_fields_to_embed = meta_fields_to_embed or []
        self.embedding_separator = embedding_separator

    @component.output_types(documents=list[Document], meta=dict[str, Any])
    def run(self, documents: list[Document]) -> dict[str, Any]:
        """The same ``documents``, with embeddings."""
        texts = [_text(it, self.meta_fields_to_embed, self.embedding_separator) for it in documents]
        vectors = encoded(self.model, texts, "document", self.options).tolist()
        embedded = [
            replace(document, embedding=vector)
            for document, vector in zip(documents, vectors, strict=True)
        ]
        return {"documents": embedded, "meta": {"model": self.model.name}}


@component
class EncoderfileRanker(_Component):
    """The documents that answer a query best, scored by a cross-encoder, ColBERT or BGE-M3."""

    def __init__(
        self,
        model: Source = None,
        top_k: int | None = None,
        score_threshold: float | None = None,
        meta_fields_to_embed: list[str] | None = None,
        embedding_separator: str = "\n",
    ) -> None:
        _Component.__init__(
            self,
            model,
            top_k=top_k,
            score_threshold=score_threshold,
            meta_fields_to_embed=meta_fields_to_embed,
            embedding_separator=embedding_separator,
        )
        self.top_k = top_k
        self.score_threshold = score_threshold
        self.meta_fields_to_embed = meta_fields_to_embed or []
        self.embedding_separator = embedding_separator

    @component.output_types(documents=list[Document])
    def run(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        score_threshold: float | None = None,
    ) -> dict[str, Any]:
        """The best of ``documents``, best first, each with its score."""
        texts = [_text(it, self.meta_fields_to_embed, self.embedding_separator) for it in documents]
        least = self.score_threshold if score_threshold is None else score_threshold
        ranked = self.model.rerank(query, texts, top_k=self.top_k if top_k is None else top_k)
        return {
            "documents": [
                replace(documents[it["index"]], score=it["score"])
                for it in ranked
                if least is None or it["score"] >= least
            ]
        }


def _text(document: Document, fields: list[str], separator: str) -> str:
    stated_fields = [str(document.meta[field]) for field in fields if document.meta.get(field)]
    return separator.join([*stated_fields, document.content or ""])
