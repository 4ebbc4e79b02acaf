"""LanceDB: an embedding function, registered as ``encoderfile``.

>>> from lancedb.embeddings import get_registry
>>> import encoderfile.integrations.lancedb
>>> function = get_registry().get("encoderfile").create()
>>> function.ndims()
384
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from . import missing

try:
    from lancedb.embeddings import TextEmbeddingFunction, register
except ImportError as error:
    raise missing("lancedb", error) from error

from ..model import Encoderfile

__all__ = ["EncoderfileEmbeddings"]


@register("encoderfile")  # type: ignore[untyped-decorator, unused-ignore] # pyright: ignore
class EncoderfileEmbeddings(TextEmbeddingFunction):
    """Embeddings for a table, with the model's prompts for its source column and for queries.

    A table stores what it was created with: ``model``, the path of a file, or nothing for the
    default model, and ``options`` of :meth:`Encoderfile.encode`, such as ``dimensions``.
    """

    model: str | None = None
    options: dict[str, Any] = {}

    def ndims(self) -> int:
        """The values of an embedding."""
        return int(self.options.get("dimensions") or _opened(self.model).dimensions)

    def generate_embeddings(self, texts: Any, *args: Any, **kwargs: Any) -> list[Any]:
        """The embeddings of documents; ``None`` for a text that is null."""
        return self._encoded(texts, "document")

    def compute_query_embeddings(self, query: Any, *args: Any, **kwargs: Any) -> list[Any]:
        """The embedding of a query."""
        return self._encoded(self.sanitize_input(query), "query")

    def _encoded(self, texts: Sequence[str | None], role: str) -> list[Any]:
        given = [text for text in texts if text is not None]
        options = {"role": role, **self.options}
        vectors = iter(_opened(self.model).encode(given, **options))
        return [None if text is None else next(vectors) for text in texts]


@cache
def _opened(path: str | None) -> Encoderfile:
    """Each file once: LanceDB copies and compares these functions."""
    return Encoderfile.load(path)
