"""LanceDB: an embedding function, registered as ``encoderfile``.

>>> from lancedb.embeddings import get_registry
>>> import encoderfile.integrations.lancedb
>>> function = get_registry().get("encoderfile").create()
>>> function.ndims()
384
"""

from __future__ import annotations

from functools import cache
from typing import Any, cast

from . import encoded, missing

try:
    from lancedb.embeddings import TextEmbeddingFunction, get_registry
except ImportError as error:
    raise missing("lancedb", error) from error

from ..model import Encoderfile
from ..types import Role

__all__ = ["EncoderfileEmbeddings"]


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
        return self._encoded(cast(Any, self).sanitize_input(query), "query")

    def _encoded(self, texts: Any, role: Role) -> list[Any]:
        several: list[str | None] = list(texts)
        given = [text for text in several if text is not None]
        vectors = iter(encoded(_opened(self.model), given, role, self.options))
        return [None if text is None else next(vectors) for text in several]


# Not as a decorator, which would hide the class's type.
cast(Any, get_registry()).register("encoderfile")(EncoderfileEmbeddings)


@cache
def _opened(path: str | None) -> Encoderfile:
    """Each file once: LanceDB copies and compares these functions."""
    return Encoderfile.load(path)
