"""Chroma: an embedding function, which a collection finds again by its name, ``encoderfile``.

>>> import chromadb
>>> from encoderfile.integrations.chromadb import EncoderfileEmbeddingFunction
>>> collection = chromadb.EphemeralClient().create_collection(
...     "notes", embedding_function=EncoderfileEmbeddingFunction())
>>> collection.add(ids=["1", "2"], documents=["Reset your password here.", "We are in Berlin."])
>>> collection.query(query_texts=["I forgot my login"], n_results=1)["ids"]
[['1']]
"""

from __future__ import annotations

from typing import Any, cast

from . import Source, encoded, missing, opened, stated

try:
    from chromadb.api.types import Documents, EmbeddingFunction, Embeddings, Space
    from chromadb.utils import embedding_functions
except ImportError as error:
    raise missing("chromadb", error) from error

from ..types import Role

__all__ = ["EncoderfileEmbeddingFunction"]


class EncoderfileEmbeddingFunction(EmbeddingFunction[Documents]):
    """Embeddings for a collection, with the model's prompts for documents and queries.

    ``options`` are those of :meth:`Encoderfile.encode`, such as ``dimensions``. A collection stores
    the path of the file and the options; import this module before you open one again.
    """

    def __init__(self, model: Source = None, **options: Any) -> None:
        self._source = model
        self._model = opened(model)
        self._options = options

    def __call__(self, input: Documents) -> Embeddings:
        return self._encoded(input, "document")

    def embed_query(self, input: Documents) -> Embeddings:
        """The embeddings of queries."""
        return self._encoded(input, "query")

    def _encoded(self, texts: Documents, role: Role) -> Embeddings:
        return cast(Embeddings, list(encoded(self._model, texts, role, self._options)))

    @staticmethod
    def name() -> str:
        """What a collection stores."""
        return "encoderfile"

    def default_space(self) -> Space:
        """The distance that fits the model's similarity."""
        similarity = self._model.info.get("similarity")
        spaces: dict[str | None, Space] = {"dot": "ip", "euclidean": "l2"}
        return spaces.get(similarity, "cosine")

    def get_config(self) -> dict[str, Any]:
        """What a collection stores to make this again."""
        return {"model": stated(self._source), "options": self._options}

    @staticmethod
    def build_from_config(config: dict[str, Any]) -> EncoderfileEmbeddingFunction:
        """The function that a collection was made with."""
        return EncoderfileEmbeddingFunction(config["model"], **config["options"])

    def validate_config_update(
        self, old_config: dict[str, Any], new_config: dict[str, Any]
    ) -> None:
        """The vectors that a collection has are of one model."""
        if old_config != new_config:
            raise ValueError("model and options: cannot be changed for a collection that has some")

    @staticmethod
    def validate_config(config: dict[str, Any]) -> None:
        """What was stored can be read."""
        if set(config) != {"model", "options"}:
            raise ValueError(f"embedding function encoderfile: model and options, not {config}")


# Not as a decorator, which would hide the class's type.
cast(Any, embedding_functions).register_embedding_function(EncoderfileEmbeddingFunction)
